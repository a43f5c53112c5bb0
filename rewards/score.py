"""What every reward model is to the others: observations in, scores out. Nothing heavy is imported here."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from wire.errors import UserError
from wire.specs import EnvSpec
from wire.types import Observation

Batch = Mapping[str, np.ndarray]
"""Stacked observations: uint8 images of shape (n, height, width, 3) and float32 vectors of shape (n, m), by name."""


class ModelError(UserError, ValueError):
    """A reward model cannot be loaded, or cannot judge what it was given; the text says why and what to do."""


class Scores(NamedTuple):
    """What a model says of n moments."""

    value: np.ndarray
    """Float64 of shape (n,), finite: the probability of success, or, where the model has no rule, the reward itself."""
    confidence: np.ndarray
    """Float64 of shape (n,), from 0 (a guess) to 1 (sure)."""
    version: str
    """Of the model that said so."""


class Gate(NamedTuple):
    """What must be so in any success, whatever a picture looks like: one element of a vector lies between two bounds."""

    name: str
    """Of the observation, e.g. proprio."""
    index: int
    low: float | None = None
    high: float | None = None

    def passes(self, observation: Mapping[str, np.ndarray]) -> bool:
        """Whether the bounds hold; raises ModelError where the observation has no such element."""
        vector = observation.get(self.name)
        if vector is None or not 0 <= self.index < vector.shape[-1]:
            raise ModelError(f"the gate looks at {self.name}[{self.index}], which these observations do not have")
        value = float(vector[self.index])
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class Rule(NamedTuple):
    """When probabilities mean success: `k` of the last `n` moments are at or above `threshold`, and the gate is open."""

    threshold: float
    k: int = 1
    n: int = 1
    gate: Gate | None = None

    def problem(self) -> str | None:
        """What is wrong with it, or None."""
        if not 0 < self.threshold < 1:
            return f"threshold must be in 0..1 (both excluded), got {self.threshold}"
        if not 1 <= self.k <= self.n <= 100:
            return f"k of n must be 1 <= k <= n <= 100, got {self.k} of {self.n}"
        return None


class RewardModel(Protocol):
    """Judges observations. A model never changes: what is trained again has another version."""

    kind: str
    """Of model, e.g. success; its name in `model.json`."""
    version: str
    """Tells this model from any other, retrained ones included; at most 64 characters."""
    inputs: Mapping[str, tuple[int, ...]]
    """Names of the observations that it looks at -> shape of one of them."""
    rule: Rule | None
    """Turns its values, which are probabilities, into success; None where the values are rewards."""

    def score(self, batch: Batch) -> Scores:
        """Judge n moments; what is not among `inputs` is ignored.

        Raises:
            ModelError: An input is missing or of another shape, or the model's answer is not finite.
        """
        ...


def stack(observations: Sequence[Observation], names: Sequence[str]) -> dict[str, np.ndarray]:
    """These names of observations, stacked: each of shape (n, ...)."""
    return {name: np.stack([observation[name] for observation in observations]) for name in names}


def require_inputs(model: RewardModel, batch: Batch) -> int:
    """The number of moments in a batch; raises ModelError where the model cannot look at it."""
    for name, shape in model.inputs.items():
        if name not in batch:
            raise ModelError(_other_inputs(model, f"{', '.join(sorted(batch)) or 'nothing'}"))
        if batch[name].shape[1:] != shape:
            raise ModelError(_other_inputs(model, f"{name} of shape {batch[name].shape[1:]}"))
    return len(next(iter(batch.values())))


def require_spec(model: RewardModel, spec: EnvSpec, whose: str) -> None:
    """Raise ModelError, naming both sides, where `whose` steps have not what the model looks at."""
    for name, shape in model.inputs.items():
        found = spec.observation.get(name)
        if found is None or found.shape != shape:
            has = ", ".join(f"{key} {array.shape}" for key, array in sorted(spec.observation.items()))
            raise ModelError(f"{whose}: {_other_inputs(model, has)}")


def _other_inputs(model: RewardModel, got: str) -> str:
    wanted = ", ".join(f"{name} {shape}" for name, shape in sorted(model.inputs.items()))
    return (
        f"the {model.kind} model {model.version} looks at {wanted}, and these observations have {got}; train one on runs "
        "of these cameras, or set env.image_size as its runs had it"
    )
