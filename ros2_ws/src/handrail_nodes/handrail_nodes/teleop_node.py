"""Drive the robot by hand, through the guard: what turns `spacenav/joy` into requests.

The loop is that of `handrail teleop env=ros human=joy`, which shows more in a terminal of its own. Parameters: robot,
topic (of a sensor_msgs/Joy; empty: spacenav's), frame (base or tool), view_deg (see docs/human.md).
"""

import sys
from dataclasses import replace

from rclpy.node import Node

from actor.config import HAND, TeleopConfig
from actor.teleop import teleop
from envs.config import EnvConfig
from envs.ros.ticking import ros
from wire.errors import UserError, run_main


class TeleopNode(Node):
    """Parameters alone."""

    def __init__(self) -> None:
        super().__init__("teleop")
        robot = self.declare_parameter("robot", "sim").value
        topic = self.declare_parameter("topic", "").value
        frame = self.declare_parameter("frame", "base").value
        view_deg = self.declare_parameter("view_deg", HAND["joy"].view_deg).value
        env = EnvConfig(env="ros", obs="proprio", robot=robot, namespace=self.get_namespace())
        hand = replace(
            HAND["joy"], device=self.resolve_topic_name(topic or "spacenav/joy"), frame=frame, view_deg=view_deg
        )
        self.config = TeleopConfig(hand=hand, env=env)


def drive() -> int:
    """Drive until SIGINT or SIGTERM."""
    with ros():
        try:
            node = TeleopNode()
        except (ValueError, TypeError) as error:
            raise UserError(f"teleop_node: {error}") from error
        config = node.config
        node.destroy_node()
    return teleop(config)


def main() -> None:
    """`ros2 run handrail_nodes teleop_node`."""
    sys.exit(run_main(drive))


if __name__ == "__main__":
    main()
