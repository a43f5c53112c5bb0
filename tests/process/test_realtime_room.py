"""The cell in real time through the front door: demonstrations are recorded under the watchdog, and nothing remains."""

import itertools
import os
from pathlib import Path

import pytest
from front_door import Command

from wire.store import StepStore
from wire.types import Source

pytestmark = [pytest.mark.process, pytest.mark.sim]


def test_demonstrations_are_recorded_in_real_time_and_no_process_is_left(tmp_path: Path):
    words = ("task=reach", "obs=state", "env.realtime=true", "episodes=2", "noise=0", "out=demos.sqlite")
    command = Command(tmp_path, "demos", "record", "--script", *words)
    assert command.ends() == 0, command.said
    with StepStore.read(tmp_path / "demos.sqlite") as store:
        steps = [row.step for row in store.rows()]
    assert {step.episode for step in steps} == {0, 1}
    assert all(step.source is Source.DEMO and not step.held for step in steps)
    for before, after in itertools.pairwise(steps):
        if before.episode == after.episode:
            assert after.stamps["monotonic"] - before.stamps["monotonic"] > 0.09
    assert not [words for words in running(tmp_path) if "envs.sim.served" in words or "actor.watchdog" in words]


def running(folder: Path) -> list[str]:
    """The command lines of the processes that work in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") == str(folder):  # noqa: PTH115
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
