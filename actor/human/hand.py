"""A hand on an instrument: what its axes and buttons want, as a device that LiveChannel listens to."""

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from actor.config import HandConfig
from actor.human import Event, Override, not_labels
from actor.human.instrument import AXES, STILL, Controls, Instrument
from actor.human.live import Report
from actor.human.mapping import Mapping
from wire.types import Action, Source

if TYPE_CHECKING:
    # Its library is not installed wherever somebody acts.
    from actor.human.following import Following

log = logging.getLogger(__name__)

GRIP_S = 0.5
"""How long a press of the gripper's button keeps control: fingers need some 0.3 s, and the policy may disagree."""
STUCK_S = 0.5
"""How long an axis may stand still from the first report on before we say that it is stuck."""
OPEN, SHUT = 1.0, -1.0
"""Of a gripper."""
_MOVED = 0.02
"""Smallest change that shows that an axis is alive: more than the noise of a spring or a stick."""


class Hand:
    """Maps the axes to the action, keeps the gripper, and sorts the buttons into events."""

    def __init__(
        self,
        instrument: Instrument,
        mapping: Mapping,
        config: HandConfig,
        *,
        following: "Following | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put a hand on it; `following` is what the poses of a leader mean, in place of axes."""
        self.name = instrument.name
        self.instrument = instrument
        self.mapping = mapping
        self._following = following
        buttons = config.buttons()
        buttons.pop("clutch", None)
        self._gripper_button = buttons.pop("gripper", None)
        self._says = {number: Event(name) for name, number in buttons.items()}
        self._holds = config.gripper == "hold"
        self._clock = clock
        self._trust = Trust(instrument, config.dead_zone, clock)
        self._said: list[Event] = []
        self._executed = OPEN
        self._grip = OPEN
        self._grip_until_s = -np.inf
        self._was_down = False

    @property
    def trouble(self) -> str:
        """Why the instrument is away; empty where it is not."""
        return self.instrument.trouble

    def begin_episode(self, episode: int) -> None:
        """Start episode number `episode`, with the gripper open again; what was pressed for the last one is past.

        So is what was pressed while the robot went home, but for what is not about an episode: pause, end, undo.
        """
        self._sort_presses()
        self._said = not_labels(self._said)
        self._grip_until_s, self._executed, self._was_down = -np.inf, OPEN, False
        if self._following is not None:
            self._following.begin_episode()

    def latest(self) -> Report | None:
        """What the hand wants now; None while the instrument is away."""
        controls = self.instrument.latest()
        self._sort_presses()
        if controls is None:
            self._was_down = False
            if self._following is not None:
                self._following.release()
            return None
        gripping = self._gripping(controls)
        motion = self._motion(controls)
        if motion is None and not (gripping or controls.holding):
            return Report(controls.heard_s)
        action = self._with_gripper(motion, self._grip if gripping else self._executed)
        return Report(controls.heard_s, Override(action, Source.HUMAN))

    def still(self) -> Action:
        """The action that moves nothing, the gripper where it is."""
        return self._with_gripper(None, self._executed)

    def _with_gripper(self, motion: Action | None, grip: float) -> Action:
        action = self.mapping.still() if motion is None else motion
        if self.mapping.gripper is not None:
            action[self.mapping.gripper] = grip
        return action

    def events(self) -> list[Event]:
        """What was said by buttons since the last call."""
        self._sort_presses()
        said, self._said = self._said, []
        return said

    def executed(self, action: Action, *, ours: bool) -> None:
        """Remember where the gripper is told to be: a hand that takes over leaves it there."""
        if self._following is not None and ours:
            self._following.executed(action)
        if self.mapping.gripper is not None:
            self._executed = float(action[self.mapping.gripper])

    def _motion(self, controls: Controls) -> Action | None:
        if self._following is not None:
            return self._following.motion(controls)
        return self.mapping.motion(self._trust.axes(controls))

    def _sort_presses(self) -> None:
        for number in self.instrument.pressed():
            if number == self._gripper_button and not self._holds:
                toggling = self._clock() < self._grip_until_s
                now = self._grip if toggling else self._executed
                self._grip_to(SHUT if now > 0.0 else OPEN)
            elif number in self._says:
                self._said.append(self._says[number])

    def _gripping(self, controls: Controls) -> bool:
        """Whether the person has something to say about the gripper now."""
        if self._holds:
            down = self._gripper_button in controls.down
            if down or self._was_down:
                self._grip_to(SHUT if down else OPEN)
            self._was_down = down
        return self.mapping.gripper is not None and self._clock() < self._grip_until_s

    def _grip_to(self, grip: float) -> None:
        self._grip, self._grip_until_s = grip, self._clock() + GRIP_S


class Trust:
    """Believes an axis only once it was seen to move, or to stand at zero, since its device was connected.

    A stuck axis stands beyond the dead zone from the first report on and never changes; a hand always changes: its
    second report is 8 ms after the first and not the same. While one axis is not believed, none is.
    """

    def __init__(self, instrument: Instrument, dead_zone: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._instrument = instrument
        self._dead_zone = dead_zone
        self._clock = clock
        self._connection: int | None = None
        self._first: dict[int, float] = {}
        self._believed: set[int] = set()
        self._since_s = 0.0
        self._said = False

    def axes(self, controls: Controls) -> tuple[float, ...]:
        """The axes; all at zero while one of them is not to be believed."""
        if self._connection != self._instrument.connection:
            self._connection = self._instrument.connection
            self._first, self._believed, self._said = {}, set(), False
            self._since_s = self._clock()
        heard = {axis: value for axis, value in enumerate(controls.axes) if not math.isnan(value)}
        for axis in heard.keys() - self._believed:
            first = self._first.setdefault(axis, heard[axis])
            if abs(heard[axis]) <= self._dead_zone or abs(heard[axis] - first) > _MOVED:
                self._believed.add(axis)
        suspects = sorted(heard.keys() - self._believed)
        if not suspects:
            self._since_s = self._clock()
            return tuple(heard.get(axis, 0.0) for axis in range(len(controls.axes)))
        if not self._said and self._clock() - self._since_s >= STUCK_S:
            self._said = True
            self._say(suspects[0], heard[suspects[0]])
        return STILL

    def _say(self, axis: int, value: float) -> None:
        name = self._instrument.name
        log.warning(
            "axis %d (%s) of the %s stands at %+.2f and has never moved: it is stuck, so the %s gets no control; let "
            "go of it, or unplug it and plug it in again",
            *(axis, AXES[axis], name, value, name),
        )
