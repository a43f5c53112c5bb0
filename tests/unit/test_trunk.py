"""A frozen trunk is what its file says, runs only where that file is, and never travels."""

from pathlib import Path

import jax
import numpy as np
import pytest
from acting import toy_weights
from experience import make_observation, make_spec
from networks_by_hand import resnet_by_hand, resnet_state

from actor.policy import PolicySlot
from learner.trunks import convert
from networks import encoder, parameters, trunk
from networks.architecture import ArchitectureError, Trunk, architecture_for
from networks.config import trunk_file
from wire.errors import UserError
from wire.weights import decode_weights

pytestmark = pytest.mark.usefixtures("quick_compiles")

SPEC = make_spec(size=16)


def small_trunk(path: Path, seed: int = 0, cameras: tuple[str, ...] = ("front", "wrist")) -> Path:
    keys = jax.random.split(jax.random.key(seed), len(cameras))
    nets = {
        name: encoder.camera_init(key, (16, 16, 3), channels=(4, 4), embedding=5)
        for name, key in zip(cameras, keys, strict=True)
    }
    trunk.save(path, trunk.Layout(family="small", image_size=16, cameras=cameras), parameters.flatten(nets))
    return path


def weights_over(path: Path) -> bytes:
    arch = architecture_for(SPEC, hidden=(4,), embedding=6, trunk=trunk.load(path).describe())
    return toy_weights(SPEC, 0.3, arch=arch)


def test_a_trunk_comes_out_of_its_file_as_it_went_in(tmp_path: Path):
    found = trunk.load(small_trunk(tmp_path / "a.safetensors"))
    assert found.shape == (5,)
    images = {name: make_observation(SPEC, 1)[name][None] for name in ("front", "wrist")}
    got = found.features(found.params, images, images)
    for name, image in images.items():
        np.testing.assert_allclose(got[name], encoder.camera(found.params[name], image), rtol=1e-6)


def test_a_policy_stands_on_its_trunk_and_does_not_carry_it(tmp_path: Path):
    path = small_trunk(tmp_path / "a.safetensors")
    data = weights_over(path)
    assert not [name for name in decode_weights(data, fingerprint=None).tensors if "conv" in name]
    slot = PolicySlot(SPEC, explores=False, trunk_file=path)
    slot.load(data)
    action, _ = slot.act(make_observation(SPEC, 2))
    np.testing.assert_allclose(action, np.tanh(0.3), atol=1e-5)


@pytest.mark.parametrize("here", ["none", "another"])
def test_a_policy_whose_trunk_is_not_here_is_refused_with_the_cure(tmp_path: Path, here: str):
    data = weights_over(small_trunk(tmp_path / "a.safetensors"))
    other = tmp_path / "missing.safetensors"
    if here == "another":
        small_trunk(other, seed=1)
    slot = PolicySlot(SPEC, trunk_file=other)
    assert not slot.offer(data)
    assert "trunk" in slot.refusal
    assert "actor.trunk=<file>" in slot.refusal


def test_what_a_policy_sees_depends_on_its_trunk(tmp_path: Path):
    one, two = (trunk.load(small_trunk(tmp_path / f"{seed}.safetensors", seed)) for seed in (0, 1))
    assert one.digest != two.digest
    image = {"front": make_observation(SPEC, 3)["front"][None]}
    different = one.features(one.params, image, image)["front"] - two.features(two.params, image, image)["front"]
    assert np.abs(different).max() > 1e-3


def test_a_trunk_of_another_size_or_of_other_cameras_is_refused(tmp_path: Path):
    found = trunk.load(small_trunk(tmp_path / "a.safetensors"))
    with pytest.raises(ArchitectureError, match="16 x 16 pixels, and camera front gives 64 x 64"):
        found.require_fitting({"front": (64, 64, 3)})
    with pytest.raises(ArchitectureError, match="knows the cameras front, wrist, and not top"):
        found.require_fitting({"top": (16, 16, 3)})


def test_a_file_that_is_no_trunk_is_refused(tmp_path: Path):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ArchitectureError, match="holds no trunk"):
        trunk.load(path)


