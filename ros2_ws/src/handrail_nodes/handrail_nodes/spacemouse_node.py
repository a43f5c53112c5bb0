"""A SpaceMouse as ROS topics, with the names and axes of spacenav, and nothing at all once the device is gone.

Publishes `spacenav/joy` (sensor_msgs/Joy: six axes in [-1, 1], buttons) and `spacenav/twist` (geometry_msgs/Twist, the
same axes) at 100 Hz while the device lives. Whoever listens may take 100 ms without a message for a dead device;
spacenav's own node repeats the last one for ever.
"""

import math
import sys
import time
from dataclasses import dataclass
from typing import Any

import rclpy
from geometry_msgs.msg import Twist
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Joy

from actor.human.live import SILENT_S
from actor.human.spacemouse import SpaceMouse
from handrail_nodes import parameters
from wire.errors import run_main

PERIOD_S = 0.01
BUTTONS = 32
DEPTH = 10


@dataclass(frozen=True)
class Parameters:
    """What the node is told."""

    device: str = ""
    """Serial number or path, where several are connected."""


class SpaceMouseNode(Node):
    """Asks the driver every 10 ms; the driver listens in a thread of its own."""

    def __init__(self, hid: Any = None, **options: Any) -> None:
        """Open the device; raises UserError, with the cure, where there is none to open."""
        self._mouse: SpaceMouse | None = None
        super().__init__("spacemouse", **parameters.GIVEN, **options)
        told = parameters.read(self, Parameters)
        self._mouse = SpaceMouse(told.device or None, hid=hid)
        self._joy = self.create_publisher(Joy, "spacenav/joy", DEPTH)
        self._twist = self.create_publisher(Twist, "spacenav/twist", DEPTH)
        self._gone = False
        self.create_timer(PERIOD_S, self._publish)

    def destroy_node(self) -> None:
        """Let the device go."""
        if self._mouse is not None:
            self._mouse.close()
        super().destroy_node()

    def _publish(self) -> None:
        mouse = self._mouse
        if mouse is None:
            return
        controls = mouse.latest()
        gone = controls is None or time.monotonic() - controls.heard_s > SILENT_S
        if gone != self._gone:
            self.get_logger().warning(f"the {mouse.name} {'is gone: nothing is published' if gone else 'is back'}")
        self._gone = gone
        if controls is None or gone:
            return
        axes = [0.0 if math.isnan(axis) else axis for axis in controls.axes]
        joy = Joy(axes=axes, buttons=[int(number in controls.down) for number in range(BUTTONS)])
        joy.header.stamp = self.get_clock().now().to_msg()
        joy.header.frame_id = "spacenav"
        self._joy.publish(joy)
        twist = Twist()
        twist.linear.x, twist.linear.y, twist.linear.z = axes[:3]
        twist.angular.x, twist.angular.y, twist.angular.z = axes[3:]
        self._twist.publish(twist)


def run() -> None:
    """Publish until somebody ends it; what is still open then, the node among it, is closed with the context."""
    rclpy.init()
    try:
        rclpy.spin(SpaceMouseNode(), SingleThreadedExecutor())
    except ExternalShutdownException:
        return
    finally:
        rclpy.try_shutdown()


def main() -> int:
    """Entry point; a user's mistake is one sentence and exit code 2."""
    return run_main(run)


if __name__ == "__main__":
    sys.exit(main())
