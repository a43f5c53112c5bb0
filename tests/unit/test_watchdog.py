"""Who watches the loop, and what the loop owes it."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from actor import watchdog
from actor.watchdog import WatchdogLostError, Watched, watch

WORDS = 5


class Robot:
    """A stopper that remembers, and can be out of reach for a while."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.held = threading.Event()
        self.failures = 0
        self.within_reach = True

    def hold(self, reason: str) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError("gone")
        self.reasons.append(reason)
        self.held.set()

    def reachable(self) -> bool:
        return self.within_reach

    def close(self) -> None:
        pass


class Bench:
    """The watchdog in a thread, over plain memory."""

    def __init__(self, parent: int | None = None) -> None:
        self.words = memoryview(bytearray(8 * WORDS)).cast("q")
        self.robot, self.heart = Robot(), Watched(self.words)
        who = os.getppid() if parent is None else parent
        self.thread = threading.Thread(target=watch, args=(self.words, self.robot, who), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.words[watchdog._OVER] = 1
        self.thread.join(30)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    wait_for(lambda: made.words[watchdog._ECHO])
    yield made
    made.close()


def wait_for(true) -> None:
    deadline_s = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def test_a_broken_promise_holds_the_robot_once_and_stays_tripped_until_the_next_episode(bench: Bench):
    bench.heart.begin(60.0)
    bench.heart.beat()
    assert not bench.heart.tripped()
    wait_for(bench.heart.tripped)
    assert bench.robot.reasons == ["the control loop did not beat for 100 ms"]
    bench.heart.beat()
    assert bench.heart.tripped()
    echo = bench.words[watchdog._ECHO]
    wait_for(lambda: bench.words[watchdog._ECHO] > echo + 3 * 100_000_000)
    assert len(bench.robot.reasons) == 1
    bench.heart.begin(60.0)
    assert not bench.heart.tripped()
    bench.heart.beat()
    wait_for(bench.heart.tripped)
    assert len(bench.robot.reasons) == 2


def test_a_kept_promise_and_a_rest_hold_nothing(bench: Bench):
    bench.heart.begin(60.0)
    began_s = time.monotonic()
    while time.monotonic() - began_s < 0.3:
        bench.words[watchdog._DUE] = time.monotonic_ns() + 60_000_000_000
        time.sleep(0.01)
    bench.heart.rest()
    echo = bench.words[watchdog._ECHO]
    wait_for(lambda: bench.words[watchdog._ECHO] > echo + 2 * 100_000_000)
    assert bench.robot.reasons == []


def test_a_robot_out_of_reach_is_held_as_soon_as_it_is_reached(bench: Bench):
    bench.robot.failures = 5
    bench.heart.begin(60.0)
    bench.heart.beat()
    wait_for(bench.heart.tripped)
    assert len(bench.robot.reasons) == 1


def test_a_loop_that_nobody_hears_stops_itself(bench: Bench):
    bench.heart.begin(60.0)
    bench.heart.beat()
    bench.robot.within_reach = False
    echo = bench.words[watchdog._ECHO]
    wait_for(lambda: time.monotonic_ns() - echo > 600_000_000)
    with pytest.raises(WatchdogLostError, match=r"has not shown for 0\.\d s that it lives and reaches the robot"):
        bench.heart.beat()


def test_a_parent_that_is_gone_is_reason_enough_even_at_rest():
    bench = Bench(parent=-1)
    bench.thread.join(30)
    assert bench.robot.reasons == ["the actor's process has ended"]


def test_a_block_that_fails_leaves_the_robot_held_and_one_that_ends_well_does_not():
    for over, reasons in ((watchdog._FAILED, ["the actor has failed"]), (watchdog._FINE, [])):
        bench = Bench()
        bench.words[watchdog._OVER] = over
        bench.thread.join(30)
        assert bench.robot.reasons == reasons


def test_without_an_address_nothing_is_started_and_nothing_trips():
    with watchdog.watched(None) as heart:
        heart.begin(1.0)
        heart.beat()
        heart.rest()
        assert not heart.tripped()


def test_a_watchdog_that_cannot_reach_its_robot_does_not_let_the_loop_begin():
    with pytest.raises(WatchdogLostError, match="did not start"), watchdog.watched("unix:/nowhere/cell"):
        raise AssertionError("it began")
