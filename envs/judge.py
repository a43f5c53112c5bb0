"""Who says what a success is in a task's place: what an environment asks of a reward model."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from wire.errors import UserError
from wire.scoring import Gate
from wire.specs import EnvSpec
from wire.types import Observation


class UnseenError(UserError, ValueError):
    """A judge looks at what the cell does not show."""


@dataclass(frozen=True)
class Judgement:
    """What a reward model says of the state after a step."""

    success: bool
    by: str
    """Version of the model, or wire.types.UNSCORED where it has not answered in time."""


class Judge(Protocol):
    """Judges success in the task's place, by what the cell's cameras see."""

    reward: str
    """Name and version of the reward's definition."""
    inputs: Mapping[str, tuple[int, ...]]
    """Names of what it looks at -> shape; what the policy does not see, a simulation shows the judge alone."""

    def begin_episode(self) -> None:
        """Forget the last episode."""
        ...

    def judge(self, observation: Observation) -> Judgement:
        """Judge the state after a step; must not keep a robot waiting."""
        ...


class Rewarder(Protocol):
    """Gives the reward in the task's place, which goes on saying what a success is."""

    @property
    def version(self) -> str:
        """Of what gives it: the reward's definition."""
        ...

    @property
    def inputs(self) -> Mapping[str, tuple[int, ...]]:
        """Names of what it looks at -> shape."""
        ...

    def reward(self, observation: Observation) -> float:
        """Of the state after a step, finite."""
        ...


def require_gate(gate: Gate, spec: EnvSpec) -> None:
    """Raise UnseenError where a judge's gate looks at what steps of `spec` do not hold."""
    found = spec.observation.get(gate.name)
    if not gate.fits(None if found is None else found.shape):
        raise UnseenError(
            f"the reward model's gate looks at {gate.name}[{gate.element}], and this environment has {_has(spec)}; "
            "train one with another gate=, or none, or set obs= as its runs had it"
        )


def require_seen(judge: Judge | Rewarder, spec: EnvSpec, *, shown: Collection[str]) -> None:
    """Raise UnseenError where a judge looks at what steps of `spec` do not hold, nor a cell can show it beside them."""
    for name, shape in judge.inputs.items():
        there = spec.observation.get(name)
        if there is None and name in shown:
            continue
        if there is None or there.shape != tuple(shape):
            raise UnseenError(
                f"the reward model looks at {name} {tuple(shape)}, and this environment has {_has(spec)}; train one "
                "on runs of these senses, or set obs= and env.image_size as its runs had them"
            )


def _has(spec: EnvSpec) -> str:
    return ", ".join(f"{key} {array.shape}" for key, array in sorted(spec.observation.items()))
