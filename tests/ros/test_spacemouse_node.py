"""The SpaceMouse's node: spacenav's topics while the device lives, and silence once it does not."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from devices import FakeHid, Plug, buttons, combined

if importlib.util.find_spec("rclpy") is None:
    pytest.skip("rclpy is not installed", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ros2_ws/src/handrail_nodes"))

import rclpy
from geometry_msgs.msg import Twist
from handrail_nodes.spacemouse_node import SpaceMouseNode
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Joy

# The parser of messages that the wheels bring imports a module that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")
SPINS = 3000


class Listener:
    """Hears both topics in the executor of the node."""

    def __init__(self, plug: Plug) -> None:
        self.context = Context()
        # A domain of this process alone, on this machine alone.
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        rclpy.init(context=self.context, domain_id=1 + os.getpid() % 100)
        self.node = SpaceMouseNode(FakeHid(plug), context=self.context)
        self.ear = rclpy.create_node("ear", context=self.context)
        self.joys: list[Any] = []
        self.twists: list[Any] = []
        self.ear.create_subscription(Joy, "spacenav/joy", self.joys.append, 10)
        self.ear.create_subscription(Twist, "spacenav/twist", self.twists.append, 10)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.ear)

    def spin_until(self, holds: Any) -> None:
        for _ in range(SPINS):
            if holds():
                return
            self.executor.spin_once(0.02)
        raise AssertionError("it did not happen in time")

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.ear.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def plug(tmp_path: Path) -> Plug:
    return Plug(tmp_path / "hidraw0")


@pytest.fixture
def listener(plug: Plug) -> Iterator[Listener]:
    made = Listener(plug)
    yield made
    made.close()


def test_axes_and_buttons_are_spacenavs_and_a_device_that_is_gone_publishes_nothing(listener: Listener, plug: Plug):
    # What was never heard of is at zero.
    listener.spin_until(lambda: listener.joys and listener.twists)
    assert list(listener.joys[-1].axes) == [0.0] * 6
    counts = (35, -70, 105, -140, 175, -350)
    plug.say(combined(*counts), buttons(1))

    def heard() -> bool:
        plug.say(combined(*counts))
        return bool(listener.joys[-1].buttons[1] and listener.twists[-1].linear.x)

    listener.spin_until(heard)
    joy, twist = listener.joys[-1], listener.twists[-1]
    wanted = pytest.approx([count / 350 for count in counts], abs=1e-6)
    assert list(joy.axes) == wanted
    assert [
        *(getattr(twist.linear, axis) for axis in "xyz"),
        *(getattr(twist.angular, axis) for axis in "xyz"),
    ] == wanted
    assert [number for number, down in enumerate(joy.buttons) if down] == [1]
    assert joy.header.frame_id == "spacenav"
    plug.pull()
    listener.spin_until(lambda: listener.node._gone)
    for _ in range(20):
        listener.executor.spin_once(0.02)
    before = len(listener.joys)
    for _ in range(50):
        listener.executor.spin_once(0.01)
    assert len(listener.joys) == before
    plug.put_back()
    listener.spin_until(lambda: len(listener.joys) > before)
    assert list(listener.joys[-1].axes) == [0.0] * 6
