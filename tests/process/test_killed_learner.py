"""The whole command, its learner killed while it checkpoints or publishes: resumed, it goes on and nothing is lost."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from counts import count
from front_door import SMALL, Command, archived, read

from wire.failpoints import VARIABLE

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]
POINTS = ["before_digest:2", "mid_checkpoint:2", "mid_publish:2", "before_rename:6"]


@contextmanager
def running(folder: Path, *words: str) -> Iterator[Command]:
    command = Command(folder, *words)
    try:
        yield command
    finally:
        command.kill_rooms()


@pytest.mark.parametrize("point", POINTS[: count(ci=1, nightly=len(POINTS))])
def test_a_learner_killed_while_it_saves_is_resumed_and_nothing_is_lost(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = tmp_path / "r"
    words = ("sim", *SMALL, "run=r", "steps=120", "demos=none", "eval_episodes=1", "learner.checkpoint_period_s=2")
    monkeypatch.setenv(VARIABLE, point)
    with running(tmp_path, *words) as first:
        assert first.ends() == 1, first.said
    monkeypatch.delenv(VARIABLE)
    known = archived(run)
    assert known
    with running(tmp_path, "sim", "run=r", "resume=true") as again:
        assert again.ends() == 0, again.said
    steps, actor, summary = archived(run), read(run / "outbox.json"), read(run / "summary.json")
    assert steps[: len(known)] == known
    assert [seq for _, seq, _, _ in steps] == list(range(1, len(steps) + 1))
    assert len(steps) == actor["produced"] - actor["unacked"]
    assert 0 < summary["gradient_steps"] <= 2 * 120
    assert not (run / "checkpoints.torn").exists() or "before_digest" in point
    for (_, _, episode, t), (_, _, next_episode, next_t) in itertools.pairwise(steps):
        assert (next_episode, next_t) == (episode, t + 1) or (next_episode > episode and next_t == 0)
    print(
        f"D1: learner of handrail sim killed at {point}, {len(known)} steps archived; {len(steps)} at the end, 0 lost"
    )
