"""Control periods by the clock: absolute deadlines at a fixed rate."""

import time
from collections import deque
from collections.abc import Callable

import numpy as np

Pause = Callable[[float], bool]
"""Waits so many seconds; False where it was cut short, because somebody cannot wait for the period's end."""


_LEAST = 0.25
"""Share of a period that a command must have to take effect in."""


def sleep(seconds: float) -> bool:
    """The plain pause: nobody is waiting and nothing is watching."""
    time.sleep(seconds)
    return True


class Ticker:
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

    def catch_up(self) -> None:
        """Before a command in real time: where its period is nearly over already, give it a whole one of its own.

        Otherwise what is observed at the period's end would be no consequence of it.
        """
        now_s = time.monotonic()
        if now_s > self._deadline_s - _LEAST * self.period_s:
            self.overruns += 1
            self._deadline_s = now_s + self.period_s

    def wait(self, pause: Pause = sleep) -> None:
        """Wait for the deadline, or count an overrun; a pause that is cut short ends the period early."""
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            self.overruns += 1
        if left_s <= 0 or not pause(left_s):
            # Missed ticks are dropped, not made up for: a burst of late commands would be worse than a late one.
            self._deadline_s = time.monotonic()
        self._deadline_s += self.period_s
        now_s = time.monotonic()
        self._periods_s.append(now_s - self._began_s)
        self._began_s = now_s

    def percentiles_ms(self, *which: float) -> list[float]:
        """Percentiles of the periods so far, in milliseconds."""
        return [1000 * float(p) for p in np.percentile(self._periods_s or [0.0], which)]
