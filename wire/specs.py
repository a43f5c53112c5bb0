"""What an environment is made of: compared before a single step travels."""

import hashlib
import math
import re
from typing import Any

import msgspec
import numpy as np

from wire.errors import UserError, plain
from wire.types import Action, Observation, Step


class SpecMismatch(UserError, ValueError):
    """Two sides disagree on the environment; the text names every difference and the cure."""


class ArraySpec(msgspec.Struct, frozen=True, kw_only=True):
    """Shape, dtype, unit and bounds of one array."""

    shape: tuple[int, ...]
    dtype: str
    unit: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def is_frame(self) -> bool:
        """Whether this is a camera image: uint8 of shape (height, width, 3)."""
        return self.dtype == "uint8" and len(self.shape) == 3

    def element_units(self) -> list[str]:
        """The unit of every element of a vector, or [] where `unit` does not tell them apart.

        Parts are separated by commas, and a number in brackets says of how many elements a part is the unit: of
        "m [2], rad" these are m, m and rad.
        """
        parts = [re.fullmatch(r"(.*?)(?: \[(\d{1,5})\])?", part.strip()) for part in self.unit.split(",")]
        units = [part[1] for part in parts if part for _ in range(int(part[2] or 1))]
        return units if self.shape == (len(units),) else []

    def problem(self, name: str, value: Any) -> str | None:
        """What is wrong with `value` under this spec, or None; says what was got and what was wanted."""
        if not isinstance(value, np.ndarray):
            return f"{name} is a {type(value).__name__}, wanted an array of shape {self.shape} and dtype {self.dtype}"
        if value.shape != self.shape or value.dtype != np.dtype(self.dtype):
            return f"{name} has shape {value.shape} and dtype {value.dtype}, wanted {self.shape} and {self.dtype}"
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return f"{name} holds a NaN or an infinity"
        return None


class EnvSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything two runs must share for their steps to be mixed."""

    env: str
    """Kind of environment: sim, gym or ros."""
    task: str
    robot: str
    observation: dict[str, ArraySpec]
    action: ArraySpec
    action_names: tuple[str, ...]
    action_frame: str
    """Frame of the translation part of the action: base, tool, or none where it has none."""
    rate_hz: float
    max_episode_steps: int
    reward: str
    """Name and version of the reward's definition, e.g. sparse-1."""
    return_bounds: tuple[float, float] | None = None
    """Lowest and highest return possible, where the reward's definition fixes them."""

    def step_bytes(self) -> int:
        """About what a step takes on disk; an episode's last one, which holds two observations, takes twice that."""
        arrays = [*self.observation.values(), self.action, self.action]
        return 512 + sum(math.prod(array.shape) * np.dtype(array.dtype).itemsize for array in arrays)

    def gripper_entries(self) -> tuple[int, ...]:
        """Entries of the action that command a gripper: those with the word in their names, as in left_gripper."""
        return tuple(i for i, name in enumerate(self.action_names) if "gripper" in name.split("_"))

    def fingerprint(self) -> str:
        """Sixteen hex digits that are equal exactly where the specs are equal."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]

    def differences(self, other: "EnvSpec") -> list[str]:
        """One line for each field in which the two specs differ: `field: ours, theirs`."""
        mine, theirs = msgspec.to_builtins(self), msgspec.to_builtins(other)
        lines = []
        for field in mine:
            if field == "observation":
                names = sorted(mine[field].keys() | theirs[field].keys())
                pairs = [(f"observation {name}", mine[field].get(name), theirs[field].get(name)) for name in names]
            else:
                pairs = [(field, mine[field], theirs[field])]
            lines += [f"{name}: {_brief(a)} here, {_brief(b)} there" for name, a, b in pairs if a != b]
        return lines

    def policy_differences(self, other: "EnvSpec") -> list[str]:
        """Those differences that keep a policy for the one from running in the other.

        A robot in place of its simulation is none, nor is another reward or time limit.
        """
        free = ("env", "task", "robot", "max_episode_steps", "reward", "return_bounds")
        return [line for line in self.differences(other) if line.partition(":")[0] not in free]

    def require_same(self, other: "EnvSpec", *, ours: str, theirs: str, cure: str) -> None:
        """Raise SpecMismatch, naming both sides, every difference and the cure, unless the specs are equal."""
        lines = self.differences(other)
        if lines:
            raise SpecMismatch(f"{ours} (here) and {theirs} (there) differ: {'; '.join(lines)}. {cure}")

    def observation_problem(self, observation: Observation) -> str | None:
        """What is wrong with an observation under this spec, or None."""
        if observation.keys() != self.observation.keys():
            return f"observation has {sorted(observation)}, wanted {sorted(self.observation)}"
        problems = (spec.problem(f"observation {name}", observation[name]) for name, spec in self.observation.items())
        return next((problem for problem in problems if problem), None)

    def action_problem(self, action: Action) -> str | None:
        """What is wrong with an action under this spec, or None."""
        return self.action.problem("action", action)

    def step_problem(self, step: Step) -> str | None:
        """What is wrong with a step under this spec, or None: what the outbox and the archive will not take."""
        if step.ended != (step.final_observation is not None):
            return f"a step that {'ends' if step.ended else 'does not end'} its episode has final_observation " + (
                "None" if step.ended else "set"
            )
        if step.discarded and not step.ended:
            return "a step that does not end its episode discards it"
        if not math.isfinite(step.reward):
            return f"reward is {step.reward}"
        if min(step.episode, step.t, step.weights_version) < 0:
            return f"episode {step.episode}, t {step.t} or weights_version {step.weights_version} is negative"
        problem = self.observation_problem(step.observation) or self.action_problem(step.action)
        if problem is None and step.policy_action is not None:
            problem = self.action.problem("policy_action", step.policy_action)
        if problem is None and step.final_observation is not None:
            problem = self.observation_problem(step.final_observation)
        return problem


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return f"{tuple(value['shape'])} {value['dtype']}"
    return "absent" if value is None else plain(value, 80)
