"""The guard: its own process, the only publisher of the robot's targets. See envs.ros.guarding for its topics."""

import math
import sys
from dataclasses import dataclass

import msgspec
from rclpy.node import Node

from envs.ros.config import PERIOD_S, load_robot
from envs.ros.guarding import GuardServer
from envs.ros.ticking import Stop, ros, run
from handrail_nodes import parameters
from wire.errors import require, run_main


@dataclass(frozen=True)
class Parameters:
    """What the guard is told; see envs.ros.config for the limits that are in the robot's file."""

    robot: str = "sim"
    """A name, or the path of a .yaml."""
    period_s: float = 0.1
    """The commander's control period."""
    max_speed_m_s: float = 0.0
    """Above zero: in place of the robot's own;"""
    command_timeout_s: float = 0.0
    """the same."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the parameter, what was got and what is wanted."""
        require(0 < self.period_s <= 10, f"period_s must be in 0..10 (0 excluded), got {self.period_s:g}")
        for name, value in self.own.items():
            require(0 < value < math.inf, f"{name} must be > 0, or 0 for the robot's own, got {value:g}")

    @property
    def own(self) -> dict[str, float]:
        """Limits in the place of the robot's."""
        given = {"max_speed_m_s": self.max_speed_m_s, "command_timeout_s": self.command_timeout_s}
        return {name: value for name, value in given.items() if value != 0}


class GuardNode(Node):
    """Parameters, and the server that does the work."""

    def __init__(self) -> None:
        super().__init__("guard", **parameters.GIVEN)
        told = parameters.read(self, Parameters)
        robot = load_robot(told.robot)
        limits = msgspec.structs.replace(robot.limits, **told.own)
        self.server = GuardServer(self, msgspec.structs.replace(robot, limits=limits), period_s=told.period_s)


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
