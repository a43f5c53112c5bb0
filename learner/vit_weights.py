"""Weights of the vision transformers that `transformers` saves, as networks.vit has them; torch is not needed.

Every spelling of the tensors' names is known that versions 4 and 5 of that library write.
"""

import re
from collections.abc import Iterator
from math import isqrt
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors

from learner.vit_config import Config, Family, config_of, settings_of
from networks import vit
from networks.architecture import ArchitectureError
from wire.errors import UserError, plain

_PARTS = {
    "norm_1": ("norm1", "layer_norm1"),
    "norm_2": ("norm2", "layer_norm2"),
    "query": ("attention.attention.query", "attention.q_proj", "self_attn.q_proj"),
    "key": ("attention.attention.key", "attention.k_proj", "self_attn.k_proj"),
    "value": ("attention.attention.value", "attention.v_proj", "self_attn.v_proj"),
    "out": ("attention.output.dense", "attention.o_proj", "self_attn.out_proj"),
    "scale_1": ("layer_scale1.lambda1",),
    "scale_2": ("layer_scale2.lambda1",),
    "gate_and_up": ("mlp.weights_in",),
    "gate": ("mlp.gate_proj",),
    "up": ("mlp.up_proj", "mlp.fc1"),
    "down": ("mlp.down_proj", "mlp.fc2", "mlp.weights_out"),
}
"""Of a block; and how it is spelled."""
_EMBED = ("embeddings.patch_embeddings.projection", "embeddings.patch_embeddings", "embeddings.patch_embedding")
_POSITION = ("embeddings.position_embeddings", "embeddings.position_embedding.weight")
_NORM = ("layernorm", "norm", "post_layernorm")


def read(files: list[Path], *, image_size: int, resolution: int | None) -> tuple[vit.Settings, dict[str, np.ndarray]]:
    """Settings and tensors of `networks.vit` for a model that transformers saved.

    Args:
        files: Its safetensors files, beside its config.json; beside them, where there is one, is also looked at
            preprocessor_config.json.
        image_size: Height and width of the pictures that it is to get, pixels.
        resolution: Those that it is to look at; None: the next multiple of its patches' size.

    Raises:
        ArchitectureError: It is of another kind, not whole, or not what its config.json says.
        UserError: A file cannot be read.
    """
    folder = files[0].parent
    family, config = config_of(folder / "config.json")
    how = settings_of(folder, family, config, image_size=image_size, resolution=resolution)
    tensors = _Tensors({name: tensor for file in files for name, tensor in _tensors_in(file, family)}, family)
    return how, _converted(tensors, config, how)


def _tensors_in(file: Path, family: Family) -> Iterator[tuple[str, np.ndarray]]:
    try:
        with safetensors.safe_open(file, "flax") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no dictionary
                if not name.startswith("text_model."):
                    yield re.sub(f"^{family.root}", "", name), np.asarray(opened.get_tensor(name))
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{file} is no file of weights in the format of safetensors: {plain(error)}") from error


