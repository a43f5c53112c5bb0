"""Statistics that both the learner's summary and the robot's evaluation report."""

import math


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % confidence interval of a success rate (Wilson 1927); (0, 1) where nothing was tried."""
    if n == 0:
        return 0.0, 1.0
    z, rate = 1.959964, successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At the ends the bound is exact, which rounding would miss.
    return (centre - half if successes else 0.0), (centre + half if successes < n else 1.0)
