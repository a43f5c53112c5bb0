"""What a folder of `transformers` says about the vision transformer in it: DINOv2, DINOv3, SigLIP or SigLIP 2."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from networks import vit
from networks.architecture import MAX_FEATURES, ArchitectureError
from wire.errors import UserError, plain

Moments = tuple[tuple[float, float, float], tuple[float, float, float]]
_IMAGENET: Moments = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALVES: Moments = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_RESAMPLINGS: dict[int | None, Literal["linear", "cubic"]] = {2: "linear", 3: "cubic"}
"""By the numbers that Pillow gives them."""
_ACTIVATIONS: dict[str, Literal["gelu", "gelu_tanh", "silu"]] = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
}


class Config(msgspec.Struct, kw_only=True):
    """What of a config.json the forward pass depends on, in the library's words; the rest is not looked at."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    patch_size: int | tuple[int, int]
    hidden_act: str
    layer_norm_eps: float
    num_channels: int = 3
    num_register_tokens: int = 0
    rope_theta: float = 100.0
    use_swiglu_ffn: bool = False
    """DINOv2's gate, whose activation is SiLU whatever `hidden_act` says."""
    use_gated_mlp: bool = False
    """DINOv3's."""
    qkv_bias: bool = True
    query_bias: bool = True
    key_bias: bool = True
    value_bias: bool = True
    proj_bias: bool = True
    mlp_bias: bool = True

    @property
    def gated(self) -> bool:
        """Whether a gate multiplies the hidden layer of each block's feed-forward net."""
        return self.use_swiglu_ffn or self.use_gated_mlp

    @property
    def activation(self) -> Literal["gelu", "gelu_tanh", "silu"]:
        """In our words."""
        return "silu" if self.use_swiglu_ffn else _ACTIVATIONS[self.hidden_act]


@dataclass(frozen=True)
class Family:
    """How one kind of model is saved, and what it expects."""

    name: str
    block: str
    """Before the number of a block, in the names of its tensors."""
    root: str
    """Before all names in some files, as a regular expression."""
    defaults: dict[str, Any]
    """Of the library, for what a config.json leaves out."""
    positions: Literal["torch_cubic", "cubic", "linear", "rope"]
    """How the library brings the learned positions to another grid; rope: there are none."""
    part: str | None = None
    """Key of the vision model's part of config.json, where that describes more."""
    dino: bool = False
    """With a class token and layer scales."""
    moments: Moments = _IMAGENET
    """Mean and standard deviation of pictures, for what comes without a preprocessor_config.json."""
    resampling: Literal["linear", "cubic"] = "cubic"


_DINOV2: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "patch_size": 14,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
}
_DINOV3: dict[str, Any] = {
    "hidden_size": 384,
    "num_attention_heads": 6,
    "patch_size": 16,
    "layer_norm_eps": 1e-5,
    "key_bias": False,
}
_DINO: dict[str, Any] = {"root": r"(dinov2|dinov2_with_registers|model)\.", "dino": True}
_SIGLIP: dict[str, Any] = {
    "block": "encoder.layers",
    "root": r"vision_model\.",
    "defaults": _DINOV2 | {"patch_size": 16, "hidden_act": "gelu_pytorch_tanh"},
    "moments": _HALVES,
}
_SIGLIP_2: dict[str, Any] = _SIGLIP | {"positions": "linear", "resampling": "linear"}

FAMILIES = {
    "dinov2": Family("DINOv2", "encoder.layer", defaults=_DINOV2, positions="torch_cubic", **_DINO),
    "dinov2_with_registers": Family(
        "DINOv2", "encoder.layer", defaults=_DINOV2 | {"num_register_tokens": 4}, positions="cubic", **_DINO
    ),
    "dinov3_vit": Family("DINOv3", "layer", defaults=_DINOV2 | _DINOV3, positions="rope", resampling="linear", **_DINO),
    "siglip": Family("SigLIP", part="vision_config", positions="torch_cubic", **_SIGLIP),
    "siglip_vision_model": Family("SigLIP", positions="torch_cubic", **_SIGLIP),
    "siglip2": Family("SigLIP 2", part="vision_config", **_SIGLIP_2),
    "siglip2_vision_model": Family("SigLIP 2", **_SIGLIP_2),
}
"""By the kind of model, as config.json names it. SigLIP 2 at a fixed resolution calls itself siglip."""


def kind_of(file: Path) -> str | None:
    """The kind of model that a config.json describes; None where that is not one of transformers.

    Raises:
        UserError: It cannot be read.
    """
    kind = _read(file).get("model_type")
    return None if kind is None else str(kind)


