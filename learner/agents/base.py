"""What every agent offers the learner."""

import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from networks.architecture import Architecture, Critics
from networks.layers import Params

SOURCES = ("online", "prior", "archive")
"""Where the rows of a minibatch come from: this run's policy, demonstrations and corrections, past runs."""

Batch = dict[str, Any]
"""Minibatches, stacked: observation and next_observation (name -> (utd, batch, ...)), action (utd, batch, d),
reward (utd, batch), mask (utd, batch), which is 0 only where the task itself ended, prior (utd, batch), which is 1 for
demonstrations, corrections and the successes of past runs, human (utd, batch), which is 1 for demonstrations and
corrections, those of past runs too, source (utd, batch), an index of SOURCES, return_to_go (utd, batch), the discounted
return of the episode from there, minus infinity where it is not over, and takeover_in (utd, batch): see
learner.transitions."""

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

    def judge(self, state: Any) -> "Judge | None":
        """What ranks the proposals of another policy; None where the agent has nothing that judges whole actions."""
        ...


class Judge(NamedTuple):
    """Critics as they are left in the run, for `handrail actor steer=<run>`."""

    arch: Architecture
    params: Params
    """{"encoder", "normaliser", "critics"}."""


def judging(arch: Architecture, ensemble: Critics, state: Any) -> Judge | None:
    """The averaged critics and encoder of a state, or its newest critics where it keeps no average of them."""
    if arch.grippers:
        return None  # They judge moves alone; what a discrete gripper does is judged elsewhere.
    critics = state.target_critics or state.critics
    params = {"encoder": state.average_encoder, "normaliser": state.normaliser, "critics": critics}
    return Judge(msgspec.structs.replace(arch, critics=ensemble), params)


def error_by_source(values: jax.Array, target: jax.Array, batch: Batch) -> Metrics:
    """Mean absolute TD error of each source of the minibatch; NaN where it has no row of that source.

    Args:
        values: Of every critic, (members, batch).
        target: (batch,).
        batch: One minibatch.
    """
    error = jnp.abs(values - target).mean(axis=0)
    return {f"critic/td_error_{name}": jnp.mean(error, where=batch["source"] == i) for i, name in enumerate(SOURCES)}


def numbers_of(metrics: Metrics) -> dict[str, float]:
    """Metrics as plain numbers, without the TD errors of sources that the batch drew nothing from."""
    found = {name: float(value) for name, value in metrics.items()}
    return {name: value for name, value in found.items() if "td_error" not in name or not math.isnan(value)}


def minibatch(batch: Batch, index: int | slice) -> Batch:
    """One of the stacked minibatches (or a shorter stack of them)."""
    return jax.tree.map(lambda leaf: leaf[index], batch)
