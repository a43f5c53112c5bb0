"""What a robot says wrongly: one sentence names the topic, what was expected and what to do; nothing hangs."""

import time
from types import SimpleNamespace

import msgspec
import pytest
import rclpy
from geometry_msgs.msg import Pose
from pretend_robot import SIM, PretendRobot
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy

from envs.guard import Guard
from envs.ros import graph
from envs.ros.senses import Senses, SensesMissingError
from envs.tabletop import LIMITS

WAIT_S = 20.0
SHORT_S = 1.5
"""Long enough for a node on this machine to be found, short enough to wait for the sentence."""


@pytest.fixture
def node():
    context = Context()
    rclpy.init(context=context)
    made = Node("listener", context=context, enable_rosout=False)
    yield made
    made.destroy_node()
    context.try_shutdown()


def senses_of(node, *, image_size=None, objects=(), robot=SIM):
    return Senses(node, robot, image_size=image_size, objects=objects)


def sentence(senses, seconds=SHORT_S):
    with pytest.raises(SensesMissingError) as caught:
        senses.wait(seconds)
    print(caught.value)
    return str(caught.value)


def found(node, *topics):
    """Wait until the listener sees the publishers and knows their names: what is then said is of them."""
    deadline_s = time.monotonic() + WAIT_S
    while not all((names := graph.publishers(node, topic)) and graph.NAMELESS not in names for topic in topics):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_whole_robot_is_heard_at_once(node):
    with PretendRobot():
        senses = senses_of(node, image_size=16, objects=("cube",))
        senses.wait(WAIT_S)
        assert senses.moment.images["front"].shape == (16, 16, 3)
        assert senses.moment.joints.shape == (7,)
        assert senses.moment.width_m == pytest.approx(0.08)


def test_a_missing_topic_is_named_with_the_nearest_there_is(node):
    with PretendRobot(without=("joint_states",)):
        found(node, "/current_pose", "/gripper/joint_states")
        said = sentence(senses_of(node))
    assert "nobody publishes /joint_states (sensor_msgs/msg/JointState)" in said
    assert "did you mean /gripper/joint_states?" in said
    assert "joint_states in the robot's file" in said


def test_a_topic_of_another_type_is_named_with_both_types(node):
    with PretendRobot(kinds={"current_pose": Pose}):
        found(node, "/current_pose")
        said = sentence(senses_of(node))
    assert "/current_pose is published as geometry_msgs/msg/Pose, wanted geometry_msgs/msg/PoseStamped" in said


