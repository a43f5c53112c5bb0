"""What a stored observation is worth by a task's present reward: for experience recorded under an earlier one."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from envs.tasks import TASKS
from envs.workcell import Outcome
from wire.specs import EnvSpec
from wire.types import Observation


@runtime_checkable
class Judge(Protocol):
    """A task whose outcome can be told from an observation alone."""

    judged_by: tuple[str, ...]
    """Names of the observations that `judge` looks at."""

    def judge(self, observation: Observation) -> Outcome:
        """Reward and success of the step that led to this observation."""
        ...


def present(spec: EnvSpec) -> EnvSpec:
    """The spec with the reward that its task has today."""
    task = TASKS.get(spec.task)
    if task is None or spec.env == "gym":
        return spec
    return msgspec.structs.replace(spec, reward=task.reward, return_bounds=task.return_bounds)


def judge_of(spec: EnvSpec, stored: EnvSpec) -> Callable[[Observation], Outcome] | None:
    """How to compute the reward of `spec` from observations of `stored`; None where that cannot be told.

    Tasks that depend on contact cannot: a force is no observation.
    """
    task = TASKS.get(spec.task)
    if task is None or task.reward != spec.reward:
        return None
    found = task()
    if not isinstance(found, Judge) or not set(found.judged_by) <= stored.observation.keys():
        return None
    return found.judge
