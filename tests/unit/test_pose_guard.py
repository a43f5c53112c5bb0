"""What becomes a robot's target, tick by tick, without ROS."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from envs.ros.config import LimitsConfig
from envs.ros.pose_guard import FOLLOWING, HALTED, HOLDING, STOPPED, WAITING, Felt, Pose, PoseGuard, Request

TICK_S, PERIOD_S = 0.01, 0.1
LIMITS = LimitsConfig(workspace_low_m=(0.3, -0.2, 0.02), workspace_high_m=(0.6, 0.2, 0.3))
LOW, HIGH = np.array(LIMITS.workspace_low_m), np.array(LIMITS.workspace_high_m)
HOME = np.array([0.45, 0.0, 0.2])
DOWN = Rotation.from_quat([1.0, 0.0, 0.0, 0.0])
ANYWHERE = st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=3).map(np.array)


def beside(x, y, z):
    """So many metres from home."""
    return HOME + np.array([x, y, z])


def felt(position=HOME, rotation=DOWN, **fields):
    return Felt(pose=Pose(np.array(position, float), rotation), **fields)


class Robot:
    """Follows its target at once, and remembers every one."""

    def __init__(self, limits=LIMITS):
        self.guard = PoseGuard(limits, tick_s=TICK_S, period_s=PERIOD_S)
        self.now_ns = 1_000_000_000
        self.at = Pose(HOME.copy(), DOWN)
        self.targets = []

    def ask(self, position, rotation=DOWN):
        self.guard.request(Request(Pose(np.array(position, float), rotation), self.now_ns))

    def tick(self, times=1, **fields):
        for _ in range(times):
            self.now_ns += int(TICK_S * 1e9)
            target = self.guard.tick(self.now_ns, Felt(pose=self.at, **fields))
            if target is not None:
                self.at = target
                self.targets.append(target.position_m)
        return self.at.position_m


@pytest.fixture
def robot():
    begun = Robot()
    begun.tick()
    assert begun.guard.begin() == ""
    until_ready(begun)
    return begun


def until_ready(robot):
    """What was said before a begin may still be on its way for a few ticks."""
    for _ in range(5):
        if robot.guard.ready:
            return
        robot.tick()
    raise AssertionError("the guard does not take the robot")


def test_nothing_is_published_before_the_robot_has_said_where_it_is():
    guard = PoseGuard(LIMITS, tick_s=TICK_S, period_s=PERIOD_S)
    assert guard.tick(1, Felt(pose=None, problem="the pose is in frame 'x'")) is None
    assert guard.mode == WAITING
    assert "frame 'x'" in guard.reason


def test_a_request_is_reached_at_the_end_of_the_control_period(robot):
    robot.ask(beside(0.02, 0.0, 0.0))
    assert np.allclose(robot.tick(10), beside(0.02, 0.0, 0.0), atol=1e-9)
    assert robot.guard.mode == FOLLOWING


def test_the_first_target_of_an_episode_is_where_the_robot_is(robot):
    robot.guard.begin()
    for _ in range(5):
        # It stands elsewhere, whatever it is told: somebody has moved it meanwhile.
        robot.at = Pose(beside(0.01, 0.02, 0.0), DOWN)
        robot.ask(beside(0.03, 0.02, 0.0))
        robot.tick()
        if robot.guard.ready:
            break
    assert np.array_equal(robot.targets[-1], beside(0.01, 0.02, 0.0))


@given(goals=st.lists(ANYWHERE, min_size=1, max_size=8), ticks=st.integers(1, 12))
def test_no_target_is_outside_the_box_too_fast_or_too_sudden(goals, ticks):
    robot = Robot()
    robot.tick()
    for goal in goals:
        robot.ask(goal)
        robot.tick(ticks)
    path = np.array([HOME, *robot.targets])
    assert ((path >= LOW - 1e-12) & (path <= HIGH + 1e-12)).all()
    velocity = np.diff(path, axis=0) / TICK_S
    assert np.linalg.norm(velocity, axis=1).max() <= LIMITS.max_speed_m_s + 1e-9
    change = np.linalg.norm(np.diff(velocity, axis=0), axis=1) if len(velocity) > 1 else np.zeros(1)
    assert change.max() <= LIMITS.max_acceleration_m_s2 * TICK_S + 1e-9


@given(turn=st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3))
def test_the_tool_turns_no_faster_than_it_may(turn):
    robot = Robot()
    robot.tick()
    before, goal = DOWN, Rotation.from_rotvec(turn) * DOWN
    for _ in range(30):
        robot.ask(HOME, goal)
        robot.tick()
        turned = (robot.at.rotation * before.inv()).magnitude()
        assert turned <= LIMITS.max_turn_rad_s * TICK_S + 1e-9
        before = robot.at.rotation


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_request_that_is_not_finite_halts(robot, bad):
    robot.ask([0.45, bad, 0.2])
    assert robot.guard.mode == HALTED
    assert "NaN" in robot.guard.reason
    assert np.array_equal(robot.tick(20), HOME)


def test_silence_of_the_commander_holds_where_the_robot_is(robot):
    robot.ask(beside(0.2, 0.0, 0.0))
    robot.tick(20)
    assert robot.guard.mode == FOLLOWING
    robot.tick(15)
    assert robot.guard.mode == HOLDING
    assert "no request for" in robot.guard.reason
    stood = robot.tick()
    assert np.array_equal(robot.tick(50), stood)


def test_a_hold_latches_the_measured_pose_once(robot):
    robot.ask(beside(0.02, 0.0, 0.0))
    robot.tick(5)
    robot.guard.halt("the watchdog")
    measured = robot.guard.tick(robot.now_ns, felt(beside(0.004, 0.0, 0.0)))
    assert np.array_equal(measured.position_m, beside(0.004, 0.0, 0.0))
    sagging = robot.guard.tick(robot.now_ns, felt(beside(0.004, 0.0, -0.002)))
    assert np.array_equal(sagging.position_m, measured.position_m), "a sagging arm would creep to the table"


def test_a_holding_robot_that_somebody_else_has_moved_does_not_jump_back(robot):
    robot.guard.halt("the watchdog")
    robot.tick()
    assert robot.guard.mode == HALTED
    moved = robot.guard.tick(robot.now_ns, felt(beside(0.1, 0.0, 0.0)))
    assert np.array_equal(moved.position_m, beside(0.1, 0.0, 0.0))


def test_a_halt_lasts_until_the_next_begin(robot):
    robot.guard.halt("the watchdog")
    robot.ask(beside(0.02, 0.0, 0.0))
    robot.tick(20)
    assert robot.guard.mode == HALTED
    assert robot.guard.reason == "the watchdog"
    assert robot.guard.begin() == ""
    until_ready(robot)
    robot.ask(beside(0.02, 0.0, 0.0))
    assert np.allclose(robot.tick(12), beside(0.02, 0.0, 0.0), atol=1e-9)


def test_an_emergency_stop_outlasts_begin_and_needs_a_release(robot):
    robot.guard.stop("somebody called ~/e_stop")
    assert "release" in robot.guard.begin()
    assert robot.guard.mode == STOPPED
    robot.guard.release()
    assert robot.guard.mode == HALTED
    assert "was released; call guard/begin" in robot.guard.begin(), "no program drives off because of that"
    assert robot.guard.begin(by_person=True) == ""
    assert robot.guard.begin() == "", "and from then on episodes begin as ever"


def test_what_a_person_halted_only_a_person_lets_go_on(robot):
    robot.guard.halt("the watchdog")
    robot.guard.halt("somebody called ~/hold", by_person=True)
    assert robot.guard.reason == "somebody called ~/hold"
    assert "~/hold; call guard/begin" in robot.guard.begin()
    assert robot.guard.mode == HALTED
    assert robot.guard.begin(by_person=True) == ""


@pytest.mark.parametrize("stopped", [True, False])
def test_what_was_stopped_before_the_robot_was_seen_stays_so(stopped):
    guard = PoseGuard(LIMITS, tick_s=TICK_S, period_s=PERIOD_S)
    guard.stop("early") if stopped else guard.halt("early")
    guard.tick(1, Felt(pose=None))
    for tick in range(2, 6):
        guard.request(Request(Pose(beside(0.1, 0.0, 0.0), DOWN), tick))
        target = guard.tick(tick, felt())
        assert guard.mode == (STOPPED if stopped else HALTED)
        assert guard.reason == "early"
        assert np.array_equal(target.position_m, HOME)


@given(start=ANYWHERE, goal=ANYWHERE)
def test_from_outside_the_box_it_comes_back_without_a_jump_and_never_further_out(start, goal):
    robot = Robot()
    robot.at = Pose(start, DOWN)
    robot.tick()
    for _ in range(40):
        robot.ask(goal)
        robot.tick()
    path = np.array([start, *robot.targets])
    assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() <= LIMITS.max_speed_m_s * TICK_S + 1e-9
    outside = np.maximum(0.0, np.maximum(LOW - path, path - HIGH))
    assert (np.diff(outside, axis=0) <= 1e-9).all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"force_n": 61.0}, "61 N"),
        ({"force_n": np.nan}, "presses"),
        ({"ages_s": {"/joint_states": 0.2}}, "/joint_states"),
        ({"ages_s": {"/current_pose": np.inf}, "problem": "frame 'x'"}, "frame 'x'"),
    ],
)
def test_it_holds_while_a_sense_is_stale_or_the_tool_presses_and_goes_on_after_that(robot, fields, said):
    robot.ask(beside(0.02, 0.0, 0.0))
    robot.tick(3)
    stood = robot.tick(1, **fields)
    assert robot.guard.mode == HOLDING
    assert said in robot.guard.reason
    robot.ask(beside(0.02, 0.0, 0.0))
    assert np.array_equal(robot.tick(5, **fields), stood)
    robot.ask(beside(0.02, 0.0, 0.0))
    assert not np.array_equal(robot.tick(5), stood)


def test_another_publisher_of_the_targets_halts(robot):
    robot.ask(beside(0.02, 0.0, 0.0))
    robot.tick(3, conflict="/target_pose has more than one publisher")
    assert robot.guard.mode == HALTED
    assert "more than one" in robot.guard.reason


def test_a_rival_whose_name_is_learned_later_is_named_then(robot):
    robot.tick(1, conflict="a rival")
    robot.tick(1, conflict="a rival called /teleop")
    assert robot.guard.reason == "a rival called /teleop"


def test_the_first_reason_to_halt_stands_when_a_rival_comes_too(robot):
    robot.guard.halt("the control loop did not beat")
    robot.tick(1, conflict="a rival")
    robot.tick(1, conflict="a rival called /teleop")
    assert robot.guard.reason == "the control loop did not beat"
