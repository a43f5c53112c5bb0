"""What every reward model is to the others: observations in, scores out. Nothing heavy is imported here."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from wire.scoring import Gate, Rule, ScoringError
from wire.specs import EnvSpec
from wire.types import Observation

Batch = Mapping[str, np.ndarray]
"""Stacked observations: uint8 images of shape (n, height, width, 3) and float32 vectors of shape (n, m), by name."""


__all__ = [
    "Batch",
    "Gate",
    "ModelError",
    "RewardModel",
    "Rule",
    "Scores",
    "parse_gate",
    "require_inputs",
    "require_spec",
    "stack",
]


_GATE = re.compile(r"(\w+)\[(\d+)\]\s*(>=|>|<=|<)\s*(-?\d+(?:\.\d+)?(?:e-?\d+)?)")


class ModelError(ScoringError):
    """A reward model cannot be loaded, or cannot judge what it was given; the text says why and what to do."""


class Scores(NamedTuple):
    """What a model says of n moments."""

    value: np.ndarray
    """Float64 of shape (n,), finite: the probability of success, or, where the model has no rule, the reward itself."""
    confidence: np.ndarray
    """Float64 of shape (n,), from 0 (a guess) to 1 (sure)."""
    version: str
    """Of the model that said so."""


class RewardModel(Protocol):
    """Judges observations. A model never changes: what is trained again has another version."""

    @property
    def kind(self) -> str:
        """Of model, e.g. success; its name in `model.json`."""
        ...

    @property
    def version(self) -> str:
        """Tells this model from any other, retrained ones included; at most 64 characters."""
        ...

    @property
    def inputs(self) -> Mapping[str, tuple[int, ...]]:
        """Names of the observations that it looks at -> shape of one of them."""
        ...

    @property
    def rule(self) -> Rule | None:
        """Turns its values, which are probabilities, into success; None where the values are rewards."""
        ...

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
    """Raise ModelError, naming both sides, where `whose` steps have not what the model, or its gate, looks at."""
    has = ", ".join(f"{key} {array.shape}" for key, array in sorted(spec.observation.items()))
    for name, shape in model.inputs.items():
        found = spec.observation.get(name)
        if found is None or found.shape != shape:
            raise ModelError(f"{whose}: {_other_inputs(model, has)}")
    gate = None if model.rule is None else model.rule.gate
    if gate is None:
        return
    vector = spec.observation.get(gate.name)
    if not gate.fits(None if vector is None else vector.shape):
        raise ModelError(
            f"{whose}: the gate of the {model.kind} model {model.version} looks at {gate.name}[{gate.element}], and "
            f"these observations have {has}; train one with another gate=, or none"
        )


def _other_inputs(model: RewardModel, got: str) -> str:
    wanted = ", ".join(f"{name} {shape}" for name, shape in sorted(model.inputs.items()))
    return (
        f"the {model.kind} model {model.version} looks at {wanted}, and these observations have {got}; train one on "
        "runs of these cameras, or set env.image_size as its runs had it"
    )


def parse_gate(text: str | None, key: str = "gate") -> Gate | None:
    """`proprio[10]>0.08` as a gate; raises ModelError, naming the key, where it is none."""
    if text is None:
        return None
    found = _GATE.fullmatch(text.strip())
    if found is None:
        raise ModelError(f"{key} must look like proprio[10]>0.08, got {text}")
    bound = float(found[4])
    above = found[3].startswith(">")
    return Gate(found[1], int(found[2]), low=bound if above else None, high=None if above else bound)
