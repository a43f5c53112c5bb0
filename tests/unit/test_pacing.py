"""When a control period begins."""

import threading
import time
from types import SimpleNamespace

from actor.pacing import LearnerPace
from envs.ticker import Ticker


def status(state: str = "connected", unacked: int = 0, backlog: int = 0) -> SimpleNamespace:
    return SimpleNamespace(state=state, unacked=unacked, backlog=backlog)


def test_the_clock_keeps_the_rate_however_long_a_step_takes():
    pace = Ticker(100.0)
    pace.begin()
    began_s = time.monotonic()
    for i in range(20):
        time.sleep(0.004 if i % 2 else 0.0)
        pace.wait()
    assert time.monotonic() - began_s >= 0.199


def test_a_missed_period_is_counted_and_the_next_is_a_whole_one():
    pace = Ticker(50.0)
    pace.begin()
    time.sleep(0.07)
    pace.wait()
    assert pace.overruns == 1
    began_s = time.monotonic()
    pace.wait()
    # Had three missed periods been made up for, this one would end at once.
    assert time.monotonic() - began_s >= 0.019


def test_a_late_command_in_real_time_has_a_whole_period_of_its_own():
    pace = Ticker(5.0)
    for late_s in (0.17, 0.25):
        pace.begin()
        time.sleep(late_s)
        pace.catch_up()
        began_s = time.monotonic()
        pace.wait()
        assert time.monotonic() - began_s >= 0.19
    assert pace.overruns == 2


def test_percentiles_are_in_milliseconds_and_defined_before_the_first_period():
    pace = Ticker(100.0)
    assert pace.percentiles_ms(50) == [0.0]
    pace.begin()
    for _ in range(5):
        pace.wait()
    assert 9 <= pace.percentiles_ms(50)[0] < 1000


def test_simulation_waits_until_learning_is_close_enough_and_then_goes_on():
    now = status(unacked=3, backlog=6)
    pace = LearnerPace(lambda: now, 8, 1000.0)
    waiting = threading.Thread(target=pace.wait)
    waiting.start()
    time.sleep(0.1)
    assert waiting.is_alive()
    now.backlog = 5
    waiting.join(30)
    assert not waiting.is_alive()


def test_without_a_learner_the_clock_sets_the_pace():
    for state in ("connecting", "away", "finished", "failed"):
        pace = LearnerPace(lambda state=state: status(state, unacked=1000), 8, 50.0)
        pace.begin()
        began_s = time.monotonic()
        pace.wait()
        assert time.monotonic() - began_s >= 0.019
