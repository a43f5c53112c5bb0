"""Between messages and arrays; what is wrong with a message, in words."""

import array
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, WrenchStamped
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray


def position(message: PoseStamped) -> np.ndarray:
    """Shape (3,), metres."""
    at = message.pose.position
    return np.array([at.x, at.y, at.z])


def rotation(message: PoseStamped) -> Rotation:
    """The orientation."""
    q = message.pose.orientation
    return Rotation.from_quat([q.x, q.y, q.z, q.w])


def pose(position_m: Sequence[float] | np.ndarray, turned: Rotation, frame: str, stamp: Any) -> PoseStamped:
    """A PoseStamped of a position, shape (3,), metres, and an orientation in `frame`; `stamp` is a builtin Time."""
    message = PoseStamped()
    message.header.frame_id, message.header.stamp = frame, stamp
    at, q = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = (float(x) for x in position_m)
    q.x, q.y, q.z, q.w = (float(x) for x in turned.as_quat())
    return message


def numbers(values: Sequence[float] | np.ndarray) -> Float64MultiArray:
    """A Float64MultiArray of them."""
    return Float64MultiArray(data=array.array("d", [float(value) for value in values]))


def force_n(message: WrenchStamped) -> float:
    """Size of the force, newtons."""
    force = message.wrench.force
    return math.sqrt(force.x**2 + force.y**2 + force.z**2)


def pose_problem(frame: str) -> Callable[[PoseStamped], str | None]:
    """What may be wrong with a pose that shall be in `frame`."""

    def check(message: PoseStamped) -> str | None:
        at, q = message.pose.position, message.pose.orientation
        values = (at.x, at.y, at.z, q.x, q.y, q.z, q.w)
        if message.header.frame_id.lstrip("/") != frame:
            return (
                f"the pose is in frame '{message.header.frame_id}', wanted '{frame}'; set base_frame in the robot's "
                "file, or let the driver report in that frame"
            )
        if not all(map(math.isfinite, values)):
            return f"the pose holds a NaN or an infinity: {_rounded(values)}; the robot's driver is to blame"
        length = math.hypot(*values[3:])
        if abs(length - 1.0) > 1e-3:
            return f"the orientation is no unit quaternion but of length {length:.3g}: {_rounded(values[3:])}"
        return None

    return check


class JointReader:
    """Finds our joints in a message that may hold others too."""

    def __init__(self, joints: Sequence[str]) -> None:
        self._joints = tuple(joints)
        self._names: tuple[str, ...] = ()
        self._index: list[int] = []

    def problem(self, message: JointState) -> str | None:
        """What is wrong with the message for these joints."""
        names = tuple(message.name)
        missing = [joint for joint in self._joints if joint not in names]
        if missing:
            return (
                f"joints {', '.join(missing)} are missing, it names {', '.join(names) or 'none'}; set joints, or the "
                "topic, in the robot's file"
            )
        if len(message.position) != len(names):
            return f"it has {len(names)} names and {len(message.position)} positions"
        if not all(map(math.isfinite, self.positions(message))):
            return f"a position is a NaN or an infinity: {_rounded(message.position)}; the robot's driver is to blame"
        return None

    def positions(self, message: JointState) -> np.ndarray:
        """Positions in our order, shape (joints,)."""
        names = tuple(message.name)
        if names != self._names:
            self._names, self._index = names, [names.index(joint) for joint in self._joints]
        return np.array([message.position[i] for i in self._index])


def wrench_problem(message: WrenchStamped) -> str | None:
    """What may be wrong with a wrench."""
    return None if math.isfinite(force_n(message)) else "the force holds a NaN or an infinity; check the sensor"


def _rounded(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
