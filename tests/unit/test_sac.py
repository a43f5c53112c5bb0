"""The update is the one that the papers describe, and nothing moves that should stand still."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learning import SEEING, TINY, digest, make_batch, make_sac, normaliser, small_sac, snapshot

from learner.agents.base import error_by_source, minibatch, numbers_of
from learner.agents.sac import Sac, State
from networks import critic, encoder, policy
from networks.architecture import Architecture

pytestmark = pytest.mark.usefixtures("quick_compiles")


def make(arch: Architecture = TINY, bounds: tuple[float, float] | None = None, **changes: Any) -> tuple[Sac, State]:
    agent = make_sac(arch, bounds, **changes)
    return agent, agent.init(0, normaliser(arch))


def counts(state: State) -> dict[str, int]:
    return {name: int(optimiser[0].count) for name, optimiser in state.optimisers.items()}


def by_hand(agent: Sac, state: State, batch: dict, steps: int) -> State:
    """The block as single calls of the gradient step, compiled for themselves."""
    for i in range(steps):
        with_actor = (i + 1) % agent.config.actor_period == 0
        state, _ = agent.stepper.single[with_actor](state, minibatch(batch, i))
    return state


@pytest.mark.parametrize(("utd", "period"), [(1, 1), (4, 2), (4, 4)])
def test_a_block_has_utd_critic_updates_and_one_actor_update_per_period(utd: int, period: int):
    agent, state = make(utd=utd, actor_period=period)
    state, _ = agent.update(state, make_batch(TINY, utd))
    actor = utd // period
    assert counts(state) == {"critics": utd, "policy": actor, "log_temperature": actor, "encoder": utd}
    assert int(state.step) == utd


def test_one_compiled_block_equals_its_steps_one_by_one():
    agent, state = make(utd=4, actor_period=2, layer_norm=True)
    other = agent.init(0, normaliser(TINY))
    batch = make_batch(TINY, 4)
    state, _ = agent.stepper.block(state, batch)
    other = by_hand(agent, other, batch, 4)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("arch", [TINY, SEEING], ids=["vectors", "cameras"])
def test_equal_seed_and_batches_give_bit_identical_states_and_another_seed_does_not(arch: Architecture):
    digests = []
    for seed in (0, 0, 1):
        agent = make_sac(arch, utd=4, actor_period=2, layer_norm=True)
        state = agent.init(seed, normaliser(arch))
        for block in range(3):
            state, _ = agent.update(state, make_batch(arch, 4, seed=block))
        digests.append(digest(state))
    assert digests[0] == digests[1] != digests[2]


def test_a_critic_only_step_leaves_policy_temperature_and_their_optimisers_as_they_are():
    agent, state = make(utd=2, actor_period=2)
    state, _ = agent.update(state, make_batch(TINY, 2))  # Adam has momentum now.
    before = snapshot(state)
    state, _ = agent.stepper.single[False](state, minibatch(make_batch(TINY, 1, seed=5), 0))
    for part in ("policy", "average_policy", "log_temperature"):
        assert digest(getattr(state, part)) == digest(getattr(before, part)), part
    for name in ("policy", "log_temperature"):
        assert digest(state.optimisers[name]) == digest(before.optimisers[name]), name
    assert digest(state.critics) != digest(before.critics)


def test_the_actor_update_touches_neither_encoder_nor_critics():
    agent, state = make(SEEING)
    twin = agent.init(0, normaliser(SEEING))
    batch = minibatch(make_batch(SEEING, 1), 0)
    state, _ = agent.stepper.single[True](state, batch)
    twin, _ = agent.stepper.single[False](twin, batch)
    for part in ("encoder", "critics", "target_critics"):
        for a, b in zip(jax.tree.leaves(getattr(state, part)), jax.tree.leaves(getattr(twin, part)), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
    assert digest(state.policy) != digest(twin.policy)


def test_the_targets_move_by_polyak_after_every_critic_step():
    agent, state = make(polyak=0.25)
    for i in range(3):
        before = snapshot(state)
        state, _ = agent.stepper.single[False](state, minibatch(make_batch(TINY, 1, seed=i), 0))
        wanted = jax.tree.map(lambda new, old: 0.25 * new + 0.75 * old, state.critics, before.target_critics)
        for a, b in zip(jax.tree.leaves(state.target_critics), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_policy_that_acts_is_the_polyak_average():
    agent, state = make(policy_polyak=0.5)
    before = snapshot(state)
    state, _ = agent.update(state, make_batch(TINY, 1))
    wanted = jax.tree.map(lambda new, old: 0.5 * new + 0.5 * old, state.policy, before.average_policy)
    for a, b in zip(jax.tree.leaves(agent.policy(state)["policy"]), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def target_by_hand(agent: Sac, state: State, batch: dict, key: jax.Array, members: list[int]) -> np.ndarray:
    key_action, _ = jax.random.split(key)
    features = encoder.apply(state.encoder, state.normaliser, batch["next_observation"], agent.arch)
    action, log_probability = policy.sample(policy.distribution(state.policy, features), key_action)
    value = np.asarray(critic.apply(state.target_critics, features, action))[members].min(axis=0)
    if agent.config.backup_entropy:
        value = value - np.exp(state.log_temperature) * log_probability
    return np.asarray(batch["reward"] + agent.config.discount * batch["mask"] * value)


@pytest.mark.parametrize("backup_entropy", [False, True])
def test_the_target_is_reward_plus_discounted_minimum_and_holds_entropy_only_on_request(backup_entropy: bool):
    agent, state = make(critics=3, subset=3, backup_entropy=backup_entropy, initial_temperature=0.5)
    batch = minibatch(make_batch(TINY, 1), 0)
    key = jax.random.key(9)
    wanted = target_by_hand(agent, state, batch, key, [0, 1, 2])
    np.testing.assert_allclose(agent.td_target(state, batch, key), wanted, atol=1e-5)
    assert not small_sac().backup_entropy


def test_the_subset_holds_distinct_critics_and_every_pair_comes_up():
    agent, state = make(critics=3, subset=2)
    batch = minibatch(make_batch(TINY, 1, size=64), 0)
    pairs = ([0, 1], [0, 2], [1, 2])
    seen = set()
    compiled = jax.jit(agent.td_target)
    for k in range(40):
        key = jax.random.key(k)
        target = compiled(state, batch, key)
        fits = [
            i
            for i, m in enumerate(pairs)
            if np.allclose(target, target_by_hand(agent, state, batch, key, m), atol=1e-4)
        ]
        assert len(fits) == 1, "a pair of distinct critics explains each target"
        seen.add(fits[0])
    assert seen == {0, 1, 2}


def test_where_the_task_ended_the_target_is_the_reward_alone():
    agent, state = make()
    batch = minibatch(make_batch(TINY, 1), 0) | {"mask": np.zeros(8, np.float32)}
    np.testing.assert_array_equal(agent.td_target(state, batch, jax.random.key(0)), batch["reward"])


@pytest.mark.parametrize("terminated", [True, False], ids=["ended", "time limit"])
def test_value_follows_a_time_limit_and_none_follows_an_ending(terminated: bool):
    # Two states: the first leads to the second with reward 0, the second ends there or is cut, always with reward 1.
    agent, state = make(utd=10, discount=0.5, polyak=0.1, learning_rate=3e-3, initial_temperature=1e-6, layer_norm=True)
    rng = np.random.default_rng(0)
    states = np.eye(3, dtype=np.float32)[:2]
    which = np.tile(np.arange(2), 32)
    shape = (10, 64)
    batch = {
        "observation": {"state": np.broadcast_to(states[which], (*shape, 3))},
        "next_observation": {"state": np.broadcast_to(states[1], (*shape, 3))},
        "reward": np.broadcast_to(which.astype(np.float32), shape),
        "mask": np.broadcast_to(np.where((which == 1) & terminated, 0.0, 1.0).astype(np.float32), shape),
        "prior": np.zeros(shape, np.float32),
        "human": np.zeros(shape, np.float32),
        "source": np.zeros(shape, np.int8),
    }
    for _ in range(150):
        action = rng.uniform(-1, 1, (*shape, 2)).astype(np.float32)
        state, _ = agent.update(state, batch | {"action": action})
    values = critic.apply(state.critics, jnp.asarray(states), jnp.zeros((2, 2))).mean(axis=0)
    # Ended: V = (0.5 * 1, 1). Cut: V2 = 1 + 0.5 V2 = 2 and V1 = 0.5 * 2.
    np.testing.assert_allclose(values, [0.5, 1.0] if terminated else [1.0, 2.0], atol=0.15)


def test_targets_are_clipped_to_the_possible_returns_and_metrics_show_them_unclipped():
    batch = make_batch(TINY, 1)
    batch["reward"] = np.full_like(batch["reward"], 100.0)
    losses = {}
    for name, bounds, clip in (("on", (0.0, 1.0), True), ("off", (0.0, 1.0), False), ("unknown", None, True)):
        agent, state = make(bounds=bounds, clip_targets=clip)
        _, metrics = agent.update(state, batch)
        losses[name] = float(metrics["critic/loss"])
        assert float(metrics["critic/target_mean"]) > 90
    assert losses["on"] < 20 < 5000 < losses["off"] == losses["unknown"]


def test_the_temperature_rises_while_entropy_is_below_its_target_and_falls_above():
    for wanted, sign in ((10.0, 1), (-10.0, -1)):
        agent, state = make(target_entropy_per_dim=wanted, initial_temperature=0.1)
        state, _ = agent.update(state, make_batch(TINY, 1))
        assert sign * (float(state.log_temperature) - np.log(0.1)) > 0


def test_the_policy_learns_to_prefer_what_the_critics_prefer():
    # One step, reward for a first action dimension near 0.5, no future.
    arch = Architecture(frames={}, vectors={"state": 3}, action_dim=2, hidden=(32, 32))
    agent, state = make(
        arch, utd=4, learning_rate=3e-3, initial_temperature=1e-4, layer_norm=True, target_entropy_per_dim=-3.0
    )
    rng = np.random.default_rng(0)
    for block in range(250):
        batch = make_batch(TINY, 4, size=64, seed=block)
        batch["action"] = rng.uniform(-1, 1, batch["action"].shape).astype(np.float32)
        batch["reward"] = -((batch["action"][..., 0] - 0.5) ** 2)
        batch["mask"] = np.zeros_like(batch["mask"])
        state, _ = agent.update(state, batch)
    seen = {"state": jnp.zeros((1, 3))}
    assert float(policy.act(agent.policy(state), seen, None, arch)[0, 0]) == pytest.approx(0.5, abs=0.2)


def test_the_error_of_every_source_is_told_apart_and_one_that_is_absent_has_none():
    values, target = jnp.array([[1.0, 2.0, 5.0], [3.0, 2.0, 5.0]]), jnp.array([1.0, 0.0, 5.0])
    errors = error_by_source(values, target, {"source": jnp.array([0, 1, 1])})
    assert numbers_of(errors) == {"critic/td_error_online": 1.0, "critic/td_error_prior": 1.0}
