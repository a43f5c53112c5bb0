"""`/diagnostics`: rate, jitter and staleness of every input, once a second, as ROS's own tools show them."""

import time
from collections.abc import Iterable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from envs.ros.inputs import Input

_PERIOD_S = 1.0


def status(name: str, level: bytes, message: str, **values: Any) -> DiagnosticStatus:
    """A DiagnosticStatus."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id="", values=pairs)


def values_of(message: DiagnosticStatus) -> dict[str, str]:
    """The values of a status, by name."""
    return {pair.key: pair.value for pair in message.values}


class Diagnostics:
    """Publishes what a node hears, and what its owner adds."""

    def __init__(self, node: Node, inputs: dict[str, tuple[Input[Any], float]]) -> None:
        """`inputs` gives, by name, each input and the age in seconds from which on it is stale."""
        self._node, self._inputs = node, inputs
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._next_s = 0.0

    def publish(self, more: Iterable[DiagnosticStatus] = ()) -> None:
        """Publish, where a second has passed since the last time."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _PERIOD_S
        message = DiagnosticArray(status=[*(self._heard(name) for name in self._inputs), *more])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _heard(self, name: str) -> DiagnosticStatus:
        topic, oldest_s = self._inputs[name]
        age_s = topic.age_s()
        rate_hz, jitter_ms = topic.traffic()
        level, text = DiagnosticStatus.OK, "fresh"
        if not age_s <= oldest_s:
            level, text = DiagnosticStatus.STALE, topic.problem or f"silent for {age_s:.2f} s"
        elif topic.problem:
            level, text = DiagnosticStatus.WARN, topic.problem
        return status(
            f"{self._node.get_name()}: {name}",
            level,
            text,
            topic=topic.topic,
            rate_hz=f"{rate_hz:.1f}",
            jitter_ms=f"{jitter_ms:.2f}",
            age_s=f"{age_s:.3f}",
            latency_s=f"{topic.latency_s:.4f}",
            rejected=topic.rejected,
        )
