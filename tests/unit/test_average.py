"""What travels to the robot is an average, and its encoder is one of the same age as what reads its features."""

from typing import Any

import jax
import numpy as np
import pytest
from learning import make_batch, normaliser, snapshot, vector_spec

from learner.agents import make_agent
from learner.config import CqlConfig, GqnConfig, IqlConfig, QcConfig, RlpdConfig, Td3BcConfig
from wire.specs import ArraySpec

pytestmark = pytest.mark.usefixtures("quick_compiles")
SMALL: dict[str, Any] = {"batch_size": 8, "hidden": [8], "embedding": 6, "utd": 1}
RATE = 0.25
AGENTS = {
    "rlpd": RlpdConfig(**SMALL, actor_period=1, critics=2, policy_polyak=RATE),
    "crossq": RlpdConfig(**SMALL, actor_period=1, critics=2, policy_polyak=RATE, batch_norm=True),
    "cql": CqlConfig(**SMALL, actor_period=1, critics=2, policy_polyak=RATE, compared_actions=2, backup_actions=2),
    "iql": IqlConfig(**SMALL, policy_polyak=RATE),
    "td3bc": Td3BcConfig(**SMALL, actor_period=1, polyak=RATE),
    "qc": QcConfig(**SMALL, policy_polyak=RATE, chunk=2),
    "gqn": GqnConfig(**SMALL, polyak=RATE, n_step=2),
}
WINDOWS = ("qc", "gqn")


@pytest.mark.parametrize("name", AGENTS)
def test_the_encoder_that_acts_follows_as_slowly_as_the_policy_that_reads_it(name: str):
    seen = {
        "front": ArraySpec(shape=(16, 16, 3), dtype="uint8"),
        "state": ArraySpec(shape=(3,), dtype="float32"),
    }
    agent = make_agent(AGENTS[name], vector_spec(observation=seen, return_bounds=(0.0, 1.0)))
    state = agent.init(0, normaliser(agent.arch))
    before = snapshot(state.encoder)
    batch = make_batch(agent.arch, 1)
    if name in WINDOWS:
        ones = np.ones_like(batch["mask"])
        batch |= {"action": np.tile(batch["action"], 2), "bootstrap": 0.9 * ones, "valid": ones}
    state, _ = agent.update(state, batch)
    jax.tree.map(
        lambda old, new, acting: np.testing.assert_allclose(acting, old + RATE * (new - old), rtol=1e-4, atol=1e-6),
        before,
        snapshot(state.encoder),
        snapshot(agent.policy(state)["encoder"]),
    )
    moved = jax.tree.map(lambda old, new: float(np.abs(new - old).max()), before, snapshot(state.encoder))
    assert max(jax.tree.leaves(moved)) > 1e-5
