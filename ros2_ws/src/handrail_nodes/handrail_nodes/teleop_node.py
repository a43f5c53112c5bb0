"""Drive the robot by hand, through the guard: what turns `spacenav/joy` into requests.

The loop is that of `handrail teleop env=ros human=joy`, which shows more in a terminal of its own.
"""

import sys
from dataclasses import dataclass

from rclpy.node import Node

from actor.config import TeleopConfig
from actor.teleop import teleop
from envs.config import EnvConfig
from envs.ros.ticking import ros
from handrail_nodes import hand_parameters, parameters
from wire.errors import UserError, run_main


@dataclass(frozen=True)
class Parameters:
    """What the node is told, besides `human.<key>`."""

    robot: str = "sim"
    topic: str = ""
    """Of a sensor_msgs/Joy; empty: spacenav's."""
    frame: str = "base"
    """base or tool, see docs/human.md."""


OWN = parameters.wanted(Parameters)
# Which topic, and what forward means, are parameters of their own.
HAND = {name: each for name, each in hand_parameters.ALL.items() if name not in ("human.device", "human.frame")}


class TeleopNode(Node):
    """Parameters alone."""

    def __init__(self) -> None:
        super().__init__("teleop", **parameters.GIVEN)
        parameters.declare(self, {**OWN, **HAND})
        values = parameters.values(self, {**OWN, **HAND})
        told = Parameters(**{name: values[name] for name in OWN})
        env = EnvConfig(env="ros", obs="proprio", robot=told.robot, namespace=self.get_namespace())
        topic = self.resolve_topic_name(told.topic or "spacenav/joy")
        self.config = TeleopConfig(hand=hand_parameters.hand("joy", values, device=topic, frame=told.frame), env=env)


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
