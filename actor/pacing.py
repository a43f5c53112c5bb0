"""When the next control period begins: by the clock on a robot, by the learner's progress in simulation."""

import time
from collections.abc import Callable

from actor.status import LinkStatus
from envs.ticker import Ticker

_POLL_S = 0.001


class CellPace:
    """Of a cell in real time, whose period has passed when `step` returns; and of whoever has no reason to wait."""

    def begin(self) -> None:
        """Nothing."""

    def wait(self) -> None:
        """Nothing."""


class LearnerPace:
    """Simulated time has no hurry: run at most `max_lead_steps` ahead of learning, so that a run is reproducible.

    While no learner is there the clock sets the pace, as it does on a robot.
    """

    def __init__(self, status: Callable[[], LinkStatus], max_lead_steps: int, rate_hz: float) -> None:
        self._status = status
        self._max_lead_steps = max_lead_steps
        self._clock = Ticker(rate_hz)

    def begin(self) -> None:
        """Start counting now, at the beginning of an episode."""
        self._clock.begin()

    def wait(self) -> None:
        """Wait until learning has come close enough."""
        while (status := self._status()).state == "connected":
            if status.unacked + status.backlog <= self._max_lead_steps:
                self._clock.begin()
                return
            time.sleep(_POLL_S)
        self._clock.wait()