def test_a_quality_of_service_that_does_not_fit_is_named(node):
    robot = msgspec.structs.replace(
        SIM, cameras={"front": msgspec.structs.replace(SIM.cameras["front"], reliable=True)}
    )
    with PretendRobot(robot, qos=QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)):
        found(node, "/camera/front/color/image_raw")
        said = sentence(senses_of(node, image_size=16, robot=robot))
    assert "the QoS of /camera/front/color/image_raw does not fit that of its publisher /pretender" in said
    assert "Best effort publisher and reliable subscription" in said


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"frame": "world"}, "/current_pose: the pose is in frame 'world', wanted 'base'"),
        ({"position": [0.4, float("nan"), 0.2]}, "/current_pose: the pose holds a NaN or an infinity"),
        ({"quaternion": [0.0, 0.0, 0.0, 0.0]}, "/current_pose: the orientation is no unit quaternion"),
        ({"joints": {"panda_joint1": 0.0}}, "/joint_states: joints fr3_joint1, fr3_joint2"),
        ({"joints": dict.fromkeys(SIM.joints, float("inf"))}, "/joint_states: a position is a NaN or an infinity"),
        ({"force": float("nan")}, "wrench: the force holds a NaN"),
        ({"encoding": "mono16"}, "/camera/front/color/image_raw"),
        ({"encoding": "jpeg"}, "jpeg cannot be read"),
        ({"image_frame": "wrist_color_optical_frame"}, "are two cameras swapped?"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_message_that_is_wrong_is_named_with_what_was_wanted(node, wrong, wanted):
    with PretendRobot() as robot:
        for name, value in wrong.items():
            setattr(robot, name, value)
        found(node, "/current_pose", "/joint_states", "/camera/front/color/image_raw")
        assert wanted in sentence(senses_of(node, image_size=16))


def test_senses_that_go_bad_later_hold_the_robot_and_say_why(node):
    with PretendRobot() as robot:
        senses = senses_of(node)
        senses.wait(WAIT_S)
        guard = Guard(LIMITS)
        still, at = [0.0, 0.0, 0.0, 1.0], SIM.home[:3]
        senses.look()
        assert not guard.apply(still, at, senses.vitals()).held
        robot.position = [0.4, float("nan"), 0.2]
        deadline_s = time.monotonic() + WAIT_S
        while not (verdict := guard.apply(still, at, senses.vitals())).held:
            assert time.monotonic() < deadline_s
        assert "/current_pose: the pose holds a NaN" in verdict.reason
        assert senses.moment.position_m == pytest.approx(SIM.home[:3]), "what was wrong must not be shown"


def test_a_driver_that_repeats_its_last_message_is_as_stale_as_a_silent_one(node):
    with PretendRobot() as robot:
        senses = senses_of(node)
        senses.wait(WAIT_S)
        robot.frozen_stamp = robot.node.get_clock().now().to_msg()
        guard, deadline_s = Guard(LIMITS), time.monotonic() + WAIT_S
        while not (verdict := guard.apply([0.0] * 4, SIM.home[:3], senses.vitals())).held:
            assert time.monotonic() < deadline_s
        assert "joints was last heard of" in verdict.reason


def test_a_frozen_camera_holds_the_robot(node):
    with PretendRobot() as robot:
        senses = senses_of(node, image_size=16)
        senses.wait(WAIT_S)
        robot.silent.add("wrist")
        guard, deadline_s = Guard(LIMITS), time.monotonic() + WAIT_S
        while True:
            senses.look()
            verdict = guard.apply([0.0] * 4, SIM.home[:3], senses.vitals())
            if verdict.held and "wrist" in verdict.reason:
                break
            assert time.monotonic() < deadline_s


def test_two_robots_on_one_domain_are_told_apart_from_one(node):
    senses = senses_of(node)
    with PretendRobot(), PretendRobot(name="another"):
        senses.wait(WAIT_S)
        deadline_s = time.monotonic() + WAIT_S
        # A name is discovered a moment after its topic.
        while "another" not in (said := senses.conflict()):
            senses.look()
            assert time.monotonic() < deadline_s, said
    assert "two robots on one domain?" in said


def test_a_publisher_of_which_only_the_topic_is_known_yet_is_said_in_words():
    infos = [
        SimpleNamespace(node_name="guard", node_namespace="/left"),
        SimpleNamespace(node_name="_NODE_NAME_UNKNOWN_", node_namespace="_NODE_NAMESPACE_UNKNOWN_"),
    ]
    node = SimpleNamespace(get_publishers_info_by_topic=lambda topic: infos)
    assert graph.publishers(node, "/target_pose") == "/left/guard, a node that has not said its name yet"


def test_simulated_time_without_a_clock_is_named():
    context = Context()
    rclpy.init(context=context)
    timed = Node("timed", context=context, parameter_overrides=[Parameter("use_sim_time", value=True)])
    assert "nobody publishes /clock" in graph.why_no_time(timed)
    timed.destroy_node()
    context.try_shutdown()


def test_stamps_that_jump_neither_age_nor_refresh_a_sense(node):
    with PretendRobot() as robot:
        senses = senses_of(node)
        senses.wait(WAIT_S)
        for jump_s in (3600, -3600):
            stamp = robot.node.get_clock().now().to_msg()
            stamp.sec += jump_s
            robot.frozen_stamp = stamp
            deadline_s = time.monotonic() + WAIT_S
            while senses.inputs()["current_pose"].stamp_ns // 10**9 != stamp.sec:
                senses.vitals()
                assert time.monotonic() < deadline_s
            assert senses.vitals().ages_s["joints"] < 5.0
