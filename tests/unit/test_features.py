"""The features of a frame are computed when it comes in, and are those that the robot's policy will see."""

from pathlib import Path

import numpy as np
import pytest
from experience import make_observation, make_spec, make_step
from learning import normaliser
from test_trunk import small_trunk

from learner.agents import make_agent
from learner.config import RlpdConfig, learner_config
from learner.features import FeatureCache, feature_cache
from learner.mixer import Mixer
from learner.replay import Replay
from networks import trunk
from networks.architecture import ArchitectureError

pytestmark = pytest.mark.usefixtures("quick_compiles")

SPEC = make_spec(size=16)


def make_cache(folder: Path, views: int = 1, seed: int = 0) -> FeatureCache:
    found = trunk.load(small_trunk(folder / "trunk.safetensors"))
    return FeatureCache(found, SPEC, views=views, shift_pixels=2, colour_jitter=True, seed=seed)


def filled(cache: FeatureCache | None, steps: int = 10) -> Replay:
    replay = Replay(SPEC, 20, cache=cache)
    for number in range(steps):
        replay.add("a", make_step(SPEC, number))
    return replay


def test_the_replay_keeps_features_in_place_of_frames_and_pairs_them_alike(tmp_path: Path):
    cache = make_cache(tmp_path)
    rows = np.arange(8).reshape(2, 4)
    plain, cached = filled(None).gather(rows + 12), filled(cache).gather(rows + 12)
    for part in ("observation", "next_observation"):
        for camera in ("front", "wrist"):
            images = plain[part][camera].reshape(8, 16, 16, 3)
            wanted = cache.trunk.features(cache.trunk.params, {camera: images}, [camera])[camera]
            assert cached[part][camera].dtype == np.float16
            np.testing.assert_allclose(cached[part][camera].reshape(8, 5), wanted, atol=2e-3)
        np.testing.assert_array_equal(cached[part]["state"], plain[part]["state"])
    np.testing.assert_array_equal(cached["reward"], plain["reward"])


def test_the_first_view_is_the_frame_itself_and_the_others_are_not(tmp_path: Path):
    one, four = make_cache(tmp_path), make_cache(tmp_path, views=4)
    seen = make_observation(SPEC, 7)
    alone, many = one(seen)["front"], four(seen)["front"]
    assert many.shape == (4, 5)
    np.testing.assert_array_equal(alone[0], many[0])
    assert len(np.unique(many.round(3), axis=0)) == 4


def test_views_follow_from_seed_and_order_alone(tmp_path: Path):
    digests = []
    for seed in (0, 0, 1):
        cache = make_cache(tmp_path, views=3, seed=seed)
        digests.append([cache(make_observation(SPEC, number))["wrist"].tobytes() for number in range(3)])
    assert digests[0] == digests[1] != digests[2]


def test_draws_take_any_view_of_either_observation_and_the_same_block_takes_the_same(tmp_path: Path):
    replay = filled(make_cache(tmp_path, views=4))
    rows = np.full(200, 15)
    got = replay.gather(rows, np.random.default_rng(0))
    again = replay.gather(rows, np.random.default_rng(0))
    for part in ("observation", "next_observation"):
        assert len(np.unique(got[part]["front"], axis=0)) == 4
        np.testing.assert_array_equal(got[part]["front"], again[part]["front"])
    assert len(np.unique(replay.gather(rows)["observation"]["front"], axis=0)) == 1


def test_an_agent_over_features_learns_in_one_compiled_block_and_publishes_no_convolutions(tmp_path: Path):
    cache = make_cache(tmp_path)
    replay = filled(cache)
    config = RlpdConfig(hidden=[8], embedding=6, batch_size=4, utd=2, actor_period=2)
    agent = make_agent(config, SPEC, trunk=cache.trunk.describe())
    state = agent.init(0, normaliser(agent.arch))
    before = np.array(state.encoder["front"]["embed"]["w"])
    batch = Mixer(replay, batch_size=4, prior_share=0.5, min_online=1, seed=0).sample(0, 2)
    state, metrics = agent.update(state, batch)
    assert np.isfinite(float(metrics["critic/loss"]))
    assert agent.stepper.block._cache_size() == 1
    assert np.abs(state.encoder["front"]["embed"]["w"] - before).max() > 0
    assert set(agent.policy(state)["encoder"]["front"]) == {"embed", "norm"}


def test_a_run_keeps_the_trunk_that_it_began_with(tmp_path: Path):
    source = small_trunk(tmp_path / "mine.safetensors")
    config = RlpdConfig(encoder="trunk", trunk=str(source))
    (tmp_path / "run").mkdir()
    first = feature_cache(config, SPEC, tmp_path / "run", seed=0)
    source.unlink()
    again = feature_cache(config, SPEC, tmp_path / "run", seed=0, resume=True)
    assert first is not None
    assert again is not None
    assert first.trunk.digest == again.trunk.digest
    assert feature_cache(RlpdConfig(), SPEC, tmp_path / "run", seed=0) is None


def test_a_trunk_for_an_observation_without_images_is_refused(tmp_path: Path):
    found = trunk.load(small_trunk(tmp_path / "trunk.safetensors"))
    from learning import vector_spec

    with pytest.raises(ArchitectureError, match="shows none; set obs=pixels"):
        FeatureCache(found, vector_spec(), views=1, shift_pixels=0, colour_jitter=False, seed=0)


@pytest.mark.parametrize(
    ("agent", "changes", "message"),
    [
        ({"name": "rlpd", "encoder": "trunk"}, {"mode": "offline"}, "agent.encoder=trunk learns beside actors"),
        ({"name": "rlpd", "encoder": "trunk"}, {"symmetries": ["mirror"]}, "agent.encoder=trunk knows no symmetries"),
        ({"name": "qc"}, {"symmetries": ["mirror"]}, "agent=qc knows no symmetries"),
        ({"name": "rlpd"}, {"symmetries": ["mirror"], "keep_on": "device"}, "keep_on=device is for one device"),
        ({"name": "rlpd"}, {"devices": 2, "keep_on": "device"}, "keep_on=device is for one device"),
        ({"name": "rlpd"}, {"keep_on": "gpu"}, "learner.keep_on"),
    ],
)
def test_what_features_and_devices_are_not_made_for_is_refused(agent: dict, changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        learner_config({"run": "r", "archive": ["runs"], "agent": agent} | changes)


def test_the_trunk_of_the_run_that_one_begins_from_goes_with_it(tmp_path: Path):
    (tmp_path / "earlier").mkdir()
    (tmp_path / "run").mkdir()
    mine = small_trunk(tmp_path / "earlier" / "trunk.safetensors", seed=3)
    other = small_trunk(tmp_path / "other.safetensors", seed=4)
    config = RlpdConfig(encoder="trunk", trunk=str(other))
    found = feature_cache(config, SPEC, tmp_path / "run", seed=0, init=str(tmp_path / "earlier"))
    assert found is not None
    assert found.trunk.digest == trunk.load(mine).digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "resnet"}, "agent.encoder must be conv or trunk, got resnet"),
        ({"trunk": "a.safetensors"}, "goes with agent.encoder=trunk"),
        ({"views": 4}, "agent.views=4 goes with agent.encoder=trunk"),
        ({"encoder": "trunk", "views": 0}, "must be in 1..16, got 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        RlpdConfig(**changes)
