"""How good recorded episodes are, in numbers that the recorder shows at once and `demos check` shows later."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wire.specs import EnvSpec
from wire.store import Row
from wire.types import Source, Step

IDLE = 0.02
"""Share of the action's range below which a motion is none."""
SATURATED = 0.99
"""Share of it from which on an action stands at its limit."""
LONG, ROUGH = 2.0, 2.0
"""An episode is long at so many times the shortest success, and rough at so many times the median."""
MANY_IDLE, MANY_SATURATED, MANY_HELD = 0.25, 0.6, 0.05
"""Shares of its steps from which on an episode is idle, saturated or held."""
_GRIPPERS = ("gripper", "grip")
"""How an action's dimension that is one ends; of two arms they are left_gripper and right_gripper."""
_DRIVERS = (Source.HUMAN, Source.DEMO, Source.SCRIPT)


class Recorded(NamedTuple):
    """The steps of one episode, in order; an actor that died leaves one whose last step does not end it."""

    stream: str
    steps: list[Step]

    @property
    def ended(self) -> bool:
        """Whether it has an end."""
        return self.steps[-1].ended


@dataclass(frozen=True)
class EpisodeQuality:
    """What is measured of one episode."""

    steps: int
    success: bool
    discarded: bool
    idle: float
    """Share of its steps in which neither the arm is moved nor the gripper."""
    idle_at_start: int
    """Steps before the first motion."""
    saturated: float
    """Share of its steps in which some motion stands at its limit, or the whole at the tool's greatest speed."""
    roughness: float
    """Root mean square of the second differences of the motion's actions, in action units: the actions are velocities,
    so this is the jerk, per control period squared. 0 for fewer than three steps."""
    held: float
    """Share of its steps in which the guard or a watchdog held the robot."""
    driven: float
    """Share of its steps that a person or a script chose."""

    def seconds(self, rate_hz: float) -> float:
        """How long it took."""
        return self.steps / rate_hz


def recorded_episodes(rows: Iterable[Row]) -> Iterator[Recorded]:
    """The episodes of rows in the order of insertion, as each ends; those without an end where that shows, or last."""
    under_way: dict[str, list[Step]] = {}
    for _, stream, _, step in rows:
        if step.t == 0 and stream in under_way:
            yield Recorded(stream, under_way.pop(stream))
        under_way.setdefault(stream, []).append(step)
        if step.ended:
            yield Recorded(stream, under_way.pop(stream))
    for stream, steps in under_way.items():
        yield Recorded(stream, steps)


def motion_dims(spec: EnvSpec) -> list[int]:
    """The action's dimensions that move the robot: all but the gripper's."""
    return [i for i, name in enumerate(spec.action_names) if not name.endswith(_GRIPPERS)]


def gripper_dims(spec: EnvSpec) -> list[int]:
    """The action's dimensions that are grippers."""
    return [i for i, name in enumerate(spec.action_names) if name.endswith(_GRIPPERS)]


def measure(steps: Sequence[Step], spec: EnvSpec) -> EpisodeQuality:
    """Measure one episode of at least one step."""
    actions = np.stack([step.action for step in steps]).astype(np.float64)
    motion = actions[:, motion_dims(spec)] / (spec.action.high or 1.0)
    idle = _idle(actions[:, gripper_dims(spec)], motion)
    jerk = np.diff(motion, n=2, axis=0)
    return EpisodeQuality(
        steps=len(steps),
        success=steps[-1].success,
        discarded=steps[-1].discarded,
        idle=float(idle.mean()),
        idle_at_start=len(steps) if idle.all() else int(np.argmin(idle)),
        saturated=float(_saturated(motion).mean()),
        roughness=float(np.sqrt((jerk**2).mean())) if jerk.size else 0.0,
        held=float(np.mean([step.held for step in steps])),
        driven=float(np.mean([step.source in _DRIVERS for step in steps])),
    )


def _idle(grippers: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Per step, whether nothing was asked of the robot that was not so before; shape (steps,)."""
    idle: np.ndarray = np.abs(motion).max(axis=1, initial=0.0) <= IDLE
    idle[1:] &= np.abs(np.diff(grippers, axis=0)).max(axis=1, initial=0.0) <= IDLE
    return idle


def _saturated(motion: np.ndarray) -> np.ndarray:
    """Per step, whether more was perhaps meant than could be done; shape (steps,).

    A guard that bounds the speed shortens the move as a whole, to a length of one unit.
    """
    at_speed = np.abs(np.linalg.norm(motion[:, :3], axis=1) - 1.0) < 1.0 - SATURATED
    return (np.abs(motion) >= SATURATED).any(axis=1) | at_speed


def remarks(quality: EpisodeQuality, others: Sequence[EpisodeQuality]) -> list[str]:
    """What is worth a look in an episode, in words of one syllable or two, beside the others of its file."""
    successes = [each for each in others if each.success]
    best = min((each.steps for each in successes), default=quality.steps)
    usual = float(np.median([each.roughness for each in others])) if others else 0.0
    found = {
        "failed": not quality.success,
        f"{quality.steps / best:.1f}x the shortest": quality.steps > LONG * best,
        "rough": usual > 0 and quality.roughness > ROUGH * usual,
        "idle": quality.idle > MANY_IDLE,
        "at the limit": quality.saturated > MANY_SATURATED,
        "held": quality.held > MANY_HELD,
    }
    return [word for word, holds in found.items() if holds]
