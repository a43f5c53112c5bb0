"""A device that falls silent gives control back: a dead SpaceMouse must not repeat its last command for ever."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from actor.human import Event, Override
from wire.types import Action

log = logging.getLogger(__name__)

SILENT_S = 0.1


@dataclass(frozen=True)
class Report:
    """What a device last said."""

    heard_s: float
    """Monotonic time at which the device was last known to be alive. A driver whose device speaks only of changes must
    find that out in another way (a ping, the state of its file) and must not stamp what it did not hear."""
    override: Override | None = None
    """What the hand on it wants; None: there is no hand on it."""


class Device(Protocol):
    """A driver: it listens in a thread of its own."""

    name: str

    @property
    def trouble(self) -> str:
        """Why nothing comes from it, as the end of a sentence that begins with its name; empty where all is well."""
        ...

    def begin_episode(self, episode: int) -> None:
        """Start episode number `episode` of the stream."""
        ...

    def latest(self) -> Report | None:
        """The newest report, at once; None before the first."""
        ...

    def events(self) -> list[Event]:
        """What was said by buttons since the last call."""
        ...

    def executed(self, action: Action, *, ours: bool) -> None:
        """Hear what the robot was told, and whether this device had control of that period."""
        ...


class LiveChannel:
    """A device as a channel: what it wants counts while it lives, and no longer."""

    def __init__(
        self, device: Device, *, silent_s: float = SILENT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._device = device
        self._silent_s = silent_s
        self._clock = clock
        self.last: Action | None = None
        """What the person wanted when last asked, for people to see."""
        self.silent = False
        """Whether the device has fallen silent."""
        self._driving = False

    def begin_episode(self, episode: int) -> None:
        """Start episode number `episode` of the stream."""
        self._device.begin_episode(episode)

    def poll(self) -> Override | None:
        """What the person wants in the coming control period; None where nobody does, or the device is silent."""
        override = self._look()
        self._driving = override is not None
        return override

    def touched(self) -> bool:
        """Whether there is a hand on it now."""
        return self._look() is not None

    def lost(self) -> bool:
        """Whether the device has fallen silent."""
        self._look()
        return self.silent

    def events(self) -> list[Event]:
        """What was said by buttons since the last call: a press was heard, whatever became of the device since."""
        return self._device.events()

    def executed(self, action: Action) -> None:
        """Tell the device."""
        self._device.executed(action, ours=self._driving)

    def _look(self) -> Override | None:
        report = self._device.latest()
        age_s = float("inf") if report is None else self._clock() - report.heard_s
        self._say(age_s)
        override = None if report is None or self.silent else report.override
        self.last = None if override is None else override.action
        return override

    def _say(self, age_s: float) -> None:
        silent = not age_s <= self._silent_s
        if silent and not self.silent and self._device.trouble:
            log.warning("the %s %s; the policy has control", self._device.name, self._device.trouble)
        elif silent and not self.silent:
            log.warning(
                "the %s fell silent: age_s=%.2f; the policy has control, check its cable",
                self._device.name,
                age_s,
            )
        elif self.silent and not silent:
            log.warning("the %s is back", self._device.name)
        self.silent = silent
