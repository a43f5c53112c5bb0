"""The gripper's critic is the double DQN of the paper, and demonstrations teach it from the start."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learning import digest, normaliser, small_sac, snapshot
from test_gripper import ONE, TWO, arch_of

from learner.agents import grasp
from learner.agents.base import minibatch
from learner.agents.sac import Sac
from learner.checkpoint import Checkpointer
from learner.limiter import RateLimiter
from networks import gripper, policy
from networks.architecture import Architecture

pytestmark = pytest.mark.usefixtures("quick_compiles")

ARCH = arch_of(ONE)


def batch_of(arch: Architecture, minibatches: int = 1, size: int = 8, seed: int = 0) -> dict[str, Any]:
    """Random moves; grippers are told to open or shut."""
    rng = np.random.default_rng(seed)
    shape = (minibatches, size)

    def observation() -> dict[str, np.ndarray]:
        vector = rng.normal(size=(*shape, 4)).astype(np.float32)
        for each in arch.grippers:
            vector[..., each.element] = rng.choice([-1.0, 1.0], shape)
        return {"proprio": vector}

    action = rng.uniform(-1, 1, (*shape, arch.action_dim)).astype(np.float32)
    for each in arch.grippers:
        action[..., each.entry] = rng.choice([-1.0, 1.0], shape)
    prior = np.zeros(shape, np.float32)
    prior[:, : size // 2] = 1.0
    return {
        "observation": observation(),
        "next_observation": observation(),
        "action": action,
        "reward": rng.normal(size=shape).astype(np.float32),
        "mask": (rng.uniform(size=shape) > 0.3).astype(np.float32),
        "prior": prior,
        "human": prior.copy(),
        "source": prior.astype(np.int8),
    }


def make(arch: Architecture = ARCH, bounds: tuple[float, float] | None = None, **changes: Any) -> Sac:
    return Sac(small_sac(**changes), arch, bounds)


@pytest.mark.parametrize("spec", [ONE, TWO], ids=["one", "two"])
def test_the_target_takes_the_online_networks_choice_and_the_targets_value_less_the_penalty(spec: Any):
    arch = arch_of(spec)
    online, target = (gripper.init(jax.random.key(k), arch) for k in (0, 1))
    for params in (online, target):
        params["head"]["w"] *= 100.0  # So that the two disagree.
    batch = minibatch(batch_of(arch, size=32), 0)
    features = jnp.asarray(batch["next_observation"]["proprio"])
    got = grasp.td_target(online, target, features, batch, arch, discount=0.9, toggle_penalty=0.02)
    best = np.argmax(gripper.values(online, features), axis=1)
    theirs = np.asarray(gripper.values(target, features))
    assert (best != theirs.argmax(axis=1)).any()
    toggled = sum(
        (batch["action"][:, each.entry] > 0) != (batch["observation"]["proprio"][:, each.element] > 0)
        for each in arch.grippers
    )
    wanted = batch["reward"] - 0.02 * toggled + 0.9 * batch["mask"] * theirs[np.arange(32), best]
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert 0 < np.mean(toggled > 0) < 1


def test_the_penalty_is_in_the_grippers_reward_alone():
    batch = minibatch(batch_of(ARCH), 0)
    seen = []
    for penalty in (0.0, 5.0):
        agent = make(toggle_penalty=penalty)
        state, metrics = agent.stepper.single[False](agent.init(0, normaliser(ARCH)), batch)
        seen.append((digest(state.critics), float(metrics["critic/grasp_loss"])))
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] < seen[1][1]


def test_the_critics_and_the_target_entropy_are_of_the_continuous_entries_alone():
    agent = make()
    assert agent._target_entropy == -0.5 * 2
    state = agent.init(0, normaliser(ARCH))
    assert state.critics["trunk"]["dense_0"]["w"].shape[1] == 4 + 2
    assert state.policy["head"]["w"].shape[1] == 2 * 2
    batch = minibatch(batch_of(ARCH), 0)
    other = batch | {"action": batch["action"] * np.array([1, -1, 1], np.float32)}
    losses = [
        float(agent.stepper.single[False](agent.init(0, normaliser(ARCH)), b)[1]["critic/loss"]) for b in (batch, other)
    ]
    assert losses[0] == losses[1]


def test_its_average_moves_by_polyak_and_is_what_travels():
    agent = make(polyak=0.25)
    state = agent.init(0, normaliser(ARCH))
    before = snapshot(state)
    state, _ = agent.stepper.single[False](state, minibatch(batch_of(ARCH), 0))
    wanted = jax.tree.map(lambda new, old: 0.25 * new + 0.75 * old, state.gripper, before.target_gripper)
    for a, b in zip(jax.tree.leaves(agent.policy(state)["gripper"]), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_demonstrated_commands_are_chosen_before_any_reward_has_been_seen():
    # Shut where the first number is positive, open where it is not; nothing is ever rewarded.
    agent = make(utd=4, learning_rate=3e-3, bc_weight=3.0, toggle_penalty=0.0)
    state = agent.init(0, normaliser(ARCH))
    for block in range(60):
        batch = batch_of(ARCH, 4, 32, seed=block)
        where = batch["observation"]["proprio"][..., 0] > 0
        batch["action"][..., 1] = np.where(where, -1.0, 1.0)
        batch |= {"reward": np.zeros_like(batch["reward"]), "prior": np.ones_like(batch["prior"])}
        state, _ = agent.update(state, batch)
    seen = jax.tree.map(jnp.asarray, minibatch(batch_of(ARCH, size=200, seed=999), 0)["observation"])
    action = policy.act(agent.policy(state), seen, None, ARCH)
    right = (action[:, 1] > 0) == (seen["proprio"][:, 0] <= 0)
    assert float(right.mean()) > 0.9


def test_the_policys_own_commands_get_no_margin():
    params = gripper.init(jax.random.key(0), ARCH)
    batch = minibatch(batch_of(ARCH), 0)
    features = jnp.asarray(batch["observation"]["proprio"])
    pull = jnp.asarray(batch["prior"])
    arguments = (params, features, batch, jnp.zeros(8), ARCH)
    _, metrics = grasp.loss(*arguments, pull, 0.1)
    assert float(metrics["critic/grasp_margin_loss"]) > 0
    loss, metrics = grasp.loss(*arguments, 0 * pull, 0.1)
    assert float(metrics["critic/grasp_margin_loss"]) == 0
    assert float(loss) == pytest.approx(float(metrics["critic/grasp_loss"]))


def test_without_demonstrations_it_finds_out_which_class_is_rewarded():
    agent = make(utd=4, learning_rate=3e-3, toggle_penalty=0.0)
    state = agent.init(0, normaliser(ARCH))
    for block in range(80):
        batch = batch_of(ARCH, 4, 32, seed=block)
        batch |= {"reward": (batch["action"][..., 1] < 0).astype(np.float32), "mask": np.zeros_like(batch["mask"])}
        state, _ = agent.update(state, batch)
    seen = jax.tree.map(jnp.asarray, minibatch(batch_of(ARCH, size=200, seed=999), 0)["observation"])
    assert float((policy.act(agent.policy(state), seen, None, ARCH)[:, 1] < 0).mean()) > 0.9


def test_equal_seeds_give_equal_states_and_a_checkpoint_brings_all_of_it_back(tmp_path: Any):
    agent = Sac(small_sac(utd=2, bc_weight=1.0), ARCH, (0.0, 1.0), "lagrange")
    states = []
    for seed in (0, 0, 1):
        state = agent.init(seed, normaliser(ARCH))
        for block in range(2):
            state, _ = agent.update(state, batch_of(ARCH, 2, seed=block))
        states.append(state)
    assert digest(states[0]) == digest(states[1]) != digest(states[2])
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(states[0], RateLimiter(done=2), fingerprint="abc", version=1)
    checkpointer.close()
    restored, _, _ = Checkpointer(tmp_path).restore(agent.init(5, normaliser(ARCH)), fingerprint="abc")
    assert digest(restored) == digest(states[0])
