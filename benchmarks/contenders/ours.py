"""Handrail's own update: `learner.agents.sac.Sac` under RLPD's settings."""

from collections.abc import Callable

import jax
import numpy as np
from blocks import Block, batch_of
from worker import serve

from learner.agents.sac import Sac
from learner.config import RlpdConfig
from networks.architecture import Architecture


def prepare(block: Block, variant: str) -> Callable[[], None]:
    """One repetition is one call of `Sac.update`."""
    config = RlpdConfig(
        utd=block.utd,
        actor_period=block.utd,
        batch_size=block.batch,
        critics=block.critics,
        subset=block.subset,
        hidden=list(block.hidden),
        embedding=block.embedding,
    )
    arch = Architecture(
        frames={f"camera_{i}": (block.image, block.image, 3) for i in range(block.cameras)},
        vectors={"state": block.vector},
        action_dim=block.action,
        hidden=block.hidden,
        channels=block.channels,
        embedding=block.embedding,
    )
    agent = Sac(config, arch, (0.0, 1.0))
    normaliser = {"mean": np.zeros(block.vector, np.float32), "std": np.ones(block.vector, np.float32)}
    state = agent.init(0, normaliser)
    batch = batch_of(block)

    def run() -> None:
        nonlocal state
        state, _ = agent.update(state, batch)
        jax.block_until_ready(state)

    for _ in range(2):
        run()
    return run


if __name__ == "__main__":
    serve(prepare)
