"""The wire never slows the robot: what the loop waits for, be the learner well, stopped, dead or hard to reach."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from counts import count
from experience import make_spec, make_step
from proxy import run_lossy
from rooms import Cell, cell, until

from actor.uplink import Uplink
from envs.ticker import Ticker
from wire.types import Step

pytestmark = [pytest.mark.process, pytest.mark.timeout(3600)]
CAMERAS = make_spec(size=158)
STEPS_TAKEN = count(ci=200, nightly=6000)
JUDGED = count(ci=50, nightly=99)
"""Percentile: beside other tests the higher ones are the scheduler's."""
STEPS = [make_step(CAMERAS, number) for number in range(20)]
RATE_HZ = 50.0
LOSS = 0.3
CUT_EVERY_S = 1.0


def stop(rooms: Cell) -> None:
    pid = rooms.processes["learner"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)


TROUBLE: dict[str, Callable[[Cell], None]] = {
    "well": lambda rooms: None,
    "stopped": stop,
    "killed": lambda rooms: rooms.kill("learner"),
}


@contextlib.contextmanager
def lossy(target: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """A bad way to the learner, in a process of its own: its address, and what tells how many connections it had."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=run_lossy, args=(target, LOSS, CUT_EVERY_S, theirs), daemon=True
    )
    process.start()

    def connections() -> int:
        ours.send("enough")
        return ours.recv()

    try:
        yield ours.recv(), connections
    finally:
        process.kill()
        process.join()


def drive(take: Callable[[Step], object]) -> tuple[np.ndarray, float]:
    """Run a loop that hands steps to `take`: how long each took, and the judged percentile of the periods, in ms."""
    pace = Ticker(RATE_HZ)
    pace.begin()
    took_ms = []
    for number in range(STEPS_TAKEN):
        began_s = time.monotonic()
        take(STEPS[number % len(STEPS)])
        took_ms.append(1000 * (time.monotonic() - began_s))
        pace.wait()
    return np.array(took_ms), pace.percentiles_ms(JUDGED)[0]


@pytest.fixture(scope="module")
def alone() -> tuple[float, float]:
    """What this machine, as busy as it is, makes of a loop that only looks at its steps: its time and its period."""
    took_ms, period_ms = drive(CAMERAS.step_problem)
    return float(np.percentile(took_ms, JUDGED)), period_ms


@pytest.mark.parametrize("trouble", TROUBLE)
def test_handing_a_step_over_costs_the_loop_less_than_a_millisecond(
    trouble: str, alone: tuple[float, float], tmp_path: Path
):
    with cell(tmp_path, CAMERAS) as rooms:
        rooms.start("learner")
        uplink = Uplink(rooms.address, tmp_path / "outbox.sqlite", CAMERAS)
        uplink.start()
        until(lambda: uplink.status.state == "connected")
        TROUBLE[trouble](rooms)
        took_ms, period_ms = drive(uplink.append)
        uplink.close(0.0)
    judge(f"learner {trouble}", took_ms, period_ms, alone)


def test_a_network_that_loses_30_percent_costs_the_loop_no_more(alone: tuple[float, float], tmp_path: Path):
    with cell(tmp_path, CAMERAS) as rooms, lossy(rooms.address) as (address, connections):
        rooms.start("learner")
        uplink = Uplink(address, tmp_path / "outbox.sqlite", CAMERAS)
        uplink.start()
        until(lambda: uplink.status.state == "connected")
        took_ms, period_ms = drive(uplink.append)
        status, seen = uplink.status, connections()
        uplink.close(0.0)
    assert seen > 2
    assert status.unacked > len(took_ms) / 2, "it cannot keep up, and the loop must not hear of it"
    judge(f"{LOSS:.0%} lost, {seen} connections", took_ms, period_ms, alone)


def judge(trouble: str, took_ms: np.ndarray, period_ms: float, alone: tuple[float, float]) -> None:
    """Print the figures, and hold them to the bar."""
    p50, judged, most = np.percentile(took_ms, [50, JUDGED, 100])
    print(
        f"B2: {trouble}: append of 150 kB p50 {p50:.3f} ms, p{JUDGED} {judged:.3f} ms, max {most:.2f} ms "
        f"({len(took_ms)} steps at {RATE_HZ:g} Hz; without a wire p{JUDGED} {alone[0]:.3f} ms); "
        f"loop period p{JUDGED} {period_ms:.1f} ms, without a wire {alone[1]:.1f} ms"
    )
    assert judged - alone[0] <= 1.0
    assert period_ms <= 5.0 + alone[1]