def test_an_unknown_trunk_is_named_together_with_those_that_are_installed():
    with pytest.raises(ArchitectureError, match="there is no trunk pick_cube-32") as caught:
        trunk_file(None, task="pick_cube", image_size=32)
    assert "handrail trunk train task=pick_cube env.image_size=32" in str(caught.value)


def test_features_with_places_pass_spatial_embeddings_that_tell_them_apart():
    arch = architecture_for(SPEC, hidden=(4,), embedding=6, trunk=Trunk(digest="0" * 64, shape=(2, 2, 3)))
    params = encoder.init(jax.random.key(0), arch)
    assert params["front"]["spatial"].shape == (4, 3, 8)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 2, 2, 3)).astype(np.float32)
    seen = {name: features.reshape(1, -1) for name in ("front", "wrist")} | {"state": np.zeros((1, 3), np.float32)}
    moved = seen | {"front": features[:, ::-1].reshape(1, -1)}
    normaliser = encoder.identity_normaliser(arch)
    before, after = (encoder.apply(params, normaliser, each, arch) for each in (seen, moved))
    assert before.shape == (1, arch.feature_dim)
    assert np.abs(before - after)[:, 3:9].max() > 1e-3
    np.testing.assert_array_equal(before[:, 9:], after[:, 9:])


@pytest.mark.parametrize("blocks", [(1, 1, 1, 1), (2, 1, 1, 2)])
def test_a_resnet_of_torch_weights_computes_what_its_definition_says(tmp_path: Path, blocks: tuple[int, ...]):
    import safetensors.numpy

    state = resnet_state(blocks, width=4, seed=0)
    safetensors.numpy.save_file(state, tmp_path / "net.safetensors")
    facts = convert(tmp_path / "net.safetensors", tmp_path / "trunk.safetensors", image_size=64)
    assert facts["features"] == [2, 2, 32]
    found = trunk.load(tmp_path / "trunk.safetensors")
    image = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    got = found.features(found.params, {"any": image}, ["any"])["any"].reshape(2, 2, 2, 32)
    wanted = resnet_by_hand(state, image)
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [("bottleneck", "no ResNet of basic blocks"), ("incomplete", "bn1.running_var is missing"), ("pickle", "pickle")],
)
def test_weights_of_another_kind_are_refused(tmp_path: Path, change: str, message: str):
    import safetensors.numpy

    path, state = tmp_path / "net.safetensors", resnet_state((1, 1, 1, 1), width=4, seed=0)
    if change == "bottleneck":
        state["layer1.0.conv3.weight"] = np.zeros((4, 4, 1, 1), np.float32)
    if change == "incomplete":
        del state["bn1.running_var"]
    safetensors.numpy.save_file(state, path)
    if change == "pickle":
        path.write_bytes(b"\x80\x04not tensors")
    with pytest.raises(UserError, match=message):
        convert(path, tmp_path / "out.safetensors", image_size=64)


def test_architectures_without_a_trunk_are_written_as_they_were_before_there_were_any():
    assert "trunk" not in architecture_for(SPEC, hidden=(4,)).to_json()


def test_a_trunk_survives_the_architectures_json(tmp_path: Path):
    described = trunk.load(small_trunk(tmp_path / "a.safetensors")).describe()
    arch = architecture_for(SPEC, hidden=(4,), trunk=described)
    assert type(arch).from_json(arch.to_json()) == arch


def test_the_trunk_that_comes_with_the_package_is_the_default_of_its_task_and_sees_the_cube():
    found = trunk.load(trunk_file(None, task="pick_cube", image_size=64))
    assert found.layout.cameras == ("front", "wrist")
    found.require_fitting({"front": (64, 64, 3), "wrist": (64, 64, 3)})
    table = np.full((2, 64, 64, 3), 140, np.uint8)
    table[1, 30:35, 30:35] = (200, 25, 20)
    seen = found.features(found.params, {"front": table}, ["front"])["front"]
    assert np.abs(seen[0] - seen[1]).mean() > 0.1
