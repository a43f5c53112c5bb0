"""Critics on the unit sphere: what they compute, what stays of length one, and that they learn."""

from typing import Any

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from learning import TINY, normaliser, small_sac, snapshot, values_after

from learner.agents.sac import Sac, State
from learner.config import RlpdConfig
from networks import critic, hypersphere, parameters
from networks.architecture import Architecture, Critics

pytestmark = pytest.mark.usefixtures("quick_compiles")

DEEP = msgspec.structs.replace(TINY, hidden=(8, 8, 8))
TOLD = Critics(members=2, norm="hypersphere", bins=21, span=(0.0, 1.0))
FEATURES = jax.random.normal(jax.random.key(7), (6, 3))
ACTIONS = jax.random.uniform(jax.random.key(8), (6, 2), minval=-1)


def make(arch: Architecture = TINY, bounds: tuple[float, float] | None = None, **changes: Any) -> tuple[Sac, State]:
    agent = Sac(small_sac(hyperspherical=True, **changes), arch, bounds)
    return agent, agent.init(0, normaliser(arch))


def lengths(params: critic.Params) -> dict[str, np.ndarray]:
    """Of the weights of every output of every member."""
    return {
        jax.tree_util.keystr(path): np.linalg.norm(leaf, axis=-2)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if path[-1].key == "w"
    }


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_hand(p: Any, x: np.ndarray) -> np.ndarray:
    """The paper's critic, of one member, in numpy."""
    x = unit(np.concatenate([x, np.full((len(x), 1), 3.0)], axis=-1))
    x = unit(x @ p["trunk"]["embed"]["w"] * p["trunk"]["embed"]["scale"])
    for name in ("block_0", "block_1"):
        block = p["trunk"][name]
        inner = np.maximum(x @ block["up"]["w"] * block["up"]["scale"], 0)
        share = block["pace"] * np.sqrt(8) / 3
        x = unit((1 - share) * x + share * unit(inner @ block["down"]["w"]))
    return (x @ p["head"]["hidden"]["w"] * p["head"]["hidden"]["scale"]) @ p["head"]["w"] + p["head"]["b"]


def test_the_values_are_those_of_the_papers_critic():
    params = critic.init(jax.random.key(0), DEEP, TOLD)
    rng = np.random.default_rng(0)
    # As after training: scalers that are not all the same.
    params = jax.tree.map(lambda leaf: leaf * rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32), params)
    said = critic.logits(params, FEATURES, ACTIONS)
    for member in range(2):
        alone = jax.tree.map(lambda leaf, i=member: np.asarray(leaf[i], np.float64), params)
        wanted = by_hand(alone, np.concatenate([FEATURES, ACTIONS], axis=-1))
        np.testing.assert_allclose(said[member], wanted, rtol=1e-4, atol=1e-5)


def test_features_have_length_one_and_so_have_the_weights_of_every_output_from_the_start():
    params = critic.init(jax.random.key(0), DEEP, TOLD)
    for name, found in lengths(params).items():
        np.testing.assert_allclose(found, 1.0, rtol=1e-5, err_msg=name)
    trunk = jax.tree.map(lambda leaf: leaf[0], params["trunk"])
    x = hypersphere.apply(trunk, 100 * jnp.concatenate([FEATURES, ACTIONS], axis=-1))
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1.0, rtol=1e-5)


def test_projecting_leaves_directions_and_all_that_is_no_weight():
    params = critic.init(jax.random.key(0), DEEP, TOLD)
    rng = np.random.default_rng(0)
    moved = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.1, leaf.shape).astype(np.float32), params)
    back = hypersphere.projected(moved)
    for path, leaf in jax.tree_util.tree_leaves_with_path(back):
        before = dict(jax.tree_util.tree_leaves_with_path(moved))[path]
        if path[-1].key != "w":
            np.testing.assert_array_equal(leaf, before)
            continue
        cosine = (leaf * before).sum(axis=-2) / np.linalg.norm(before, axis=-2)
        np.testing.assert_allclose(cosine, 1.0, rtol=1e-5)
    for found in lengths(back).values():
        np.testing.assert_allclose(found, 1.0, rtol=1e-5)


@pytest.mark.parametrize("layer", [("embed",), ("block_0", "up"), ("block_1", "down")])
def test_values_do_not_depend_on_how_long_a_hidden_layers_weights_are(layer: tuple[str, ...]):
    params = critic.init(jax.random.key(0), DEEP, TOLD)
    before = critic.logits(params, FEATURES, ACTIONS)
    node = params["trunk"]
    for name in layer:
        node = node[name]
    node["w"] = node["w"] * 7.0
    np.testing.assert_allclose(critic.logits(params, FEATURES, ACTIONS), before, rtol=1e-4, atol=1e-5)
    node["w"] = node["w"].at[..., 0].multiply(7.0)
    assert np.abs(critic.logits(params, FEATURES, ACTIONS) - before).max() > 1e-3


def test_values_depend_on_how_long_an_observation_is():
    params = critic.init(jax.random.key(0), DEEP, TOLD)
    said = [critic.logits(params, scale * FEATURES, scale * ACTIONS) for scale in (1.0, 2.0)]
    assert np.abs(said[1] - said[0]).max() > 1e-3


def test_what_judges_comes_whole_out_of_the_weights_that_it_travels_as():
    agent, state = make(DEEP, (0.0, 1.0), categorical=True, bins=21, critics=2)
    judge = agent.judge(state)
    assert judge is not None
    arch = type(judge.arch).from_json(judge.arch.to_json())
    arrived = parameters.unflatten(parameters.flatten(judge.params), arch)
    got, wanted = (critic.apply(each["critics"], FEATURES, ACTIONS) for each in (arrived, judge.params))
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": [8, 16]}, r"agent.hyperspherical=true wants agent.hidden of one width, got \[8, 16\]"),
        ({"batch_norm": True}, r"agent.hyperspherical=true and agent.batch_norm=true are two norms in one place"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        RlpdConfig(hyperspherical=True, **changes)


@pytest.mark.parametrize("categorical", [False, True], ids=["numbers", "bins"])
def test_values_of_a_known_process_are_found_without_leaving_the_sphere(categorical: bool):
    """Two states that follow each other for ever, reward 1 in the first: values 1 / (1 - g^2) and g / (1 - g^2)."""
    told = {"discount": 0.5, "learning_rate": 3e-3, "initial_temperature": 1e-6, "critics": 2, "utd": 10}
    arch = msgspec.structs.replace(TINY, hidden=(8, 8))
    agent, state = make(arch, (0.0, 2.0), **told, polyak=0.05, categorical=categorical, bins=21)
    before = snapshot(state)
    state, values = values_after(agent, state, 50)
    np.testing.assert_allclose(values, [4 / 3, 2 / 3], atol=0.15)
    assert agent.stepper.block._cache_size() == 1
    for params, earlier in ((state.critics, before.critics), (state.target_critics, before.target_critics)):
        for name, found in lengths(params).items():
            np.testing.assert_allclose(found, 1.0, rtol=1e-5, err_msg=name)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            same = np.allclose(leaf, dict(jax.tree_util.tree_leaves_with_path(earlier))[path], rtol=1e-5)
            assert same == (path[-1].key == "support"), path
