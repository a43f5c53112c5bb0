"""The interval that both reports give."""

import math

import pytest

from wire.statistics import wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, table I: Wilson score intervals without continuity correction.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_published_intervals_come_out(successes: int, n: int, low: float, high: float):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=1e-4)


def test_the_bounds_are_exact_at_the_ends_and_everything_is_possible_where_nothing_was_tried():
    assert wilson_interval(0, 5)[0] == 0.0
    assert wilson_interval(100, 100)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_the_interval_holds_the_rate_and_narrows():
    widths = []
    for n in (10, 100, 1000):
        low, high = wilson_interval(n // 2, n)
        assert low < 0.5 < high
        assert math.isclose(low + high, 1.0)
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
