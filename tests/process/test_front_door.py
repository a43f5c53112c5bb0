"""Learner and actor as processes: what a run promises from its first step to its summary, whoever is killed."""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from front_door import SMALL, Command, alive, archived, free_address, read, until

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
Start = Callable[..., Command]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start commands in the test's own folder, and leave none behind."""
    started: list[Command] = []

    def begin(*words: str) -> Command:
        started.append(Command(tmp_path, *words))
        return started[-1]

    yield begin
    for command in started:
        if command.process.poll() is None:
            command.kill_rooms()


def require_whole(run: Path, outbox: Path) -> None:
    """Every step that was ever produced is archived once, in order, or still waits in the outbox."""
    steps, actor = archived(run), read(outbox)
    assert [seq for _, seq, _, _ in steps] == list(range(1, len(steps) + 1))
    assert {stream for stream, *_ in steps} == {actor["stream"]}
    assert len(steps) == actor["produced"] - actor["unacked"]
    assert actor["refused"] == 0
    for (_, _, episode, t), (_, _, next_episode, next_t) in itertools.pairwise(steps):
        assert (next_episode, next_t) == (episode, t + 1) or (next_episode > episode and next_t == 0)


def test_a_run_goes_to_its_end_and_leaves_what_the_contract_names(start: Start, tmp_path: Path):
    words = ("sim", *SMALL, "run=r", "steps=60", "demos=script:2", "eval_episodes=3", "seed=5")
    command = start(*words)
    assert command.ends() == 0, command.said
    run = tmp_path / "r"
    summary = read(run / "summary.json")
    assert {key: summary[key] for key in ("task", "env", "agent", "human", "seed")} == {
        "task": "reach",
        "env": "sim",
        "agent": "rlpd",
        "human": "script",
        "seed": 5,
    }
    assert summary["env_steps"] == len(archived(run)) >= 60
    assert summary["gradient_steps"] == 2 * 60
    assert summary["episodes"] >= 1
    assert summary["wall_s"] > 0
    assert summary["steps_to_80"] is summary["steps_to_95"] is None
    assert 0 <= summary["human_steps"] <= summary["env_steps"]
    assert summary["success"]["n"] == 3
    assert summary["success"]["ci95"][0] <= summary["success"]["rate"] <= summary["success"]["ci95"][1]
    assert summary["link"]["lost"] == 0
    assert summary["link"]["produced"] >= summary["link"]["archived"] == summary["env_steps"]
    assert {"python", "handrail", "jax", "mujoco"} <= summary["versions"].keys()
    judged = read(run / "eval.json")
    assert {"episodes", "successes", "rate", "ci95", "mean_steps", "mean_return"} <= judged.keys()
    for picture in ("success.png", "report.png"):
        assert (run / picture).read_bytes().startswith(b"\x89PNG")
    assert summary["human_minutes"] == round(summary["human_steps"] / 10 / 60, 3)
    assert (run / "report.md").read_text().startswith("# reach, rlpd, seed 5\n")
    assert (run / "policy.weights").exists()
    require_whole(run, run / "outbox.json")
    assert summary["resets"] >= summary["episodes"]  # Also of the last one, which the end of the run cut short.

    before = (run / "summary.json").read_bytes()
    again = start(*words)
    assert again.ends() == 2
    assert again.said == "error: r holds a run already; set resume=true to go on with it, or run=<another folder>\n"
    assert (run / "summary.json").read_bytes() == before

    foreign = start("eval", "run=r", "task=pick_cube", "episodes=1")
    assert foreign.ends() == 2
    assert "error: the policy in r cannot run in this environment (pick_cube" in foreign.said
    assert "set task, obs and env as the run had them" in foreign.said
    assert "Traceback" not in foreign.said


