"""A hand on a ROS topic: sensor_msgs/Joy or geometry_msgs/Twist, with spacenav's axes.

Any node that publishes them will do: our own spacemouse_node, spacenav, joy, a VR controller's. The newest message is
taken when the loop asks for it; one that is older than 100 ms counts as a dead device (see actor.human.live), so the
node behind the topic has to repeat itself at 20 Hz or more.
"""

import itertools
import math
import os
from typing import Any

import rclpy
from geometry_msgs.msg import Twist
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Joy

from actor.human.instrument import AXES, Controls
from envs.ros import settle_middleware
from envs.ros.inputs import Input

TOPICS = {"joy": "/spacenav/joy", "twist": "/spacenav/twist"}
"""Where the instruments of these kinds are listened to, unless they are told another topic."""
_DEPTH = 10
_COUNT = itertools.count()


class Topic:
    """An instrument whose messages come over ROS 2."""

    def __init__(self, kind: str, topic: str | None = None) -> None:
        """Listen.

        Args:
            kind: joy or twist.
            topic: Its name; None: spacenav's.
        """
        self._context = Context()
        settle_middleware()
        rclpy.init(context=self._context)
        name = f"handrail_hand_{os.getpid()}_{next(_COUNT)}"
        self._node = Node(name, context=self._context, use_global_arguments=False, enable_rosout=False)
        message, check = (Joy, _joy_problem) if kind == "joy" else (Twist, _twist_problem)
        self._input: Input[Any] = Input(
            self._node, message, topic or TOPICS[kind], check=check, qos=QoSProfile(depth=_DEPTH)
        )
        self.name = f"{kind} topic {self._input.topic}"
        self.connection = 0
        self.trouble = self._trouble()
        """Why nothing comes from it, as the end of a sentence that begins with its name."""
        self._down: frozenset[int] = frozenset()
        self._presses: list[int] = []
        self._closed = False

    def _trouble(self) -> str:
        if self._input.rivals() > 1:
            return "has more than one publisher, so nobody knows whose hand counts; end one of them"
        if self._input.problem:
            return f"says what cannot be used: {self._input.problem}"
        if not self._input.heard_ns:
            return "is silent: nobody publishes it; start the device's node, or name another topic with human.device="
        return ""

    def latest(self) -> Controls | None:
        """How it stands; None before the first message, and where two devices claim it."""
        self._take()
        message = self._input.message
        if message is None or self._input.rivals() > 1:
            return None
        axes = tuple(message.axes[: len(AXES)]) if isinstance(message, Joy) else _axes_of(message)
        return Controls(heard_s=self._input.heard_ns / 1e9, axes=tuple(map(_bounded, axes)), down=self._down)

    def pressed(self) -> list[int]:
        """The buttons pressed since the last call, in order."""
        self._take()
        presses, self._presses = self._presses, []
        return presses

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._node.destroy_node()
            self._context.try_shutdown()

    def _take(self) -> None:
        # One at a time, so that no press is missed however short it is.
        while self._input.take_one():
            message = self._input.message
            down = (
                frozenset(n for n, on in enumerate(message.buttons) if on) if isinstance(message, Joy) else frozenset()
            )
            self._presses += sorted(down - self._down)
            self._down = down
        self.trouble = self._trouble()


def _joy_problem(message: Joy) -> str | None:
    if len(message.axes) < len(AXES):
        return (
            f"a Joy of {len(message.axes)} axes, wanted at least {len(AXES)}: {', '.join(AXES)}; a gamepad is better "
            "read with human=gamepad"
        )
    return None if all(map(math.isfinite, message.axes)) else "an axis is a NaN or an infinity"


def _twist_problem(message: Twist) -> str | None:
    return None if all(map(math.isfinite, _axes_of(message))) else "a velocity is a NaN or an infinity"


def _axes_of(message: Twist) -> tuple[float, ...]:
    return (
        message.linear.x, message.linear.y, message.linear.z,
        message.angular.x, message.angular.y, message.angular.z,
    )  # fmt: skip


def _bounded(axis: float) -> float:
    return max(-1.0, min(1.0, axis))
