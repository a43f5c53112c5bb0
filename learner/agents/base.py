"""What every agent offers the learner."""

from typing import Any, Protocol

import jax
import numpy as np

from networks.architecture import Architecture
from networks.layers import Params

Batch = dict[str, Any]
"""Minibatches, stacked: observation and next_observation (name -> (utd, batch, ...)), action (utd, batch, d),
reward (utd, batch), mask (utd, batch), which is 0 only where the task itself ended, and prior (utd, batch), which is 1
for demonstrations and corrections."""

Metrics = dict[str, jax.Array]


class Agent(Protocol):
    """Pure functions around one immutable configuration: all that changes is in the state that goes in and out."""

    arch: Architecture

    def init(self, seed: int, normaliser: dict[str, np.ndarray]) -> Any:
        """The state before the first update; `normaliser` holds mean and std of the vectors."""
        ...

    def update(self, state: Any, batch: Batch) -> tuple[Any, Metrics]:
        """One gradient step per leading entry of the batch. Consumes `state`: its buffers are reused."""
        ...

    def policy(self, state: Any) -> Params:
        """What travels to the robot: {"encoder", "normaliser", "policy"}."""
        ...


def minibatch(batch: Batch, index: int | slice) -> Batch:
    """One of the stacked minibatches (or a shorter stack of them)."""
    return jax.tree.map(lambda leaf: leaf[index], batch)
