"""Who takes the gripper's commands: a position controller's topic, or an action of ros2_control or Franka."""

import logging
from typing import Any, Protocol

from rclpy.action.client import ActionClient
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64MultiArray

from envs.ros import messages
from envs.ros.config import GripperConfig
from envs.ros.vendors import vendor

log = logging.getLogger(__name__)

_CHANGE = 0.02
"""Of the whole range: an action is asked for again only where it asks for something else."""


class Gripper(Protocol):
    """Takes commands and does not block."""

    def command(self, opening: float) -> None:
        """Open (1.0), shut (-1.0), or what lies between."""
        ...


class TopicGripper:
    """std_msgs/Float64MultiArray, one number, as position controllers of ros2_control take it."""

    def __init__(self, node: Node, config: GripperConfig) -> None:
        self._config = config
        self._publisher = node.create_publisher(Float64MultiArray, config.command, QoSProfile(depth=1))

    def command(self, opening: float) -> None:
        """Publish."""
        self._publisher.publish(messages.numbers([commanded(self._config, opening)]))


class ActionGripper:
    """control_msgs/GripperCommand, as Robotiq's and Franka's drivers offer it."""

    def __init__(self, node: Node, config: GripperConfig) -> None:
        self._config = config
        self._kind = vendor("control_msgs.action", "GripperCommand")
        self._client = ActionClient(node, self._kind, config.command)
        self._name = config.command
        self._asked: float | None = None

    def command(self, opening: float) -> None:
        """Send a goal, where it differs from the last; a server that is not there is tried again next time."""
        if self._asked is not None and abs(opening - self._asked) < 2.0 * _CHANGE:
            return
        if not self._client.server_is_ready():
            log.warning("no server of the action %s answers; start the gripper's driver", self._name)
            return
        goal: Any = self._kind.Goal()
        goal.command.position = commanded(self._config, opening)
        goal.command.max_effort = self._config.max_effort
        self._client.send_goal_async(goal)
        self._asked = opening


def open_gripper(node: Node, config: GripperConfig) -> Gripper:
    """The gripper that a robot's file describes; raises VendorMissingError where its messages are not installed."""
    return ActionGripper(node, config) if config.via == "action" else TopicGripper(node, config)


def commanded(config: GripperConfig, opening: float) -> float:
    """What is commanded for an opening in [-1, 1]."""
    share = (opening + 1.0) / 2.0
    return config.command_closed + share * (config.command_open - config.command_closed)


def width_m(config: GripperConfig, joint: float) -> float:
    """Distance between the pads, metres, at a position of its joint."""
    share = (joint - config.joint_closed) / (config.joint_open - config.joint_closed)
    return config.stroke_m * share
