"""`handrail demos record` as a person uses it: in a terminal, by keys, stopped and gone on with."""

import itertools
from pathlib import Path

import pytest
from front_door import Command, until
from terminals import Terminal

from wire.store import StepStore
from wire.types import Source

pytestmark = [pytest.mark.process, pytest.mark.sim]
KEYS = ("demos", "record", "human=keyboard", "task=reach", "obs=state", "out=demos.sqlite")


def stored(path: Path) -> list[tuple[int, bool]]:
    with StepStore.read(path) as store:
        steps = [row.step for row in store.rows()]
        assert all(step.source is Source.DEMO and step.policy_action is None for step in steps)
        assert all(after.t in (0, before.t + 1) for before, after in itertools.pairwise(steps))
        return [(each.length, each.success) for each in store.episodes()]


def test_a_person_shows_discards_undoes_and_ends_and_what_was_recorded_stays(tmp_path: Path):
    terminal = Terminal(tmp_path, *KEYS)
    terminal.show("w", "y", "1 of 20 demonstrations")
    terminal.show("d", "x", "the last one: discarded")
    terminal.show("a", "y", "2 of 20 demonstrations")
    assert len(stored(tmp_path / "demos.sqlite")) == 2, "on disk while the recorder runs"
    terminal.press("z")
    terminal.until("the last one is taken back")
    terminal.press("q")
    terminal.until(r"Stopped: 1 of 20 demonstrations are in demos.sqlite; go on with resume=true")
    assert terminal.ends() == 130
    assert [success for _, success in stored(tmp_path / "demos.sqlite")] == [True]

    again = Terminal(tmp_path, *KEYS, "resume=true", "episodes=2")
    again.show("w", "y", "2 demonstrations from 1 tries in demos.sqlite; 1 of its episodes are from before")
    assert again.ends() == 0
    assert len(stored(tmp_path / "demos.sqlite")) == 2


def test_a_script_that_is_interrupted_keeps_its_episodes_and_goes_on(tmp_path: Path):
    words = ("demos", "record", "--script", "task=reach", "obs=state", "out=demos.sqlite")
    command = Command(tmp_path, *words, "episodes=100000")
    until(lambda: "3 of 100000" in command.said, command)
    command.interrupt()
    assert command.ends(60) == 130
    there = len(stored(tmp_path / "demos.sqlite"))
    assert f"Stopped: {there} of 100000 demonstrations are in demos.sqlite" in command.said
    assert "Traceback" not in command.said
    again = Command(tmp_path, *words, f"episodes={there + 2}", "resume=true")
    assert again.ends() == 0, again.said
    assert len(stored(tmp_path / "demos.sqlite")) == there + 2
    missing = Command(tmp_path, *words[:-1], "out=gone.sqlite", "resume=true")
    assert missing.ends() == 2
    assert "error: there is no file gone.sqlite to add to; check out=<file>, or drop resume=true" in missing.said
