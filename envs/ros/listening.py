"""Which of a cell's topics are recorded, and how they are listened to without ever being in anybody's way."""

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, String

from envs.ros.bags import Offer, Recorded
from envs.ros.config import RobotConfig
from envs.ros.inputs import Untended

# Best effort, so that no publisher ever waits for a recorder; deep, since it may be a second late. What is rare and
# must not be missed comes reliably.
_SENSOR = QoSProfile(depth=500, reliability=ReliabilityPolicy.BEST_EFFORT)
_PICTURES = QoSProfile(depth=30, reliability=ReliabilityPolicy.BEST_EFFORT)
_EVENTS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
_STATES = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_PUBLISHERS = 8


def topics(robot: RobotConfig, *, guard: str, images: bool) -> dict[str, tuple[type, QoSProfile]]:
    """What is recorded: topic, relative to the cell's namespace -> type, and how it is listened to.

    An action's goals are no topic; what was asked of such a gripper is in the guard's requested_gripper.
    """
    found: dict[str, tuple[type, QoSProfile]] = {
        f"{guard}/state": (DiagnosticStatus, _STATES),
        f"{guard}/halt": (String, _EVENTS),
        f"{guard}/requested_pose": (PoseStamped, _SENSOR),
        f"{guard}/requested_gripper": (Float64MultiArray, _EVENTS),
        robot.target_pose: (PoseStamped, _SENSOR),
        robot.current_pose: (PoseStamped, _SENSOR),
        robot.joint_states: (JointState, _SENSOR),
        robot.gripper.joint_states: (JointState, _SENSOR),
        "/diagnostics": (DiagnosticArray, _EVENTS),
    }
    if robot.wrench:
        found[robot.wrench] = WrenchStamped, _SENSOR
    if robot.gripper.via == "topic":
        found[robot.gripper.command] = Float64MultiArray, _EVENTS
    found |= dict.fromkeys(robot.objects.values(), (PoseStamped, _SENSOR))
    if images:
        for camera in robot.cameras.values():
            found[camera.image] = Image, _PICTURES
            found[f"{camera.image.rpartition('/')[0]}/camera_info".lstrip("/")] = CameraInfo, _SENSOR
    return found


class Source:
    """One topic, taken from by hand: a callback for each message would cost more than writing it."""

    def __init__(self, node: Node, topic: str, kind: type, qos: QoSProfile) -> None:
        self._node = node
        self._subscription: Any = node.create_subscription(
            kind, topic, _nothing, qos, callback_group=Untended(), raw=True
        )
        self._kind = kind
        self.topic: str = self._subscription.topic_name
        self.lost = 0
        """Messages that were published but never came, by their publishers' own count."""
        self._last: dict[bytes, int] = {}

    @property
    def silent(self) -> bool:
        """Whether nothing was ever heard of it."""
        return not self._last

    def take(self) -> list[Recorded]:
        """All that has come since the last time."""
        taken = []
        with self._subscription.handle:
            while (one := self._subscription.handle.take_message(self._kind, True)) is not None:
                data, info = one
                sequence = info["publication_sequence_number"] or 0
                self._count(bytes(info["publisher_gid"]["data"]), sequence)
                stamps = info["received_timestamp"], info["source_timestamp"]
                taken.append(Recorded(stamps[0], self.topic, sequence & 0xFFFFFFFF, stamps[1], data))
        return taken

    def offer(self) -> Offer:
        """What its publishers say of it."""
        infos = self._node.get_publishers_info_by_topic(self.topic)
        package, middle, _ = self._kind.__module__.split(".", 2)
        return Offer(f"{package}/{middle}/{self._kind.__name__}", tuple(_written(info.qos_profile) for info in infos))

    def _count(self, publisher: bytes, sequence: int) -> None:
        last = self._last.pop(publisher, None)
        if last is not None and sequence > last + 1:
            self.lost += sequence - last - 1
        self._last[publisher] = sequence
        if len(self._last) > _PUBLISHERS:
            self._last.pop(next(iter(self._last)))


def listen(node: Node, robot: RobotConfig, *, guard: str, images: bool) -> dict[str, Source]:
    """Subscribe to them all: full name -> topic. Two names may be one: the fingers often report with the arm."""
    sources = {}
    for topic, (kind, qos) in topics(robot, guard=guard, images=images).items():
        full = node.resolve_topic_name(topic)
        if full not in sources:
            sources[full] = Source(node, topic, kind, qos)
    return sources


def _written(qos: QoSProfile) -> dict[str, Any]:
    spans = {
        name: dict(zip(("sec", "nsec"), divmod(getattr(qos, name).nanoseconds, 1_000_000_000), strict=True))
        for name in ("deadline", "lifespan", "liveliness_lease_duration")
    }
    names = {name: getattr(qos, name).name.lower() for name in ("history", "reliability", "durability", "liveliness")}
    plain = {name: getattr(qos, name) for name in ("depth", "avoid_ros_namespace_conventions")}
    return {**names, **spans, **plain}


def _nothing(message: Any) -> None:
    """The callback of a subscription that is taken from by hand."""
