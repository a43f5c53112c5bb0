"""Cloning reproduces what was shown, and moves nothing else."""

import jax
import numpy as np
import pytest
from learning import SEEING, TINY, digest, make_batch, normaliser

from learner.agents.bc import Bc
from learner.config import BcConfig
from networks import policy
from networks.architecture import Architecture

pytestmark = pytest.mark.usefixtures("quick_compiles")


def small(**changes: object) -> BcConfig:
    settings: dict = {"batch_size": 8, "hidden": [32], "learning_rate": 3e-3, "utd": 4}
    return BcConfig(**settings | changes)


def test_the_policy_comes_to_act_as_was_shown_and_hardly_explores():
    agent = Bc(small(), TINY)
    state = agent.init(0, normaliser(TINY))
    for block in range(200):
        batch = make_batch(TINY, 4, size=32, seed=block)
        batch["action"] = 0.5 * np.tanh(batch["observation"]["state"][..., :2])
        state, metrics = agent.update(state, batch)
    assert float(metrics["actor/loss"]) < 5e-3
    seen = {"state": make_batch(TINY, 1, size=100, seed=999)["observation"]["state"][0]}
    wanted = 0.5 * np.tanh(seen["state"][:, :2])
    sure = policy.act(agent.policy(state), seen, None, TINY)
    explored = policy.act(agent.policy(state), seen, jax.random.key(0), TINY)
    assert np.abs(np.asarray(sure) - wanted).mean() < 0.1
    assert np.abs(np.asarray(explored - sure)).max() < 0.05


@pytest.mark.parametrize("arch", [TINY, SEEING], ids=["vectors", "cameras"])
def test_each_minibatch_is_one_step_and_equal_seeds_give_equal_states(arch: Architecture):
    digests = []
    for seed in (0, 0, 1):
        agent = Bc(small(utd=2), arch)
        state, _ = agent.update(agent.init(seed, normaliser(arch)), make_batch(arch, 2))
        assert int(state.step) == int(state.optimiser[0].count) == 2
        digests.append(digest(state))
    assert digests[0] == digests[1] != digests[2]