def config_of(file: Path) -> tuple[Family, Config]:
    """What a config.json describes.

    Raises:
        ArchitectureError: A net that is not known, or one that cannot be.
        UserError: The file cannot be read.
    """
    told = _read(file)
    kind = str(told.get("model_type"))
    if kind not in FAMILIES:
        raise ArchitectureError(
            f"{file} is of a model of kind {kind}{_why_not(kind)}; a trunk is made of a model of one of the kinds "
            f"{', '.join(FAMILIES)}"
        )
    family = FAMILIES[kind]
    if family.part is not None:
        told = told.get(family.part) or {}
    try:
        known = {key: value for key, value in dict(told).items() if value is not None}
        config = msgspec.convert(family.defaults | known, Config)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise ArchitectureError(f"{file} describes no {family.name}: {plain(error)}") from error
    _check(config, file, family)
    return family, config


def _check(config: Config, file: Path, family: Family) -> None:
    width, heads = config.hidden_size, config.num_attention_heads
    sizes = {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": config.num_hidden_layers}
    for key, size in sizes.items():
        if size < 1:
            raise ArchitectureError(f"{file} describes no {family.name}: {key} must be >= 1, got {size}")
    # A rotation turns pairs of features, by height and by place along the width.
    each = 4 if family.positions == "rope" else 1
    if width % (heads * each):
        raise ArchitectureError(
            f"{file} describes no {family.name}: hidden_size must be a multiple of {heads * each}, for its {heads} "
            f"attention heads, got {width}"
        )
    if config.num_channels != 3:
        raise ArchitectureError(f"{file} is for pictures of {config.num_channels} channels; cameras give 3")
    if config.hidden_act not in _ACTIVATIONS:
        raise ArchitectureError(
            f"{file} has hidden_act={config.hidden_act}, which is not known; wanted {', '.join(_ACTIVATIONS)}"
        )


def settings_of(
    folder: Path, family: Family, config: Config, *, image_size: int, resolution: int | None
) -> vit.Settings:
    """The forward pass for pictures of `image_size` pixels, looked at with `resolution`; see `vit_weights.read`."""
    sides = {config.patch_size} if isinstance(config.patch_size, int) else set(config.patch_size)
    patch = min(sides)
    if len(sides) > 1 or patch < 1:
        raise ArchitectureError(f"{folder} has patches of {config.patch_size} pixels; wanted square ones")
    looked_at = -(-image_size // patch) * patch if resolution is None else resolution
    if looked_at < patch or looked_at % patch:
        raise ArchitectureError(
            f"this {family.name} has patches of {patch} x {patch} pixels: resolution must be a multiple of {patch}, "
            f"got {looked_at}; set resolution={max(round(looked_at / patch), 1) * patch}"
        )
    features = (looked_at // patch) ** 2 * config.hidden_size
    if features > MAX_FEATURES:
        raise ArchitectureError(
            f"at {looked_at} pixels this {family.name} makes {features} features of one picture, and at most "
            f"{MAX_FEATURES} are kept; set a smaller resolution, a multiple of {patch}"
        )
    prepared = _preprocessor(folder / "preprocessor_config.json")
    return vit.Settings(
        resolution=looked_at,
        patch=patch,
        heads=config.num_attention_heads,
        activation=config.activation,
        epsilon=config.layer_norm_eps,
        mean=prepared.image_mean or family.moments[0],
        std=prepared.image_std or family.moments[1],
        resampling=_RESAMPLINGS.get(prepared.resample, family.resampling),
        rope_base=config.rope_theta if family.positions == "rope" else None,
    )


class _Preprocessor(msgspec.Struct):
    """What of a preprocessor_config.json matters."""

    image_mean: tuple[float, float, float] | None = None
    image_std: tuple[float, float, float] | None = None
    resample: int | None = None


def _preprocessor(file: Path) -> _Preprocessor:
    if not file.exists():
        return _Preprocessor()
    try:
        return msgspec.convert(_read(file), _Preprocessor)
    except msgspec.ValidationError as error:
        raise ArchitectureError(f"{file} describes no preparation of pictures: {plain(error)}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(f"{file} cannot be read: {plain(error)}; take it from where the weights are from") from error


def _why_not(kind: str) -> str:
    if kind.endswith("text_model"):
        return ", which reads text and sees nothing"
    if kind == "resnet":
        return ", which is read with the names that timm and torchvision give its tensors"
    return ", whose tower is built otherwise than SigLIP's" if "clip" in kind else ""
