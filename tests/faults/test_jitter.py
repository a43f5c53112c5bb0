"""The wire never slows the robot: what the loop waits for, with a learner that is well, stopped or dead."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from counts import count
from experience import make_spec, make_step
from rooms import Cell, cell, until

from actor.uplink import Uplink
from envs.ticker import Ticker

pytestmark = [pytest.mark.process, pytest.mark.timeout(3600)]
CAMERAS = make_spec(size=158)
STEPS = [make_step(CAMERAS, number) for number in range(20)]
RATE_HZ = 50.0


def stop(rooms: Cell) -> None:
    pid = rooms.processes["learner"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)


TROUBLE: dict[str, Callable[[Cell], None]] = {
    "well": lambda rooms: None,
    "stopped": stop,
    "killed": lambda rooms: rooms.kill("learner"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_handing_a_step_over_takes_less_than_a_millisecond(trouble: str, tmp_path: Path):
    with cell(tmp_path, CAMERAS) as rooms:
        rooms.start("learner")
        uplink = Uplink(rooms.address, tmp_path / "outbox.sqlite", CAMERAS)
        uplink.start()
        until(lambda: uplink.status.state == "connected")
        TROUBLE[trouble](rooms)
        pace = Ticker(RATE_HZ)
        pace.begin()
        took_ms = []
        for number in range(count(ci=200, nightly=6000)):
            began_s = time.monotonic()
            uplink.append(STEPS[number % len(STEPS)])
            took_ms.append(1000 * (time.monotonic() - began_s))
            pace.wait()
        uplink.close(0.0)
    p50, p99, most = np.percentile(took_ms, [50, 99, 100])
    period_p99 = pace.percentiles_ms(99)[0]
    print(
        f"B2: learner {trouble}: append of 150 kB p50 {p50:.3f} ms, p99 {p99:.3f} ms, max {most:.2f} ms "
        f"({len(took_ms)} steps at {RATE_HZ:g} Hz); loop period p99 {period_p99:.1f} ms, wanted {1000 / RATE_HZ:.0f}"
    )
    # On a busy machine the scheduler now and then takes more than that away: on every push the middle is held to it.
    assert (p99 if count(0, 1) else p50) <= 1.0
