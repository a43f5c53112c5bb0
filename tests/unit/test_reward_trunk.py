"""A trunk's file read by torch: the same function as in JAX, and a reward that stands on it."""

from pathlib import Path
from typing import Any

import jax
import msgspec
import numpy as np
import pytest
import torch
from rewarding import SIZE, episode, spec, write

from networks import encoder, parameters, trunk
from rewards.config import TrainConfig
from rewards.fit_preference import train_preference
from rewards.models import load_model
from rewards.network import Architecture, Network, as_floats
from rewards.preferences import LEFT, RIGHT, Preference, PreferenceFile, draw_pairs
from rewards.score import ModelError
from rewards.trunk import load_nets
from wire.types import Observation, Step

CAMERAS = dict.fromkeys(("front", "wrist"), (SIZE, SIZE, 3))


def trunk_for(folder: Path, size: int) -> Path:
    keys = jax.random.split(jax.random.key(0), len(CAMERAS))
    nets = {
        name: encoder.camera_init(key, (size, size, 3), channels=(4, 8), embedding=6)
        for key, name in zip(keys, CAMERAS, strict=True)
    }
    layout = trunk.Layout(family="small", image_size=size, cameras=tuple(CAMERAS))
    trunk.save(folder / "trunk.safetensors", layout, parameters.flatten(nets))
    return folder / "trunk.safetensors"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return trunk_for(tmp_path, SIZE)


def test_torch_computes_what_jax_does(file: Path):
    frames = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    _, nets = load_nets(file, CAMERAS)
    in_jax = trunk.load(file)
    for name, net in nets.items():
        wanted = in_jax.features(in_jax.params, {name: frames}, [name])[name]
        found = net(as_floats(torch.from_numpy(frames)))
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)
        assert found.std() > 0.1, "it tells pictures apart"


def compared(folder: Path, rng: np.random.Generator, size: int = SIZE) -> dict[str, Any]:
    """A run with frames of this size and sixty random answers about it, as TrainConfig takes them."""
    episodes = [episode(rng, number, success=False) for number in range(8)]
    if size != SIZE:
        episodes = [[enlarged(step, size // SIZE) for step in steps] for steps in episodes]
    run = write(folder / "steps.sqlite", episodes, of=spec(size=size))
    answers = folder / "answers.sqlite"
    asked = PreferenceFile(answers)
    asked.append([Preference(pair, int(rng.choice([LEFT, RIGHT])), "vlm") for pair in draw_pairs([str(run)], 60, 0)])
    asked.close()
    return {"kind": "preference", "runs": [str(run)], "preferences": str(answers), "iterations": 20, "batch_size": 8}


def enlarged(step: Step, times: int) -> Step:
    def larger(seen: Observation | None) -> Observation | None:
        if seen is None:
            return None
        return {name: np.kron(x, np.ones((times, times, 1), x.dtype)) if x.ndim == 3 else x for name, x in seen.items()}

    return msgspec.structs.replace(
        step, observation=larger(step.observation), final_observation=larger(step.final_observation)
    )


def test_a_reward_over_a_trunk_sees_frames_as_large_as_the_trunk_wants_them(tmp_path: Path):
    size = 128
    told = compared(tmp_path, np.random.default_rng(2), size)
    train_preference(TrainConfig(**told, trunk=str(trunk_for(tmp_path, size)), out=str(tmp_path / "m"), members=1))
    frames = {name: np.zeros((2, size, size, 3), np.uint8) for name in CAMERAS}
    assert load_model(tmp_path / "m").score(frames).value.shape == (2,)


def test_without_a_trunk_large_frames_are_scaled_down():
    network = Network(Architecture(("front",)))
    assert network.prepared({"front": np.zeros((2, 192, 96, 3), np.uint8)})["front"].shape == (2, 3, 96, 48)


def test_a_reward_over_a_trunk_trains_its_head_alone_and_comes_back_whole(file: Path, tmp_path: Path):
    rng = np.random.default_rng(1)
    told = compared(tmp_path, rng)
    model = train_preference(TrainConfig(**told, trunk=str(file), out=str(tmp_path / "m"), members=2))
    _, nets = load_nets(file, CAMERAS)
    for member in model.members:
        for name, net in nets.items():
            for key, tensor in net.state_dict().items():
                assert torch.equal(member.trunks[name].state_dict()[key], tensor)
    frames = {name: rng.integers(0, 256, (3, *shape), np.uint8) for name, shape in CAMERAS.items()}
    again = load_model(tmp_path / "m")
    np.testing.assert_array_equal(again.score(frames).value, model.score(frames).value)
    assert again.version == model.version


def test_what_is_no_trunk_for_these_frames_is_refused_and_says_what_would_be(file: Path, tmp_path: Path):
    for cameras in ({"side": (SIZE, SIZE, 3)}, {"front": (32, 32, 3)}):
        with pytest.raises(ModelError, match=r"is for the cameras front, wrist at .*train one for them"):
            load_nets(file, cameras)
    trunk.save(tmp_path / "r.safetensors", trunk.Layout(family="resnet", image_size=32), {"stem/w": np.zeros(2)})
    with pytest.raises(ModelError, match=r"family resnet; .*handrail trunk train"):
        load_nets(tmp_path / "r.safetensors", CAMERAS)
    (tmp_path / "no.safetensors").write_bytes(b"no")
    for path in (tmp_path / "no.safetensors", tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(ModelError, match="holds no trunk"):
            load_nets(path, CAMERAS)
    with pytest.raises(ValueError, match="trunk=t goes with kind=preference, got kind=success"):
        TrainConfig(runs=["r"], out="m", trunk="t")
