"""The file that names a robot, and what it asks of drivers whose messages may not be installed."""

import importlib.util
import threading

import msgspec
import pytest
import rclpy
import yaml
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from ros_nodes import until
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from envs.ros import PROFILE
from envs.ros.config import RobotConfigError, known_robots, load_robot
from envs.ros.grippers import commanded, open_gripper, width_m
from envs.ros.recovery import activate_controllers, recover
from envs.ros.services import ServiceError, Services
from envs.ros.vendors import VendorMissingError

SIM = load_robot("sim")


@pytest.fixture
def node():
    context = Context()
    rclpy.init(context=context)
    made = Node("caller", context=context, enable_rosout=False)
    yield made
    made.destroy_node()
    context.try_shutdown()


def file_with(tmp_path, **changes):
    """The simulated robot's file with some keys changed; None leaves one out."""
    values = yaml.safe_load((PROFILE.parent / "robots/sim.yaml").read_text())
    values = {key: value for key, value in (values | changes).items() if value is not None}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


@pytest.mark.parametrize("name", known_robots())
def test_every_robot_that_comes_with_us_is_described_whole(name):
    robot = load_robot(name)
    gripper = robot.gripper
    assert width_m(gripper, gripper.joint_open) == pytest.approx(gripper.stroke_m)
    assert width_m(gripper, gripper.joint_closed) == 0.0
    assert commanded(gripper, 1.0) == gripper.command_open
    assert commanded(gripper, -1.0) == gripper.command_closed


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"base_frame": None}, "missing required field `base_frame`"),
        ({"tool": "hand"}, "unknown field `tool`"),
        ({"joints": []}, "joints must name the arm's joints"),
        ({"home": [0.0, 0.0, 0.2, 1.0, 0.0, 0.0, 0.0]}, "outside the workspace"),
        ({"home": [0.47, 0.0, 0.2, 0.5, 0.0, 0.0, 0.0]}, "quaternion x, y, z, w of length 1"),
        ({"reset": "hom"}, "did you mean home?"),
        ({"recovery": "frank"}, "did you mean franka?"),
        ({"limits": {"workspace_low_m": [1, 0, 0], "workspace_high_m": [0, 1, 1]}}, "the workspace is empty"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_file_that_is_wrong_names_the_key_and_the_cure(tmp_path, changes, wanted):
    with pytest.raises(RobotConfigError) as caught:
        load_robot(file_with(tmp_path, **changes))
    assert wanted in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_a_robot_or_file_that_is_not_there_is_answered_with_what_is(tmp_path):
    with pytest.raises(RobotConfigError, match="did you mean fr3"):
        load_robot("fr33")
    with pytest.raises(RobotConfigError, match="No such file"):
        load_robot(str(tmp_path / "none.yaml"))
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: [unclosed")
    with pytest.raises(RobotConfigError, match="does not describe a robot"):
        load_robot(str(bad))


@pytest.mark.skipif(importlib.util.find_spec("control_msgs") is not None, reason="control_msgs are installed here")
def test_an_action_gripper_without_its_messages_says_what_to_install(node):
    with pytest.raises(VendorMissingError, match=r"apt install ros-.*-control-msgs"):
        open_gripper(node, load_robot("fr3").gripper)


@pytest.mark.skipif(importlib.util.find_spec("franka_msgs") is not None, reason="franka_msgs are installed here")
def test_recovery_and_controllers_without_their_messages_say_what_to_install(node):
    with pytest.raises(VendorMissingError, match=r"apt install ros-.*-franka-msgs"):
        recover(node, Services(node), load_robot("fr3"))
    with pytest.raises(VendorMissingError, match=r"apt install ros-.*-controller-manager-msgs"):
        activate_controllers(Services(node), msgspec.structs.replace(SIM, controllers=("impedance",)))


def test_a_topic_gripper_gets_the_controllers_own_units(node):
    gripper, heard = open_gripper(node, SIM.gripper), []
    ear = Node("ear", context=node.context, enable_rosout=False)
    ear.create_subscription(Float64MultiArray, SIM.gripper.command, heard.append, 10)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(ear)

    def arrived():
        gripper.command(0.0)
        executor.spin_once(timeout_sec=0.05)
        return heard

    until(arrived, "the command")
    assert list(heard[0].data) == pytest.approx([0.02])
    ear.destroy_node()


class Dashboard:
    """Universal Robots' dashboard, as far as a recovery calls it."""

    def __init__(self, context, refuses=""):
        self.node = Node("dashboard_client", context=context, enable_rosout=False)
        self.called = []
        for name in ("close_safety_popup", "unlock_protective_stop", "play"):
            self.node.create_service(Trigger, f"~/{name}", self._answer(name, name != refuses))

    def _answer(self, name, fine):
        def answer(request, response):
            self.called.append(name)
            response.success, response.message = fine, "" if fine else "the brake is on"
            return response

        return answer


@pytest.mark.parametrize("refuses", ["", "play"])
def test_a_universal_robot_is_brought_back_by_its_dashboard(node, refuses):
    dashboard = Dashboard(node.context, refuses)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(dashboard.node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        if refuses:
            with pytest.raises(ServiceError, match="/dashboard_client/play refused: the brake is on"):
                recover(node, Services(node), load_robot("ur5e"))
        else:
            recover(node, Services(node), load_robot("ur5e"))
        assert dashboard.called == ["close_safety_popup", "unlock_protective_stop", "play"]
    finally:
        executor.shutdown()
        thread.join()
        dashboard.node.destroy_node()


def test_a_service_that_nobody_offers_is_named(node, monkeypatch):
    monkeypatch.setattr("envs.ros.services.FOUND_S", 0.3)
    with pytest.raises(ServiceError, match="nobody offers the service /arm/recover"):
        recover(node, Services(node), msgspec.structs.replace(SIM, recovery="trigger", recovery_name="arm/recover"))
