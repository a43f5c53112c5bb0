"""The newest message of each topic, taken when it is asked for.

Nothing here runs in an executor: a subscription of depth one keeps the newest message until the loop takes it, so that
a controller that publishes a thousand poses a second costs no more than one that publishes ten, and no callback of
Python stands between the control loop and its deadline. An empty take is a microsecond.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from statistics import pstdev
from typing import Any, Generic, TypeVar

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

Message = TypeVar("Message")
SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Who comes late hears the last one too."""
_RIVALS_NS = 500_000_000
_KEPT = 200


class Untended(CallbackGroup):
    """A group whose turn never comes: no executor waits for its subscriptions, which are taken from by hand."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing has begun."""


class Input(Generic[Message]):
    """One topic: its newest sound message, and what is wrong where there is none.

    A message counts as heard when its stamp is a new one: a driver that sends the same picture again and again is as
    stale as one that is silent. Ages are by the monotonic clock; stamps are never compared with ours.
    """

    def __init__(
        self,
        node: Node,
        kind: type[Message],
        topic: str,
        *,
        check: Callable[[Message], str | None] = lambda message: None,
        qos: QoSProfile = SENSOR,
    ) -> None:
        """Subscribe.

        Args:
            node: Whose subscription it is.
            kind: Type of the messages.
            topic: Its name, which the node resolves.
            check: What is wrong with a message; None: nothing. What is wrong is not used.
            qos: Depth one; best effort hears reliable publishers too.
        """
        self._subscription: Any = node.create_subscription(kind, topic, _nothing, qos, callback_group=Untended())
        self._check = check
        self.kind, self.qos, self.topic = kind, qos, self._subscription.topic_name
        self.message: Message | None = None
        self.heard_ns = 0
        """Monotonic time at which the message arrived; 0: none has."""
        self.stamp_ns = 0
        """Of its header, by the publisher's clock; 0 where it has none."""
        self.latency_s = math.nan
        """From its header's stamp to its arrival, where both are by one clock; for records, never for decisions."""
        self.problem = ""
        """What is wrong with the newest message; empty: nothing."""
        self.rejected = 0
        self.missed = 0
        """Messages that were published between two that we took: lost, or replaced by a newer one before we looked."""
        self._taken_ns = time.monotonic_ns()
        self._publishers: dict[bytes, int] = {}
        self._seen: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def take(self) -> bool:
        """Take what has come since the last time; whether there was a sound new message."""
        new = False
        with self._subscription.handle:
            while (taken := self._subscription.handle.take_message(self.kind, False)) is not None:
                new |= self._accept(*taken)
        self._taken_ns = time.monotonic_ns()
        return new

    def take_one(self) -> bool:
        """Take the oldest message that has come, of a deeper history; whether there was a sound new one."""
        with self._subscription.handle:
            taken = self._subscription.handle.take_message(self.kind, False)
        if taken is None:
            self._taken_ns = time.monotonic_ns()
            return False
        return self._accept(*taken) or self.take_one()

    def age_s(self) -> float:
        """Seconds since the newest sound message arrived; infinite before the first."""
        return (time.monotonic_ns() - self.heard_ns) / 1e9 if self.heard_ns else math.inf

    def forget(self) -> None:
        """Wait for a message anew: what came before is of another episode."""
        self.take()
        self.message, self.heard_ns, self.problem = None, 0, ""
        self._publishers.clear()

    def rivals(self) -> int:
        """How many publishers have been heard in the last half second."""
        now_ns = time.monotonic_ns()
        return sum(now_ns - heard_ns < _RIVALS_NS for heard_ns in self._publishers.values())

    def traffic(self) -> tuple[float, float]:
        """Messages per second that were published, and the standard deviation of the time between those seen, ms."""
        if len(self._seen) < 2 or self._seen[-1][1] <= self._seen[0][1]:
            return 0.0, 0.0
        (first, first_ns), (last, last_ns) = self._seen[0], self._seen[-1]
        gaps_ms = [(b_ns - a_ns) / 1e6 / (b - a) for (a, a_ns), (b, b_ns) in pairwise(self._seen) if b > a]
        return max(0, last - first) / ((last_ns - first_ns) / 1e9), pstdev(gaps_ms) if gaps_ms else 0.0

    def _accept(self, message: Any, info: dict[str, Any]) -> bool:
        now_ns = time.monotonic_ns()
        # By the wall clock the age is exact, unless somebody sets that clock; it came after the last take in any case.
        age_ns = min(max(0, time.time_ns() - info["received_timestamp"]), now_ns - self._taken_ns)
        heard_ns = now_ns - age_ns
        self._publishers[bytes(info["publisher_gid"]["data"])] = heard_ns
        if len(self._publishers) > 8:
            self._publishers = {gid: at for gid, at in self._publishers.items() if now_ns - at < _RIVALS_NS}
        number = info["publication_sequence_number"] or 0
        self.missed += max(0, number - self._seen[-1][0] - 1) if self._seen else 0
        self._seen.append((number, info["source_timestamp"]))
        problem = self._check(message)
        if problem is not None:
            self.problem, self.rejected = f"{self.topic}: {problem}", self.rejected + 1
            return False
        header = getattr(message, "header", None)
        stamp_ns = 0 if header is None else header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        if stamp_ns and stamp_ns == self.stamp_ns and self.heard_ns:
            return False
        self.message, self.heard_ns, self.stamp_ns, self.problem = message, heard_ns, stamp_ns, ""
        self.latency_s = (info["received_timestamp"] - stamp_ns) / 1e9 if stamp_ns else math.nan
        return True


def _nothing(message: Any) -> None:
    """The callback of a subscription that is taken from by hand."""
