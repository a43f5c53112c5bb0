"""Drive the robot by hand, through the guard: what turns `spacenav/joy` into requests.

The loop is that of `handrail teleop env=ros human=joy`, which shows more in a terminal of its own.
"""

import sys
from dataclasses import dataclass, replace

from rclpy.node import Node

from actor.config import HAND, TeleopConfig
from actor.teleop import teleop
from envs.config import EnvConfig
from envs.ros.ticking import ros
from handrail_nodes import parameters
from wire.errors import UserError, run_main


@dataclass(frozen=True)
class Parameters:
    """What the node is told."""

    robot: str = "sim"
    topic: str = ""
    """Of a sensor_msgs/Joy; empty: spacenav's."""
    frame: str = "base"
    """base or tool;"""
    view_deg: float = HAND["joy"].view_deg
    """both in docs/human.md."""


class TeleopNode(Node):
    """Parameters alone."""

    def __init__(self) -> None:
        super().__init__("teleop", **parameters.GIVEN)
        told = parameters.read(self, Parameters)
        env = EnvConfig(env="ros", obs="proprio", robot=told.robot, namespace=self.get_namespace())
        topic = self.resolve_topic_name(told.topic or "spacenav/joy")
        hand = replace(HAND["joy"], device=topic, frame=told.frame, view_deg=told.view_deg)
        self.config = TeleopConfig(hand=hand, env=env)


def drive() -> int:
    """Drive until SIGINT or SIGTERM."""
    with ros():
        try:
            node = TeleopNode()
        except ValueError as error:
            raise UserError(f"teleop_node: {error}") from error
        config = node.config
        node.destroy_node()
    return teleop(config)


def main() -> None:
    """`ros2 run handrail_nodes teleop_node`."""
    sys.exit(run_main(drive))


if __name__ == "__main__":
    main()
