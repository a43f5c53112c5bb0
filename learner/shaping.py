"""What a reward model thinks of every state in the replay, as potentials whose differences are added to rewards.

A potential belongs to a state, so it is kept by the slot of an observation: the transition that leads there and the one
that goes on from there see the same number whenever they are drawn, and of what is added to an episode nothing remains
but the potential that it began with. A state of which nobody has said anything has none, and what touches it waits.
"""

import msgspec
import numpy as np

from rewards.shaping import log_odds, potential, shaping
from wire.errors import UserError
from wire.specs import EnvSpec


class UnscoredError(UserError, ValueError):
    """Rewards depend on what a model says of states, and it has said nothing of some that are there."""


class Potentials:
    """One number for every slot of a replay: NaN until a model's word of it has come."""

    def __init__(self, slots: int, *, scale: float, discount: float) -> None:
        """Unknown everywhere.

        Args:
            slots: Observations.
            scale: Potentials lie within [-scale, scale].
            discount: The agent's own; with another one the best policy may change.
        """
        self._phi = np.full(slots, np.nan)
        self._scale, self._discount = scale, discount

    def forget(self, slot: int) -> None:
        """Another observation comes to lie in this slot."""
        self._phi[slot] = np.nan

    def put(self, slot: int, probability: float) -> None:
        """Take in what a model says of a state; the newest word counts, whatever version said it."""
        self._phi[slot] = potential(log_odds(np.array(probability)), self._scale)

    def known(self, *slots: int) -> bool:
        """Whether all of these states have one."""
        return not np.isnan(self._phi[list(slots)]).any()

    def at(self, slots: np.ndarray) -> np.ndarray:
        """Of these states, float32, shape as given."""
        return self._phi[slots].astype(np.float32)

    def added(self, here: np.ndarray, after: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """What to add to rewards of transitions between these slots, float32; `mask` is 0 where the task ended."""
        return shaping(self._phi[here], self._phi[after], mask == 0, self._discount).astype(np.float32)


def spec_of_returns(spec: EnvSpec, scale: float, *, by_model: bool) -> EnvSpec:
    """The spec with returns as they may be in training, where that is not how the task's own are.

    With potentials within [-scale, scale] a value is less by its state's; where the rewards are `by_model`, which knows
    no success that ends a task, returns lie within no bounds that would be worth clipping at.
    """
    if by_model:
        return msgspec.structs.replace(spec, return_bounds=None)
    if spec.return_bounds is None or not scale:
        return spec
    low, high = spec.return_bounds
    return msgspec.structs.replace(spec, return_bounds=(low - scale, high + scale))


def require_scores(waiting: int, of: int, whose: str) -> None:
    """Raise UnscoredError where a model has not scored `waiting` of `of` transitions: all else would leave them out."""
    if waiting:
        raise UnscoredError(
            f"the reward needs a model's word for every state, and of {waiting} of {of} transitions of {whose} there "
            "is none; let it score them: handrail rewards relabel model=<folder> runs=[<those>]"
        )
