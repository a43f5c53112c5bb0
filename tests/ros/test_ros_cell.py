"""The workcell over real topics: guard and simulated robot are processes; what is above them runs on robots too."""

import os
import signal
import time

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from ros_nodes import Spectator, nodes, until
from scipy.spatial.transform import Rotation
from std_srvs.srv import Trigger

from actor.config import HandConfig
from actor.human.mapping import Mapping
from envs.config import EnvConfig
from envs.guard import Guard
from envs.make import make_env
from envs.ros.inputs import RELIABLE
from envs.ros.messages import pose
from envs.ros.services import ServiceError
from envs.stopper import open_stopper
from envs.tabletop import TOOL_ROTATION
from envs.testing import check_env

pytestmark = [pytest.mark.process, pytest.mark.sim]
DOWN = Rotation.from_quat([1.0, 0.0, 0.0, 0.0])
MOVE = np.array([0.5, 0.5, 0.0, 1.0], np.float32)


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """A simulated robot and its guard; the table is that of pick_cube."""
    folder = tmp_path_factory.mktemp("cell")
    with nodes() as start, Spectator() as spectator:
        start("sim_robot_node", folder, task="pick_cube")
        start("guard_node", folder)
        until(lambda: spectator.guard("ready") == "True", "the guard")
        yield spectator


@pytest.fixture
def env(cell):
    made = make_env(EnvConfig(env="ros", task="pick_cube", obs="state"))
    yield made
    made.close()


def drive(env, steps, action=MOVE):
    """Guarded steps; the verdicts."""
    guard, verdicts = Guard(env.limits), []
    for _ in range(steps):
        verdicts.append(guard.apply(action, env.target_position(), env.vitals()))
        env.step(verdicts[-1].action)
    return verdicts


def test_the_cell_over_topics_keeps_the_contract(cell):
    check_env(lambda: make_env(EnvConfig(env="ros", task="pick_cube", obs="state")))


def test_the_robot_goes_where_the_actions_say(env):
    env.reset(seed=0)
    before = env.cell.tool_position()
    drive(env, 4)
    until(lambda: np.allclose(env.look_again()["proprio"][8:10], before[:2] + 0.05, atol=0.004), "the arm")


def test_the_robot_says_how_its_tool_is_turned_so_that_a_hand_may_drive_in_the_tools_frame(env):
    env.reset(seed=4)
    np.testing.assert_allclose(env.tool_rotation(), TOOL_ROTATION, atol=0.02)
    mapping = Mapping(HandConfig(frame="tool", dead_zone=0.0), env.wire_spec, env.tool_rotation)
    # Out of the hand of a tool that points down is down.
    np.testing.assert_allclose(mapping.motion((0, 0, 1, 0, 0, 0))[:3], [0, 0, -1], atol=0.02)


def test_a_second_publisher_of_the_targets_halts_the_guard_and_the_robot_ignores_both(cell, env):
    env.reset(seed=0)
    drive(env, 2)
    rival = cell.node.create_publisher(PoseStamped, "target_pose", RELIABLE)
    try:
        until(env.halted, "the guard to notice")
        assert "more than one publisher" in env.halted()
        # Its name is discovered a moment after its topic.
        until(lambda: "/guard, /spectator" in env.halted(), "the guard to name it")
        stood = env.look_again()["proprio"]
        far = pose([0.5, 0.0, 0.2], DOWN, "base", cell.node.get_clock().now().to_msg())
        for _ in range(20):
            rival.publish(far)
            time.sleep(0.01)
        assert np.allclose(env.look_again()["proprio"][8:11], stood[8:11], atol=0.003)
        with pytest.raises(ServiceError, match=r"more than one publisher"):
            env.reset(seed=1)
    finally:
        cell.node.destroy_publisher(rival)
    until(lambda: cell.node.count_publishers("target_pose") == 1, "the rival to be gone")
    env.reset(seed=0)
    assert env.halted() == ""
    drive(env, 2)


def test_a_second_commander_is_refused_until_the_next_episode(cell, env):
    env.reset(seed=0)
    rival = cell.node.create_publisher(PoseStamped, "guard/requested_pose", RELIABLE)
    until(lambda: rival.get_subscription_count(), "the guard")
    message = pose([0.47, 0.0, 0.2], DOWN, "base", cell.node.get_clock().now().to_msg())
    try:
        drive(env, 1)
        rival.publish(message)
        until(env.halted, "the guard to refuse")
        assert "two commanders publish /guard/requested_pose" in env.halted()
    finally:
        cell.node.destroy_publisher(rival)
    env.reset(seed=0)
    until(lambda: not any(verdict.held for verdict in drive(env, 2)), "requests to be followed again")


