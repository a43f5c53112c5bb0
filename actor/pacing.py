"""When the next control period begins: by the clock on a robot, by the learner's progress in simulation."""

import logging
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from actor.status import LinkStatus

log = logging.getLogger(__name__)

_POLL_S = 0.001


class ClockPace:
    """Absolute deadlines at a fixed rate; a missed one is counted, and the next is a whole period later."""

    def __init__(self, rate_hz: float) -> None:
        self.period_s = 1.0 / rate_hz
        self.overruns = 0
        self._deadline_s = 0.0
        self._began_s = 0.0
        self._periods_s: deque[float] = deque(maxlen=100_000)

    def begin(self) -> None:
        """Start counting now, at the beginning of an episode."""
        self._began_s = time.monotonic()
        self._deadline_s = self._began_s + self.period_s

    def wait(self) -> None:
        """Wait for the deadline, or count an overrun."""
        left_s = self._deadline_s - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)
        else:
            self.overruns += 1
            # Missed ticks are dropped, not made up for: a burst of late commands would be worse than a late one.
            self._deadline_s = time.monotonic()
        self._deadline_s += self.period_s
        now_s = time.monotonic()
        self._periods_s.append(now_s - self._began_s)
        self._began_s = now_s

    def percentiles_ms(self, *which: float) -> list[float]:
        """Percentiles of the periods so far, in milliseconds."""
        return [1000 * float(p) for p in np.percentile(self._periods_s or [0.0], which)]


class LearnerPace:
    """Simulated time has no hurry: run at most `max_lead_steps` ahead of learning, so that a run is reproducible.

    While no learner is there the clock sets the pace, as it does on a robot.
    """

    def __init__(self, status: Callable[[], LinkStatus], max_lead_steps: int, rate_hz: float) -> None:
        self._status = status
        self._max_lead_steps = max_lead_steps
        self._clock = ClockPace(rate_hz)

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
