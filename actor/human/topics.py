"""A hand on a ROS topic: sensor_msgs/Joy or geometry_msgs/Twist with spacenav's axes, or a leader's PoseStamped.

Any node that publishes them will do: our own spacemouse_node, spacenav, joy, a VR controller's, another arm's. The
newest message is taken when the loop asks for it; one that is older than 100 ms counts as a dead device (see
actor.human.live), so the node behind the topic has to repeat itself at 20 Hz or more. One that cannot be used, a NaN in
it say, gives control back at once, and the sound one before it does not count any more.
"""

import itertools
import math
import os
from typing import Any

import rclpy
from geometry_msgs.msg import PoseStamped, Twist
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Joy

from actor.human.instrument import AXES, Controls, Pose
from envs.ros import messages, settle_middleware
from envs.ros.inputs import Input

TOPICS = {"joy": "/spacenav/joy", "twist": "/spacenav/twist", "leader": "/leader/pose"}
"""Where the instruments of these kinds are listened to, unless they are told another topic."""
LEADER_JOY = "/leader/joy"
_DEPTH = 10
_UNIT = 0.05
"""How far the length of a quaternion may be from one."""
_COUNT = itertools.count()


class _Ear:
    """A node of its own that only listens."""

    connection = 0

    def __init__(self) -> None:
        self._context = Context()
        settle_middleware()
        rclpy.init(context=self._context)
        name = f"handrail_hand_{os.getpid()}_{next(_COUNT)}"
        self._node = Node(name, context=self._context, use_global_arguments=False, enable_rosout=False)
        self._closed = False

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._node.destroy_node()
            self._context.try_shutdown()

    def _listen(self, message: type, topic: str, check: Any) -> Input[Any]:
        return Input(self._node, message, topic, check=check, qos=QoSProfile(depth=_DEPTH))


class _Presses:
    """The buttons of a Joy, none of whose presses is missed however short it is."""

    def __init__(self) -> None:
        self.down: frozenset[int] = frozenset()
        self._presses: list[int] = []

    def take(self, heard: Input[Any]) -> None:
        """Take what has come, one message at a time; a Twist has no buttons."""
        while heard.take_one():
            message: Any = heard.message
            buttons = message.buttons if isinstance(message, Joy) else ()
            down = frozenset(number for number, on in enumerate(buttons) if on)
            self._presses += sorted(down - self.down)
            self.down = down

    def pressed(self) -> list[int]:
        """Those since the last call."""
        presses, self._presses = self._presses, []
        return presses


class Topic(_Ear):
    """An instrument whose messages come over ROS 2."""

    def __init__(self, kind: str, topic: str | None = None) -> None:
        """Listen.

        Args:
            kind: joy or twist.
            topic: Its name; None: spacenav's.
        """
        super().__init__()
        message, check = (Joy, _joy_problem) if kind == "joy" else (Twist, _twist_problem)
        self._input = self._listen(message, topic or TOPICS[kind], check)
        self.name = f"{kind} topic {self._input.topic}"
        self.trouble = _trouble(self._input)
        """Why nothing comes from it, as the end of a sentence that begins with its name."""
        self._presses = _Presses()

    def latest(self) -> Controls | None:
        """How it stands; None before the first message, after one that is no use, and where two devices claim it."""
        self._take()
        message = _usable(self._input)
        if message is None:
            return None
        axes = tuple(message.axes[: len(AXES)]) if isinstance(message, Joy) else _axes_of(message)
        return Controls(self._input.heard_ns / 1e9, tuple(map(_bounded, axes)), self._presses.down)

    def pressed(self) -> list[int]:
        """The buttons pressed since the last call, in order."""
        self._take()
        return self._presses.pressed()

    def _take(self) -> None:
        self._presses.take(self._input)
        self.trouble = _trouble(self._input)


class Leader(_Ear):
    """Another arm, or a VR controller: its pose on one topic, its buttons on another."""

    def __init__(self, topic: str | None = None, joy: str | None = None, *, needs_joy: bool = True) -> None:
        """Listen.

        Args:
            topic: Of its poses, geometry_msgs/PoseStamped; None: /leader/pose.
            joy: Of its buttons, sensor_msgs/Joy; None: /leader/joy.
            needs_joy: Whether it leads by a button, so that it must not while its buttons are not heard.
        """
        super().__init__()
        self._poses = self._listen(PoseStamped, topic or TOPICS["leader"], _pose_problem)
        self._buttons = self._listen(Joy, joy or LEADER_JOY, lambda message: None)
        self._heard = (self._poses, self._buttons) if needs_joy else (self._poses,)
        self.name = f"leader {self._poses.topic}"
        self._presses = _Presses()
        self.trouble = self._troubles()
        """Why nothing comes from it, as the end of a sentence that begins with its name."""

    def latest(self) -> Controls | None:
        """Where it is, as old as the older of pose and buttons; None where one of them is no use."""
        self._take()
        if any(_usable(heard) is None for heard in self._heard):
            return None
        heard_s = min(heard.heard_ns for heard in self._heard) / 1e9
        message: Any = self._poses.message
        pose = Pose(messages.position(message), messages.rotation(message).as_matrix())
        return Controls(heard_s, down=self._presses.down, pose=pose)

    def pressed(self) -> list[int]:
        """The buttons pressed since the last call, in order."""
        self._take()
        return self._presses.pressed()

    def _take(self) -> None:
        self._poses.take()
        self._presses.take(self._buttons)
        self.trouble = self._troubles()

    def _troubles(self) -> str:
        buttons = _trouble(self._buttons, "human.joy") if self._buttons in self._heard else ""
        return _trouble(self._poses) or (f"has no buttons: {self._buttons.topic} {buttons}" if buttons else "")


def _trouble(heard: Input[Any], key: str = "human.device") -> str:
    if heard.rivals() > 1:
        return "has more than one publisher, so nobody knows whose hand counts; end one of them"
    if heard.problem:
        return f"says what cannot be used: {heard.problem}"
    if not heard.heard_ns:
        return f"is silent: nobody publishes it; start the device's node, or name another topic with {key}="
    return ""


def _usable(heard: Input[Any]) -> Any:
    """The newest message; None where there is none, it is no use, or two devices claim the topic."""
    return None if heard.problem or heard.rivals() > 1 else heard.message


def _joy_problem(message: Joy) -> str | None:
    if len(message.axes) < len(AXES):
        return (
            f"a Joy of {len(message.axes)} axes, wanted at least {len(AXES)}: {', '.join(AXES)}; a gamepad is better "
            "read with human=gamepad"
        )
    return None if all(map(math.isfinite, message.axes)) else "an axis is a NaN or an infinity"


def _twist_problem(message: Twist) -> str | None:
    return None if all(map(math.isfinite, _axes_of(message))) else "a velocity is a NaN or an infinity"


def _pose_problem(message: PoseStamped) -> str | None:
    at, q = message.pose.position, message.pose.orientation
    if not all(map(math.isfinite, (at.x, at.y, at.z, q.x, q.y, q.z, q.w))):
        return "the pose holds a NaN or an infinity"
    length = math.sqrt(q.x**2 + q.y**2 + q.z**2 + q.w**2)
    return None if abs(length - 1.0) <= _UNIT else f"the orientation is no unit quaternion: its length is {length:.2f}"


def _axes_of(message: Twist) -> tuple[float, ...]:
    return (
        message.linear.x, message.linear.y, message.linear.z,
        message.angular.x, message.angular.y, message.angular.z,
    )  # fmt: skip


def _bounded(axis: float) -> float:
    return max(-1.0, min(1.0, axis))