def test_a_watchdog_halts_the_robot_through_a_connection_of_its_own(cell, env):
    stopper = open_stopper(env.stopper)
    until(stopper.reachable, "the guard")
    env.pause = cell.watch
    env.reset(seed=0)
    drive(env, 3)
    env.cell.command(MOVE)
    cell.watch(0.03)
    asked_ns = cell.now_ns()
    stopper.hold("the control loop did not beat")
    until(env.halted, "the guard")
    cell.watch(0.3)
    assert cell.moved_ns > asked_ns - 50_000_000, "it did not move, so nothing was stopped"
    stopped_ms = (cell.moved_ns - asked_ns) / 1e6
    print(f"R1: the target stood still {stopped_ms:.0f} ms after the watchdog's word")
    assert stopped_ms <= 150.0
    assert env.halted() == "the control loop did not beat"
    stopper.close()


def test_what_a_person_stopped_no_reset_lets_go_on(cell, env):
    def call(service):
        assert cell.call(Trigger, f"/guard/{service}", Trigger.Request()).success

    env.reset(seed=0)
    call("hold")
    until(env.halted, "the guard")
    with pytest.raises(ServiceError, match="somebody called ~/hold; call guard/begin"):
        env.reset(seed=0)
    call("begin")
    env.reset(seed=0)
    assert env.halted() == ""
    call("e_stop")
    until(env.halted, "the guard")
    with pytest.raises(ServiceError, match="~/e_stop"):
        env.reset(seed=0)
    call("release")
    until(lambda: "released" in env.halted(), "the guard")
    with pytest.raises(ServiceError, match="was released; call guard/begin"):
        env.reset(seed=0)
    call("begin")
    env.reset(seed=0)
    assert env.halted() == ""


def test_an_emergency_stop_outlasts_the_guard(tmp_path):
    with nodes("/kept") as start, Spectator("/kept") as spectator:
        start("sim_robot_node", tmp_path, task="reach")
        guard = start("guard_node", tmp_path)
        until(lambda: spectator.guard() == "holding", "the guard")
        assert spectator.call(Trigger, "/kept/guard/e_stop", Trigger.Request()).success
        guard.kill()
        again = start("guard_node", tmp_path)
        until(lambda: "from before this guard began" in spectator.guard("reason"), "the second guard")
        assert spectator.guard() == "stopped"
        assert spectator.call(Trigger, "/kept/guard/release", Trigger.Request()).success
        assert spectator.call(Trigger, "/kept/guard/begin", Trigger.Request()).success
        until(lambda: spectator.guard() == "holding", "the robot")
        assert again.stop() == 0
        start("guard_node", tmp_path)
        until(lambda: spectator.guard() == "holding", "a guard that knows of no stop")


def test_a_robot_that_stops_reporting_is_held_and_goes_on_after_its_restart(tmp_path):
    with nodes("/left") as start, Spectator("/left") as spectator:
        robot = start("sim_robot_node", tmp_path, task="reach")
        guard = start("guard_node", tmp_path)
        env = make_env(EnvConfig(env="ros", task="reach", obs="state", namespace="/left"))
        env.reset(seed=0)
        drive(env, 2)
        os.kill(robot.pid, signal.SIGKILL)
        robot.process.wait()
        verdict = until(lambda: next((v for v in drive(env, 1) if v.held), None), "a hold", seconds=5.0)
        assert "joints was last heard of" in verdict.reason
        start("sim_robot_node", tmp_path, task="reach")
        env.reset(seed=0)
        until(lambda: not any(verdict.held for verdict in drive(env, 2)), "requests to be followed again")
        until(lambda: spectator.guard() == "following", "the guard")
        os.kill(guard.pid, signal.SIGTERM)
        assert guard.process.wait(10.0) == 0
        until(env.halted, "the cell to miss the guard")
        assert "fallen silent" in env.halted() or "ending" in env.halted()
        stood = env.look_again()["proprio"][8:11]
        time.sleep(0.3)
        assert np.allclose(env.look_again()["proprio"][8:11], stood, atol=0.002), "the last thing out must be a hold"
        env.close()
