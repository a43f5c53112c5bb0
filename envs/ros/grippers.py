"""Who takes the gripper's commands: a position controller's topic, or an action of ros2_control or Franka."""

import logging
import time
from typing import Any, Protocol

from action_msgs.msg import GoalStatus
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
_AGAIN_S = 1.0
"""Until a goal that came to nothing is sent again."""


class Gripper(Protocol):
    """Takes commands and does not block."""

    def command(self, opening: float) -> None:
        """Open (1.0), shut (-1.0), or what lies between."""
        ...

    def forget(self) -> None:
        """The hand may have been moved by somebody else: whatever is commanded next is sent."""
        ...


class TopicGripper:
    """std_msgs/Float64MultiArray, one number, as position controllers of ros2_control take it."""

    def __init__(self, node: Node, config: GripperConfig) -> None:
        self._config = config
        self._publisher = node.create_publisher(Float64MultiArray, config.command, QoSProfile(depth=1))

    def command(self, opening: float) -> None:
        """Publish."""
        self._publisher.publish(messages.numbers([commanded(self._config, opening)]))

    def forget(self) -> None:
        """Everything is sent anyway."""


class ActionGripper:
    """control_msgs/GripperCommand, as Robotiq's and Franka's drivers offer it."""

    def __init__(self, node: Node, config: GripperConfig) -> None:
        self._config = config
        self._kind = vendor("control_msgs.action", "GripperCommand")
        self._client = ActionClient(node, self._kind, config.command)
        self._name = config.command
        self._asked: float | None = None
        self._due_s = 0.0

    def forget(self) -> None:
        """The next goal is sent, whatever it is."""
        self._asked = None

    def command(self, opening: float) -> None:
        """Send a goal, where it differs from the last; one that came to nothing is sent again."""
        if self._asked is not None and abs(opening - self._asked) < 2.0 * _CHANGE:
            return
        if time.monotonic() < self._due_s:
            return
        if not self._client.server_is_ready():
            log.warning("no server of the action %s answers; start the gripper's driver", self._name)
            return
        goal: Any = self._kind.Goal()
        goal.command.position = commanded(self._config, opening)
        goal.command.max_effort = self._config.max_effort
        self._asked = opening
        self._client.send_goal_async(goal).add_done_callback(lambda sent: self._answered(opening, sent))

    def _answered(self, opening: float, sent: Any) -> None:
        """The server took the goal, or did not; in the latter case the next command asks again."""
        handle = sent.result()
        if handle is None or not handle.accepted:
            self._undone(opening, "was refused")
            return
        handle.get_result_async().add_done_callback(lambda done: self._ended(opening, done))

    def _ended(self, opening: float, done: Any) -> None:
        # A grasp ends early, at the thing in the hand; drivers call that a success, or say that they have stalled.
        result = done.result()
        if result is None or not (result.status == GoalStatus.STATUS_SUCCEEDED or result.result.stalled):
            self._undone(opening, "was given up by its driver")

    def _undone(self, opening: float, how: str) -> None:
        if self._asked == opening:
            self._asked, self._due_s = None, time.monotonic() + _AGAIN_S
            log.warning("the goal of the action %s %s; it is sent again", self._name, how)


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
