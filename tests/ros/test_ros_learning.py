"""The whole of it over real topics: learner, actor node, guard and simulated robot, through what happens on a cell."""

import json
import os
import signal
import time

import pytest
from front_door import Command
from ros_nodes import Spectator, nodes, until

from handrail.local import free_port
from wire.database import EmptyError
from wire.store import StepStore

pytestmark = [pytest.mark.process, pytest.mark.sim, pytest.mark.learn, pytest.mark.timeout(900)]
STEPS = 400
TASK = ("env=ros", "task=reach", "obs=state")
STILL_S = 0.300


def archived(run):
    path = run / "steps.sqlite"
    if not path.exists():
        return 0
    try:
        with StepStore.read(path) as store:
            return store.count()
    except EmptyError:
        return 0


def drives(start, folder, port):
    """An actor node that is active, and the process of its loop."""
    return start(
        "actor_node", folder, task="reach", obs="state", learner=f"tcp://127.0.0.1:{port}", human="script",
        outbox=str(folder / "outbox.sqlite"), seed=0,
    )  # fmt: skip


def loop_of(actor):
    return until(lambda: next(iter(actor.children()), None), "the actor's loop")


def test_it_learns_to_reach_while_actor_and_robot_are_killed(tmp_path):
    run, port = tmp_path / "run", free_port()
    with nodes() as start, Spectator() as spectator:
        robot = start("sim_robot_node", tmp_path, task="reach")
        start("guard_node", tmp_path)
        until(lambda: spectator.guard("ready") == "True", "the guard")
        demos = Command(tmp_path, "demos", "record", "--script", *TASK, "episodes=25", "out=demos.sqlite")
        assert demos.ends() == 0, demos.said
        learner = Command(
            tmp_path, "learner", *TASK, "demos=demos.sqlite", f"run={run}", f"bind=tcp://127.0.0.1:{port}",
            f"steps={STEPS}", "agent.bc_weight=30", "agent.hidden=[128,128]", "learner.tensorboard=false",
        )  # fmt: skip
        actor = drives(start, tmp_path, port)
        spectator.bring("actor", "configure", "inactive")
        still = spectator.watch_target()
        spectator.watch(0.5)
        assert still is None or (spectator.watch_target() == still).all(), "it moved before it was active"
        spectator.bring("actor", "activate", "active")
        until(lambda: archived(run) > STEPS // 4, "a quarter of the steps", 200.0)

        until(lambda: spectator.watch(0.05) and spectator.now_ns() - spectator.moved_ns < 50_000_000, "motion")
        loop = loop_of(actor)
        killed_ns = spectator.now_ns()
        os.kill(loop, signal.SIGKILL)
        spectator.watch(1.0)
        still_s = (spectator.moved_ns - killed_ns) / 1e9
        print(f"R1: over ROS 2 the target stood still {1000 * still_s:.0f} ms after the actor was killed")
        # What is held is the measured pose, so the target stands still when the arm does.
        assert still_s <= STILL_S
        assert spectator.guard() == "halted"
        # Where it was killed just before its next beat was due, the beat is missed first.
        assert any(words in spectator.guard("reason") for words in ("actor", "the control loop did not beat"))
        assert actor.process.wait(30.0) != 0, "whoever launched it must learn that it failed"

        actor = drives(start, tmp_path, port)
        spectator.bring("actor", "configure", "inactive")
        spectator.bring("actor", "activate", "active")
        until(lambda: archived(run) > STEPS // 2, "half of the steps", 200.0)
        robot.kill()
        time.sleep(0.5)
        start("sim_robot_node", tmp_path, task="reach")
        until(lambda: learner.process.poll() is not None, "the run's end", 300.0)
        assert learner.process.returncode == 0, learner.said
        until(lambda: actor.process.poll() is not None, "the actor node's end")
        assert actor.process.returncode == 0, actor.said()

        judged = Command(tmp_path, "eval", f"run={run}", "episodes=20")
        assert judged.ends() == 0, judged.said
    evaluated = json.loads((run / "eval.json").read_text())
    summary = json.loads((run / "summary.json").read_text())
    print(f"ROS 2: {evaluated['successes']} of {evaluated['episodes']} episodes after {summary['env_steps']} steps")
    # A policy of 95 % succeeds in fewer than 18 of 20 episodes one time in thirteen, in fewer than 16 one in 400.
    assert evaluated["rate"] >= 0.8