class _Tensors:
    """What the files hold, to be asked for by any of its names."""

    def __init__(self, state: dict[str, np.ndarray], family: Family) -> None:
        self.state, self.family = state, family

    def take(self, spellings: tuple[str, ...], shape: tuple[int | None, ...], *, suffix: str = "") -> np.ndarray:
        """A tensor of this shape, in which None is any size, in single precision; raises ArchitectureError."""
        names = [name + suffix for name in spellings]
        found = next((self.state[name] for name in names if name in self.state), None)
        if found is None:
            raise ArchitectureError(f"these weights are no whole {self.family.name}: {' or '.join(names)} is missing")
        if len(found.shape) != len(shape) or any(
            want not in (None, got) for got, want in zip(found.shape, shape, strict=True)
        ):
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise ArchitectureError(
                f"these weights are not of the {self.family.name} that config.json describes: {names[0]} has shape "
                f"{found.shape}, wanted ({wanted})"
            )
        return np.asarray(found, np.float32)

    def dense(
        self, spellings: tuple[str, ...], n_in: int | None, n_out: int | None, *, biased: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """A linear map as ours are, (in, out), and its bias: zeros where it has none."""
        weight = self.take(spellings, (n_out, n_in), suffix=".weight").T
        size = weight.shape[1]
        return weight, self.take(spellings, (size,), suffix=".bias") if biased else np.zeros(size, np.float32)

    def norm(self, spellings: tuple[str, ...], size: int) -> dict[str, np.ndarray]:
        """Of a layer norm, as ours are."""
        parts = {"gain": ".weight", "offset": ".bias"}
        return {name: self.take(spellings, (size,), suffix=suffix) for name, suffix in parts.items()}


def _converted(tensors: _Tensors, config: Config, how: vit.Settings) -> dict[str, np.ndarray]:
    """Our tensors, by their paths; those of the blocks stacked."""
    width, beyond = config.hidden_size, f"{tensors.family.block}.{config.num_hidden_layers}."
    if any(name.startswith(beyond) for name in tensors.state):
        raise ArchitectureError(
            f"these weights are not of the {tensors.family.name} that config.json describes: they have more blocks "
            f"than its num_hidden_layers={config.num_hidden_layers}"
        )
    out = {f"embed/{name}": tensor for name, tensor in _embedding(tensors, how, width).items()}
    out |= _tokens(tensors, config, how)
    blocks = [_block(tensors, f"{tensors.family.block}.{i}.", config) for i in range(config.num_hidden_layers)]
    out |= {f"blocks/{name}": np.stack([block[name] for block in blocks]) for name in blocks[0]}
    return out | {f"norm/{name}": tensor for name, tensor in tensors.norm(_NORM, width).items()}


def _embedding(tensors: _Tensors, how: vit.Settings, width: int) -> dict[str, np.ndarray]:
    """Of a patch's pixels, row by row, channels last."""
    if tensors.family.name == "SigLIP 2":
        weight, bias = tensors.dense(_EMBED, how.patch**2 * 3, width)
    else:
        kernel = tensors.take(_EMBED, (width, 3, how.patch, how.patch), suffix=".weight")
        weight, bias = kernel.transpose(2, 3, 1, 0).reshape(-1, width), tensors.take(_EMBED, (width,), suffix=".bias")
    return {"w": weight, "b": bias}


def _tokens(tensors: _Tensors, config: Config, how: vit.Settings) -> dict[str, np.ndarray]:
    """The tokens before the patches, the class token with its position, and the patches' positions at our grid."""
    width, family, out = config.hidden_size, tensors.family, {}
    before = [tensors.take(("embeddings.cls_token",), (1, 1, width))[0]] if family.dino else []
    if family.positions != "rope":
        position = tensors.take(_POSITION, (1, None, width) if family.dino else (None, width)).reshape(-1, width)
        out["position"] = _regridded(position[len(before) :], how.grid, family)
        before = [token + position[:1] for token in before]
    if config.num_register_tokens:
        before.append(tensors.take(("embeddings.register_tokens",), (1, config.num_register_tokens, width))[0])
    return out | ({"prefix": np.concatenate(before)} if before else {})


def _regridded(position: np.ndarray, grid: int, family: Family) -> np.ndarray:
    """Positions of a square grid, (n * n, width), at another one: (grid * grid, width)."""
    n = isqrt(len(position))
    if n * n != len(position):
        raise ArchitectureError(
            f"these weights have positions for {len(position)} patches, which are no square; wanted a {family.name} "
            "for square pictures"
        )
    square = position.reshape(n, n, -1)
    if family.positions == "torch_cubic":
        weights = _torch_cubic(n, grid)
        moved = np.einsum("ai,bj,ijc->abc", weights, weights, square, optimize=True)
    else:
        moved = jax.image.resize(jnp.asarray(square), (grid, grid, square.shape[-1]), family.positions)
    return np.asarray(moved, np.float32).reshape(grid * grid, -1)


def _torch_cubic(n_in: int, n_out: int) -> np.ndarray:
    """Weights (n_out, n_in) with which torch resizes a row without antialiasing.

    Keys' kernel with a = -3/4, the edges repeated; JAX knows a = -1/2 alone, and leaves out what is beyond the edge.
    """
    at = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    before = np.floor(at).astype(int)
    weights = np.zeros((n_out, n_in))
    for source in (before - 1, before, before + 1, before + 2):
        d = np.abs(at - source)
        kernel = np.where(d <= 1, 1.25 * d**3 - 2.25 * d**2 + 1, -0.75 * (d**3 - 5 * d**2 + 8 * d - 4))
        np.add.at(weights, (np.arange(n_out), np.clip(source, 0, n_in - 1)), kernel)
    return weights


def _block(tensors: _Tensors, before: str, config: Config) -> dict[str, np.ndarray]:
    """One block's tensors, its layer scales folded into the projections before them."""
    width, names = config.hidden_size, {part: tuple(before + name for name in each) for part, each in _PARTS.items()}
    biased = {part: getattr(config, f"{part}_bias") and config.qkv_bias for part in ("query", "key", "value")}
    seen = [tensors.dense(names[part], width, width, biased=each) for part, each in biased.items()]
    maps = {"out": tensors.dense(names["out"], width, width, biased=config.proj_bias)}
    maps |= _feed_forward(tensors, names, config)
    if tensors.family.dino:
        for part, scale in (("out", "scale_1"), ("down", "scale_2")):
            gain = tensors.take(names[scale], (width,))
            maps[part] = maps[part][0] * gain, maps[part][1] * gain
    maps["qkv"] = np.concatenate([weight for weight, _ in seen], axis=1), np.concatenate([bias for _, bias in seen])
    out = {f"{part}/{name}": tensor for part, each in maps.items() for name, tensor in zip("wb", each, strict=True)}
    for part in ("norm_1", "norm_2"):
        out |= {f"{part}/{name}": tensor for name, tensor in tensors.norm(names[part], width).items()}
    return out


def _feed_forward(
    tensors: _Tensors, names: dict[str, tuple[str, ...]], config: Config
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    width, biased, out = config.hidden_size, config.mlp_bias, {}
    if config.gated and any(f"{name}.weight" in tensors.state for name in names["gate_and_up"]):
        weight, bias = tensors.dense(names["gate_and_up"], width, None, biased=biased)
        (out["gate"], out["up"]) = zip(np.split(weight, 2, axis=1), np.split(bias, 2), strict=True)
    else:
        out["up"] = tensors.dense(names["up"], width, None, biased=biased)
        if config.gated:
            out["gate"] = tensors.dense(names["gate"], width, out["up"][1].size, biased=biased)
    out["down"] = tensors.dense(names["down"], out["up"][1].size, width, biased=biased)
    return out