def test_ctrl_c_ends_both_rooms_soon_and_resume_goes_on_where_they_stopped(start: Start, tmp_path: Path):
    run = tmp_path / "r"
    command = start("sim", *SMALL, "run=r", "steps=1000000", "demos=script:2", "eval_episodes=2")
    until(lambda: len(archived(run)) > 60, command)
    rooms = command.rooms()
    assert len(rooms) == 2
    began_s = time.monotonic()
    command.interrupt()
    assert command.ends(30) == 130
    # Five seconds are granted before a room is killed; a busy machine may need a little more to notice.
    assert time.monotonic() - began_s < 10
    assert not any(alive(pid) for pid in rooms)
    assert "Stopped. Go on with: handrail sim run=r resume=true" in command.said
    assert "Traceback" not in command.said + (run / "actor.log").read_text() + (run / "learner.log").read_text()
    first, steps = read(run / "summary.json"), archived(run)
    assert first["env_steps"] == len(steps)
    assert first["gradient_steps"] > 0
    assert first["success"] is None
    require_whole(run, run / "outbox.json")

    resumed = start("sim", "run=r", "resume=true", f"steps={len(steps) + 40}")
    assert resumed.ends() == 0, resumed.said
    second, all_steps = read(run / "summary.json"), archived(run)
    assert all_steps[: len(steps)] == steps
    assert len(all_steps) >= len(steps) + 40
    assert second["env_steps"] == len(all_steps)
    assert second["gradient_steps"] == 2 * (len(steps) + 40)
    assert second["episodes"] >= first["episodes"]
    assert second["wall_s"] > first["wall_s"]
    assert second["link"]["lost"] == 0
    assert second["resets"] >= second["episodes"]  # Those of both processes.
    assert second["success"]["n"] == 2
    require_whole(run, run / "outbox.json")


def test_an_actor_waits_for_its_learner_and_outlives_its_death(start: Start, tmp_path: Path):
    address, run = free_address(), tmp_path / "r"
    actor = start("actor", *SMALL[:2], f"learner={address}", "human=script")
    until(lambda: "the robot holds" in actor.said, actor)
    assert f"waiting for weights from {address}: connecting" in actor.said

    words = ("learner", *SMALL, f"bind={address}", "run=r", "steps=200")
    learner = start(*words)
    until(lambda: len(archived(run)) > 40, learner)
    (room,) = learner.rooms()
    os.kill(room, signal.SIGKILL)
    assert learner.ends(30) == 1
    known = len(archived(run))
    assert actor.process.poll() is None

    learner = start(*words, "resume=true")
    assert learner.ends() == 0, learner.said
    assert actor.ends(60) == 0, actor.said
    assert len(archived(run)) >= max(known, 200)
    require_whole(run, tmp_path / "outbox.json")
    summary = read(run / "summary.json")
    assert summary["env_steps"] == summary["link"]["archived"] == len(archived(run))
    assert summary["gradient_steps"] <= 2 * 200


def test_what_does_not_fit_the_learner_is_refused_with_both_sides_and_the_cure(start: Start, tmp_path: Path):
    recorded = start("demos", "record", "--script", "task=reach", "obs=state", "episodes=1", "out=demos.sqlite")
    assert recorded.ends() == 0, recorded.said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demos.sqlite", "output-0"]
    again = start("demos", "record", "--script", "task=reach", "obs=state", "episodes=1", "out=demos.sqlite")

    address = free_address()
    learner = start("learner", *SMALL, f"bind={address}", "run=r", "demos=demos.sqlite")
    actor = start("actor", "task=pick_cube", "obs=state", f"learner={address}")
    assert actor.ends() == 2
    assert "error: the learner (here) and the actor (there) differ: " in actor.said
    assert "task: reach here, pick_cube there" in actor.said
    assert "Start both with the same task and env" in actor.said
    assert "Traceback" not in actor.said
    assert learner.process.poll() is None

    other = start("learner", *SMALL, f"bind={address}", "run=other", "demos=demos.sqlite")
    assert other.ends() == 2
    assert f"error: {address} is in use: another learner runs there; stop it, or set bind=" in other.said
    learner.interrupt()
    assert learner.ends(30) == 130

    assert again.ends() == 2
    assert "error: demos.sqlite exists already; name another file, or move it away" in again.said


def test_a_front_door_that_is_killed_leaves_no_room_running_and_nothing_undone(start: Start, tmp_path: Path):
    run = tmp_path / "r"
    command = start("sim", *SMALL, "run=r", "steps=1000000", "demos=none", "eval_episodes=2")
    until(lambda: len(archived(run)) > 40, command)
    rooms = command.rooms()
    assert len(rooms) == 2
    began_s = time.monotonic()
    command.process.kill()
    while any(alive(pid) for pid in rooms):
        assert time.monotonic() - began_s < 60, "a room outlived its front door"
        time.sleep(0.05)
    print(f"D1: front door killed, its rooms ended orderly after {time.monotonic() - began_s:.1f} s")
    # They were not killed either: the actor has left its note, the learner its summary.
    require_whole(run, run / "outbox.json")
    assert read(run / "summary.json")["env_steps"] == len(archived(run))
