"""Batch-normalised critics without targets, and critics of bins: what an update moves, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learning import SEEING, TINY, digest, make_batch, normaliser, small_sac, snapshot, values_after, vector_spec

from learner.agents import make_agent
from learner.agents.base import Judge, minibatch
from learner.agents.crossq import CrossQ
from learner.agents.sac import Sac, State
from learner.config import CalQlConfig, RlpdConfig, SacConfig
from networks import critic, policy
from networks.architecture import Architecture, ArchitectureError

pytestmark = pytest.mark.usefixtures("quick_compiles")


def make(arch: Architecture = TINY, **changes: object) -> tuple[CrossQ, State]:
    agent = CrossQ(small_sac(batch_norm=True, **changes), arch, None)
    return agent, agent.init(0, normaliser(arch))


def test_the_target_is_of_the_joint_pass_by_the_critics_themselves():
    agent, state = make(critics=2, subset=2, discount=0.5)
    batch = minibatch(make_batch(TINY, 1), 0)
    key = jax.random.key(3)
    prepared = agent.prepared(state, batch, key)
    here, after = batch["observation"]["state"], batch["next_observation"]["state"]
    move, _ = policy.sample(policy.distribution(state.policy, jnp.asarray(after)), key)
    joint = jnp.concatenate([here, after]), jnp.concatenate([batch["action"], move])
    values = critic.means(state.critics, critic.logits_in_training(state.critics, *joint)[0])
    wanted = batch["reward"] + 0.5 * values[:, 8:].min(axis=0)
    np.testing.assert_allclose(agent.td_target(state, prepared, key), wanted, rtol=1e-4, atol=1e-5)
    loss, (_, told) = agent.critic_loss(
        {"encoder": state.encoder, "critics": state.critics}, state.normaliser, prepared, wanted
    )
    np.testing.assert_allclose(told, values[:, :8], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, jnp.mean((values[:, :8] - wanted) ** 2), rtol=1e-4)


@pytest.mark.parametrize("arch", [TINY, SEEING], ids=["vectors", "cameras"])
def test_an_update_moves_critics_and_their_moments_and_there_are_no_targets(arch: Architecture):
    agent, state = make(arch, utd=2, actor_period=2, categorical=False)
    before = snapshot(state)
    state, metrics = agent.update(state, make_batch(arch, 2))
    assert state.target_critics == {}
    for name in ("w", "mean", "variance"):
        leaves = jax.tree_util.tree_leaves_with_path(state.critics["trunk"])
        assert all(np.isfinite(leaf).all() for _, leaf in leaves)
        earlier = dict(jax.tree_util.tree_leaves_with_path(before.critics["trunk"]))
        assert all(np.any(leaf != earlier[path]) for path, leaf in leaves if path[-1].key == name)
    assert digest(state.policy) != digest(before.policy)
    assert np.isfinite(float(metrics["critic/loss"]))


def test_the_same_seed_gives_the_same_parameters_bit_by_bit():
    agent, _ = make(utd=2, actor_period=2)
    states = [agent.update(agent.init(0, normaliser(TINY)), make_batch(TINY, 2))[0] for _ in range(2)]
    assert digest(states[0]) == digest(states[1])


def test_bins_are_trained_within_what_the_task_makes_possible():
    agent = Sac(small_sac(categorical=True, bins=41), TINY, (0.0, 1.0))
    state = agent.init(0, normaliser(TINY))
    assert state.critics["head"]["w"].shape == (4, 8, 41)
    support = np.array(state.critics["support"])
    assert support[0, 0] < 0 < 1 < support[0, -1]
    state, metrics = agent.update(state, make_batch(TINY, 1))
    np.testing.assert_array_equal(state.critics["support"], support)
    np.testing.assert_allclose(state.target_critics["support"], support, rtol=1e-6)
    assert np.isfinite(float(metrics["critic/loss"]))


def test_bins_without_known_returns_are_refused_with_the_cure():
    with pytest.raises(ArchitectureError, match=r"agent.categorical=true spreads bins over the returns"):
        make_agent(SacConfig(categorical=True), vector_spec())


@pytest.mark.parametrize("key", ["batch_norm", "categorical", "hyperspherical"])
def test_conservative_critics_are_plain(key: str):
    with pytest.raises(ValueError, match=f"agent.{key}=true goes with agent=sac or rlpd, got agent=calql"):
        CalQlConfig(**{key: True})  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{}, {"batch_norm": True}, {"categorical": True}, {"hyperspherical": True}])
def test_what_judges_is_whole_and_says_what_it_is(changes: dict):
    spec = vector_spec(return_bounds=(0.0, 1.0))
    agent = make_agent(RlpdConfig(hidden=[8], critics=2, **changes), spec)
    state = agent.init(0, normaliser(agent.arch))
    judge = agent.judge(state)
    assert isinstance(judge, Judge)
    wanted = jax.eval_shape(lambda: critic.init(jax.random.key(0), judge.arch, judge.arch.critics))  # type: ignore[arg-type]
    shapes = jax.tree.map(lambda leaf: leaf.shape, wanted)
    assert jax.tree.map(lambda leaf: leaf.shape, judge.params["critics"]) == shapes


def test_values_of_a_known_process_are_found_without_targets():
    agent, state = make(discount=0.5, learning_rate=3e-3, initial_temperature=1e-6, critics=2, utd=10)
    _, values = values_after(agent, state, 120)
    np.testing.assert_allclose(values, [4 / 3, 2 / 3], atol=0.15)
