"""A vision transformer of transformers computes here what it computes there, and is a trunk like any other."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
import safetensors.numpy
from acting import toy_weights
from experience import make_observation, make_spec
from tiny_vits import KINDS, make_vit, save, tokens_of

from actor.policy import PolicySlot
from learner.features import FeatureCache
from learner.trunks import convert
from networks import trunk, vit
from networks.architecture import architecture_for
from networks.trunk import FrozenTrunk
from wire.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compiles")

_MOMENTS = {"dino": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "sigl": ((0.5,) * 3, (0.5,) * 3)}


def made_of(weights: Path, **told: Any) -> FrozenTrunk:
    out = weights.parent / f"{weights.stem}-{'-'.join(map(str, told.values()))}.safetensors"
    convert(weights, out, **told)
    return trunk.load(out)


def pictures(size: int, n: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, size, size, 3), np.uint8)


def features(found: FrozenTrunk, image: np.ndarray) -> np.ndarray:
    compute = jax.jit(lambda params, image: found.features(params, {"any": image}, ["any"])["any"])
    return np.asarray(compute(found.params, image)).reshape(-1, *found.shape)


def copied(model: Path, to: Path) -> Path:
    to.mkdir()
    for name in ("config.json", "model.safetensors"):
        (to / name).write_bytes((model / name).read_bytes())
    return to


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(make_vit("dinov2"), tmp_path_factory.mktemp("vit") / "dinov2")


@pytest.mark.parametrize("kind", KINDS)
def test_patch_tokens_are_those_of_transformers_on_a_grid_that_it_was_not_trained_on(tmp_path: Path, kind: str):
    model = make_vit(kind)
    size = 35 if "dinov2" in kind else 40
    found = made_of(save(model, tmp_path / "model"), image_size=size)
    assert found.shape == (5, 5, 16)
    image = pictures(size)
    mean, std = _MOMENTS[kind[:4]]
    wanted = tokens_of(model, (image / 255.0 - mean) / std)
    assert np.abs(wanted).std() > 0.1
    np.testing.assert_allclose(features(found, image), wanted, atol=1e-4)


@pytest.mark.parametrize("kind", ["dinov2", "dinov2 gated", "dinov3 gated", "siglip vision"])
def test_the_names_that_the_library_has_in_memory_are_known_too(tmp_path: Path, kind: str):
    model = make_vit(kind)
    saved = made_of(save(model, tmp_path / "model"), image_size=56)
    (tmp_path / "other").mkdir()
    (tmp_path / "model" / "config.json").rename(tmp_path / "other" / "config.json")
    state = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
    safetensors.numpy.save_file(state, tmp_path / "other" / "model.safetensors")
    assert made_of(tmp_path / "other" / "model.safetensors", image_size=56).digest == saved.digest


@pytest.mark.parametrize(("size", "method"), [(20, "bilinear"), (20, "bicubic"), (64, "bilinear"), (64, "bicubic")])
def test_pictures_of_another_size_are_resampled_as_torch_does_with_antialiasing(size: int, method: str):
    import torch

    how = vit.Settings(
        resolution=40,
        patch=8,
        heads=1,
        activation="gelu",
        epsilon=1e-6,
        mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.6, 0.7),
        resampling="linear" if method == "bilinear" else "cubic",
    )
    image = pictures(size)
    resized = torch.nn.functional.interpolate(
        torch.tensor(image.transpose(0, 3, 1, 2), dtype=torch.float32), (40, 40), mode=method, antialias=True
    )
    wanted = (resized.clamp(0, 255).numpy().transpose(0, 2, 3, 1) / 255 - how.mean) / how.std
    patches = np.asarray(vit._patches(jnp.asarray(image), how)).reshape(2, 5, 5, 8, 8, 3).transpose(0, 1, 3, 2, 4, 5)
    np.testing.assert_allclose(patches.reshape(2, 40, 40, 3), wanted, atol=1e-4)


def test_what_the_preprocessor_says_of_pictures_goes_before_what_is_usual(dinov2: Path, tmp_path: Path):
    model = copied(dinov2, tmp_path / "model")
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 2, "do_resize": True}
    (model / "preprocessor_config.json").write_text(json.dumps(said))
    found = made_of(model, image_size=56).layout.transformer
    assert found is not None
    assert (found.mean, found.std, found.resampling) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "linear")


def test_it_looks_at_the_next_multiple_of_its_patches_or_at_what_is_asked_for(dinov2: Path):
    assert made_of(dinov2, image_size=64).shape == (10, 10, 16)
    assert made_of(dinov2, image_size=56).shape == (8, 8, 16)
    assert made_of(dinov2, image_size=24, resolution=84).shape == (12, 12, 16)


def test_half_precision_is_as_exact_as_it_can_be(dinov2: Path):
    found = made_of(dinov2, image_size=56)
    halved = FrozenTrunk(found.layout, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), found.params), "")
    whole, half = features(found, pictures(56)), features(halved, pictures(56))
    assert half.dtype == np.float32
    assert 0 < np.abs(half - whole).mean() < 0.02 * np.abs(whole).mean()


def test_a_policy_over_it_starts_on_the_robot_from_weights_that_name_it_and_is_fed_from_the_cache(dinov2: Path):
    spec, found = make_spec(size=16), made_of(dinov2, image_size=16)
    spec = msgspec.structs.replace(spec, observation={name: spec.observation[name] for name in ("front", "state")})
    cache = FeatureCache(found, spec, views=1, shift_pixels=2, colour_jitter=True, seed=0)
    seen = make_observation(spec, 1)
    kept = cache(seen)["front"]
    assert kept.shape == (1, 3 * 3 * 16)
    np.testing.assert_allclose(kept[0].reshape(found.shape), features(found, seen["front"][None])[0], atol=1e-2)
    arch = architecture_for(spec, hidden=(4,), embedding=6, trunk=found.describe())
    slot = PolicySlot(spec, explores=False, trunk_file=dinov2.parent / "dinov2-16.safetensors")
    slot.load(toy_weights(spec, 0.3, arch=arch))
    np.testing.assert_allclose(slot.act(seen)[0], np.tanh(0.3), atol=1e-5)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_type", "clip", r"kind clip, whose tower is built otherwise than SigLIP's; .* kinds dinov2, .* siglip"),
        ("model_type", "bert", r"kind bert; a trunk is made of a model of one of the kinds dinov2"),
        ("model_type", "siglip_text_model", r"which reads text and sees nothing"),
        ("model_type", "resnet", r"names that timm and torchvision give"),
        ("num_hidden_layers", 1, r"more blocks than its num_hidden_layers=1"),
        ("num_hidden_layers", 0, r"num_hidden_layers must be >= 1, got 0"),
        ("hidden_size", "wide", r"describes no DINOv2: Expected `int`, got `str` - at `\$.hidden_size`"),
        ("num_attention_heads", 3, r"hidden_size must be a multiple of 3, for its 3 attention heads, got 16"),
        ("num_channels", 1, r"pictures of 1 channels; cameras give 3"),
        ("patch_size", [7, 8], r"patches of \(7, 8\) pixels; wanted square ones"),
        ("hidden_act", "mish", r"hidden_act=mish, which is not known; wanted gelu, "),
    ],
)
def test_a_model_of_another_kind_or_shape_is_refused_with_those_that_are_not(
    dinov2: Path, tmp_path: Path, key: str, value: Any, message: str
):
    model = copied(dinov2, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(UserError, match=message):
        convert(model, tmp_path / "trunk.safetensors", image_size=56)
    assert not (tmp_path / "trunk.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("encoder.layer.1.attention.output.dense.weight", None, r"no whole DINOv2: encoder.* or .* is missing"),
        (
            "encoder.layer.1.layer_scale2.lambda1",
            None,
            r"no whole DINOv2: encoder.layer.1.layer_scale2.lambda1 is missing",
        ),
        ("encoder.layer.0.mlp.fc2.weight", (16, 8), r"mlp.down_proj.weight has shape \(16, 8\), wanted \(16, 48\)"),
        ("embeddings.position_embeddings", (1, 12, 16), r"positions for 11 patches, which are no square"),
    ],
)
def test_a_model_that_is_not_whole_or_not_as_it_says_is_refused(
    dinov2: Path, tmp_path: Path, name: str, shape: tuple[int, ...] | None, message: str
):
    model = copied(dinov2, tmp_path / "model")
    state = safetensors.numpy.load_file(model / "model.safetensors")
    del state[name]
    state |= {} if shape is None else {name: np.zeros(shape, np.float32)}
    safetensors.numpy.save_file(state, model / "model.safetensors")
    with pytest.raises(UserError, match=message):
        convert(model, tmp_path / "trunk.safetensors", image_size=56)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", r"config.json cannot be read"),
        ("config.json", None, r"has no config.json of transformers"),
        ("model.safetensors", b"\x80\x04nothing", r"no file of weights in the format of safetensors"),
        (
            "model.safetensors",
            None,
            r"neither a safetensors file nor a folder with a model.safetensors .*save_pretrained",
        ),
        ("preprocessor_config.json", b'{"image_mean": 0.5}', r"describes no preparation of pictures"),
    ],
)
def test_a_file_that_is_torn_or_not_there_is_named(
    dinov2: Path, tmp_path: Path, name: str, content: bytes | None, message: str
):
    model = copied(dinov2, tmp_path / "model")
    (model / name).unlink(missing_ok=True)
    if content is not None:
        (model / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        convert(model, tmp_path / "trunk.safetensors", image_size=56)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            {"resolution": 100},
            r"patches of 7 x 7 pixels: resolution must be a multiple of 7, got 100; set resolution=98",
        ),
        ({"resolution": 0}, r"set resolution=7"),
        ({"resolution": 1799}, r"1056784 features of one picture, and at most 1048576 are kept"),
    ],
)
def test_a_resolution_that_does_not_go_is_refused(dinov2: Path, tmp_path: Path, told: dict[str, int], message: str):
    with pytest.raises(UserError, match=message):
        convert(dinov2, tmp_path / "trunk.safetensors", image_size=56, **told)


def test_a_resolution_goes_with_a_vision_transformer_alone(tmp_path: Path):
    (tmp_path / "net.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="resolution=64 is for vision transformers"):
        convert(tmp_path / "net.safetensors", tmp_path / "out.safetensors", image_size=64, resolution=64)


def test_what_timm_leaves_beside_a_resnet_does_not_make_it_a_transformer(tmp_path: Path):
    from networks_by_hand import resnet_state

    safetensors.numpy.save_file(resnet_state((1, 1, 1, 1), width=4, seed=0), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "resnet10t"}')
    facts = convert(tmp_path / "model.safetensors", tmp_path / "trunk.safetensors", image_size=64)
    assert facts["features"] == [2, 2, 32]
    assert facts["bytes_per_frame"] == 2 * 2 * 2 * 32


def test_a_model_in_several_files_and_in_half_precision_is_read_whole(dinov2: Path, tmp_path: Path):
    from safetensors.flax import save_file

    state = {
        name: jnp.asarray(tensor, jnp.bfloat16)
        for name, tensor in safetensors.numpy.load_file(dinov2 / "model.safetensors").items()
    }
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_bytes((dinov2 / "config.json").read_bytes())
    for i, parity in enumerate((0, 1)):
        part = {name: tensor for n, (name, tensor) in enumerate(state.items()) if n % 2 == parity}
        save_file(part, tmp_path / "model" / f"model-0000{i + 1}-of-00002.safetensors")
    got = features(made_of(tmp_path / "model", image_size=56), pictures(56))
    whole = features(made_of(dinov2, image_size=56), pictures(56))
    assert 0 < np.abs(got - whole).mean() < 0.02 * np.abs(whole).mean()
