"""What every device in a person's hand is to us, whatever its cable speaks: six axes, some buttons, and a time."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

AXES = ("forward", "left", "up", "turn about forward", "turn about left", "turn about up")
"""The axes of every instrument, as the person who holds it sees them; turns are right-handed. These are the axes of
ROS's spacenav, too (REP 103): a SpaceMouse whose cable points away from its person."""
STILL = (0.0,) * len(AXES)
UNHEARD = (math.nan,) * len(AXES)


@dataclass(frozen=True)
class Pose:
    """Where a leader's tool is, in the leader's own base frame."""

    position_m: np.ndarray
    """Shape (3,), metres."""
    rotation: np.ndarray
    """Shape (3, 3): the axes of the leader's tool as columns in the leader's base frame."""


@dataclass(frozen=True)
class Controls:
    """How an instrument stands."""

    heard_s: float
    """Monotonic time at which this was last known to be so; see Report.heard_s."""
    axes: tuple[float, ...] = STILL
    """Along and about AXES, each in [-1, 1]; NaN: nothing was ever heard of this one."""
    down: frozenset[int] = frozenset()
    """Numbers of the buttons that are down."""
    holding: bool = False
    """The hand is on it although nothing is deflected: it keeps control, and the robot still."""
    pose: Pose | None = None
    """Of a leader, in place of axes."""


class Instrument(Protocol):
    """A device, or a topic, that is listened to in a thread of its own. Its methods return at once."""

    name: str
    connection: int
    """Grows whenever the device is connected anew."""
    trouble: str
    """Why nothing comes from it, as the end of a sentence that begins with its name; empty where all is well."""

    def latest(self) -> Controls | None:
        """How it stands; None while it is away."""
        ...

    def pressed(self) -> list[int]:
        """The buttons pressed since the last call, in order: none is missed, however short the press."""
        ...

    def close(self) -> None:
        """Let the device go; safe to call twice."""
        ...
