"""What the actor does when there is no more room for its steps, and what it leaves running when it ends."""

import dataclasses
import logging
import threading
from pathlib import Path

import pytest
from acting import toy_env, toy_weights

from actor import act as act_module
from actor.config import ActorConfig
from actor.policy import PolicySlot
from actor.status import LinkStatus
from actor.watchdog import Unwatched
from envs.ticker import Ticker
from wire.types import Step

WELL = LinkStatus("connected", 0, 0, 0, 0, 0, 0, 0, nearly_full=False, full=False, room="0 of 1 GB", detail="")


class FillingUplink:
    """Has room for some steps; once it has been seen to be full, for as long as it takes, the learner ends the run."""

    next_episode = 0

    def __init__(self, room_steps: int, nearly: int) -> None:
        self.room_steps, self.nearly, self.looks = room_steps, nearly, 0
        self.steps: list[Step] = []

    def append(self, step: Step) -> None:
        self.steps.append(step)

    @property
    def status(self) -> LinkStatus:
        full, nearly = len(self.steps) >= self.room_steps, len(self.steps) >= self.nearly
        self.looks += nearly
        return dataclasses.replace(WELL, full=full, nearly_full=nearly, state="finished" if self.looks > 12 else "away")


def run(uplink: FillingUplink, *, in_real_time: bool = False) -> int:
    """Act until the learner ends the run; returns how often the robot was told to hold."""
    env = toy_env(limit=6)
    env.ticker = Ticker(1000.0) if in_real_time else None
    policy = PolicySlot(env.wire_spec)
    policy.load(toy_weights(env.wire_spec))
    act_module._run(ActorConfig(pace="clock"), env, policy, uplink, Unwatched())  # type: ignore[arg-type]
    return env.cell.holds


def test_an_episode_goes_to_its_end_where_the_outbox_is_nearly_full_and_then_the_robot_holds(
    caplog: pytest.LogCaptureFixture,
):
    uplink = FillingUplink(room_steps=1000, nearly=4)
    with caplog.at_level(logging.INFO):
        holds = run(uplink)
    assert [step.t for step in uplink.steps] == [0, 1, 2, 3, 4, 5]
    assert uplink.steps[-1].ended
    assert holds >= 1
    assert "0 of 1 GB. The robot holds until there is room" in caplog.text


def test_an_episode_ends_at_once_where_the_outbox_is_full_and_the_robot_holds(caplog: pytest.LogCaptureFixture):
    uplink = FillingUplink(room_steps=3, nearly=3)
    with caplog.at_level(logging.INFO):
        holds = run(uplink)
    assert [step.t for step in uplink.steps] == [0, 1, 2]
    assert not uplink.steps[-1].ended
    assert holds >= 1
    assert "the episode was ended before its time" in caplog.text


def test_resets_of_earlier_processes_with_the_same_outbox_are_counted_too(tmp_path: Path):
    path = tmp_path / "outbox.json"
    assert act_module._earlier_resets(path, "a") == 0
    path.write_text('{"stream": "a", "resets": 7}')
    assert act_module._earlier_resets(path, "a") == 7
    assert act_module._earlier_resets(path, "b") == 0
    path.write_text("{")
    assert act_module._earlier_resets(path, "a") == 0


def thinking() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "policy"]


def test_the_policys_thread_ends_with_the_run():
    class WatchedUplink(FillingUplink):
        def append(self, step: Step) -> None:
            assert thinking()
            super().append(step)

    uplink = WatchedUplink(room_steps=3, nearly=3)
    run(uplink, in_real_time=True)
    assert len(uplink.steps) == 3
    assert not thinking()


def test_the_policys_thread_ends_where_the_run_fails():
    class BrokenUplink(FillingUplink):
        def append(self, step: Step) -> None:
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        run(BrokenUplink(room_steps=3, nearly=3), in_real_time=True)
    assert not thinking()
