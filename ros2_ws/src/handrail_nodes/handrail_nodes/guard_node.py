"""The guard: its own process, the only publisher of the robot's targets. See envs.ros.guarding for its topics.

Parameters: robot (a name or the path of a .yaml), period_s (the commander's control period), and, where they are above
zero, max_speed_m_s and command_timeout_s in place of the robot's own.
"""

import sys

import msgspec
from rclpy.node import Node

from envs.ros.config import PERIOD_S, load_robot
from envs.ros.guarding import GuardServer
from envs.ros.ticking import Stop, ros, run
from wire.errors import run_main

OWN = ("max_speed_m_s", "command_timeout_s")


class GuardNode(Node):
    """Parameters, and the server that does the work."""

    def __init__(self) -> None:
        super().__init__("guard")
        robot = load_robot(self.declare_parameter("robot", "sim").value)
        period_s = self.declare_parameter("period_s", 0.1).value
        given = {name: self.declare_parameter(name, 0.0).value for name in OWN}
        limits = msgspec.structs.replace(robot.limits, **{name: value for name, value in given.items() if value > 0.0})
        self.server = GuardServer(self, msgspec.structs.replace(robot, limits=limits), period_s=period_s)


def guard() -> int:
    """Guard the robot until SIGINT or SIGTERM; the last thing that goes out is a hold."""
    with ros(urgent=True):
        node, stop = GuardNode(), Stop()
        try:
            return run(node, node.server.tick, PERIOD_S, stop)
        finally:
            node.server.last_hold()


def main() -> None:
    """`ros2 run handrail_nodes guard_node`."""
    sys.exit(run_main(guard))


if __name__ == "__main__":
    main()
