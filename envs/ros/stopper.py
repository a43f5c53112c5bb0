"""How a watchdog's process stops a robot behind a guard: one topic out, the guard's state in."""

import os
import time
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import String

from envs.ros import settle_middleware
from envs.ros.inputs import LATCHED, Input

_ANSWER_S = 0.1
_POLL_S = 0.002
SILENT_S = 0.4
"""A guard whose state was not heard for so long cannot be reached; it tells it every 50 ms."""


class RosStopper:
    """Halts the robot of the guard at a node's name, whatever its commander does."""

    def __init__(self, guard: str) -> None:
        """Connect.

        Args:
            guard: Fully qualified name of the guard's node, e.g. /guard.
        """
        self._context = Context()
        settle_middleware()
        rclpy.init(context=self._context)
        name = f"handrail_watchdog_{os.getpid()}"
        self._node = Node(name, context=self._context, use_global_arguments=False, enable_rosout=False)
        self._state: Input[Any] = Input(self._node, DiagnosticStatus, f"{guard}/state", qos=LATCHED)
        self._halts = self._node.create_publisher(String, f"{guard}/halt", QoSProfile(depth=10))
        self._guard = guard

    def hold(self, reason: str) -> None:
        """Halt the robot; raises OSError where no guard listens, or none says that it did."""
        if self._halts.get_subscription_count() == 0:
            raise ConnectionRefusedError(f"no guard listens at {self._guard}/halt")
        asked_s = time.monotonic()
        self._halts.publish(String(data=reason))
        while not self._halted():
            if time.monotonic() - asked_s > _ANSWER_S:
                raise TimeoutError(f"the guard at {self._guard} does not say that it halted")
            time.sleep(_POLL_S)

    def reachable(self) -> bool:
        """Whether `hold` would reach the guard now."""
        self._state.take()
        return self._state.age_s() < SILENT_S and self._halts.get_subscription_count() > 0

    def _halted(self) -> bool:
        self._state.take()
        message = self._state.message
        return message is not None and message.level == DiagnosticStatus.ERROR

    def close(self) -> None:
        """Hang up."""
        self._node.destroy_node()
        self._context.try_shutdown()
