"""Everything a cell hears of its robot, and the moment of it that an observation shows."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, JointState

from envs.guard import JOINTS, Vitals
from envs.ros import graph, messages
from envs.ros.config import RobotConfig
from envs.ros.grippers import width_m
from envs.ros.inputs import RELIABLE, SENSOR, Input
from envs.ros.pictures import ImageReader
from envs.workcell import NotReadyError

_POLL_S = 0.005


class SensesMissingError(NotReadyError):
    """A robot's topic is missing, of another type, or silent; the text names each and says what to do."""


@dataclass(frozen=True)
class Moment:
    """What the senses said when they were last looked at."""

    joints: np.ndarray
    position_m: np.ndarray
    rotation: Rotation
    width_m: float
    images: dict[str, np.ndarray] = field(default_factory=dict)
    heard_ns: dict[str, int] = field(default_factory=dict)
    """Sense -> monotonic time at which what is shown arrived."""


class Senses:
    """The inputs of one cell."""

    def __init__(self, node: Node, robot: RobotConfig, *, image_size: int | None, objects: tuple[str, ...]) -> None:
        """Subscribe.

        Args:
            node: Whose subscriptions they are.
            robot: What the topics are called.
            image_size: Width and height of the observation's pictures, pixels; None: the cameras are not wanted.
            objects: Names of the things whose poses are wanted, of those that the robot's file has a topic for.
        """
        self._node, self._robot = node, robot
        in_base = messages.pose_problem(robot.base_frame)
        self._arm = messages.JointReader(robot.joints)
        self._finger = messages.JointReader([robot.gripper.joint])
        self._pose = Input(node, PoseStamped, robot.current_pose, check=in_base)
        self._joints = Input(node, JointState, robot.joint_states, check=self._arm.problem)
        self._gripper = Input(node, JointState, robot.gripper.joint_states, check=self._finger.problem)
        self._wrench = Input(node, WrenchStamped, robot.wrench, check=messages.wrench_problem) if robot.wrench else None
        self._objects = {name: Input(node, PoseStamped, robot.objects[name], check=in_base) for name in objects}
        self._images: dict[str, tuple[Input[Any], ImageReader]] = {}
        for name, camera in robot.cameras.items() if image_size is not None else ():
            reader = ImageReader(camera.image, size=image_size or 0, frame=camera.frame, crop=camera.crop)
            qos = RELIABLE if camera.reliable else SENSOR
            self._images[name] = Input(node, Image, camera.image, check=reader.problem, qos=qos), reader
        self.moment: Moment | None = None

    def inputs(self) -> dict[str, Input[Any]]:
        """Every input, by the name of its key in the robot's file."""
        found: dict[str, Input[Any]] = {
            "current_pose": self._pose,
            "joint_states": self._joints,
            "gripper.joint_states": self._gripper,
        }
        if self._wrench is not None:
            found["wrench"] = self._wrench
        found |= {f"objects.{name}": each for name, each in self._objects.items()}
        return found | {f"cameras.{name}.image": each for name, (each, _) in self._images.items()}

    def oldest_s(self, name: str) -> float:
        """The age, in seconds, from which on one of the inputs is stale."""
        limits = self._robot.limits
        return limits.max_joint_age_s if name in ("current_pose", "joint_states") else limits.max_camera_age_s

    def wait(self, seconds: float, *, since_ns: int = 0, stamp_ns: int = 0) -> None:
        """Wait for all senses, as they are after a moment.

        Args:
            seconds: How long.
            since_ns: The moment, by the monotonic clock.
            stamp_ns: The same for the stamps of pictures, which may have been taken well before they arrive.

        Raises:
            SensesMissingError: Where one was not heard.
        """
        deadline_s = time.monotonic() + seconds
        while silent := [name for name, each in self.inputs().items() if not self._heard(each, since_ns, stamp_ns)]:
            if time.monotonic() > deadline_s:
                reasons = [
                    graph.why_silent(self._node, self.inputs()[name], f"{name} in the robot's file") for name in silent
                ]
                raise SensesMissingError("; ".join(filter(None, [graph.why_no_time(self._node), *reasons])))
            time.sleep(_POLL_S)
        self.look()

    def forget(self) -> None:
        """Wait for every sense anew."""
        for each in self.inputs().values():
            each.forget()

    def look(self) -> Moment:
        """Take the senses in as they are now."""
        for each in self.inputs().values():
            each.take()
        pose, joints, finger = self._pose.message, self._joints.message, self._gripper.message
        if pose is None or joints is None or finger is None:
            raise SensesMissingError("the robot's senses are looked at before they were waited for")
        self.moment = Moment(
            joints=self._arm.positions(joints),
            position_m=messages.position(pose),
            rotation=messages.rotation(pose),
            width_m=width_m(self._robot.gripper, float(self._finger.positions(finger)[0])),
            images={
                name: reader.read(each.message)
                for name, (each, reader) in self._images.items()
                if each.message is not None
            },
            heard_ns={
                "gripper": self._gripper.heard_ns,
                **{name: each.heard_ns for name, (each, _) in self._images.items()},
                **({"object": min(each.heard_ns for each in self._objects.values())} if self._objects else {}),
            },
        )
        return self.moment

    def vitals(self) -> Vitals:
        """Age of the newest report of the joints and the pose, and of what was last shown; the force."""
        arm = (self._pose, self._joints)
        for each in arm:
            each.take()
        ages_s = {JOINTS: max(each.age_s() for each in arm)}
        force_n = None
        if self._wrench is not None:
            self._wrench.take()
            ages_s["wrench"] = self._wrench.age_s()
            force_n = None if self._wrench.message is None else messages.force_n(self._wrench.message)
        now_ns = time.monotonic_ns()
        shown = {} if self.moment is None else self.moment.heard_ns
        ages_s |= {name: (now_ns - heard_ns) / 1e9 for name, heard_ns in shown.items()}
        return Vitals(ages_s, force_n, "; ".join(each.problem for each in self.inputs().values() if each.problem))

    def conflict(self) -> str:
        """Why the senses cannot be believed although they are fresh; empty: they can."""
        return graph.two_robots(self._node, self._pose) or graph.two_robots(self._node, self._joints)

    def object_pose(self, name: str) -> tuple[np.ndarray, Rotation] | None:
        """Position, shape (3,), metres, base frame, and orientation of a thing that has a topic; None: it has none."""
        each = self._objects.get(name)
        if each is None or each.message is None:
            return None
        return messages.position(each.message), messages.rotation(each.message)

    def _heard(self, each: Input[Any], since_ns: int, stamp_ns: int) -> bool:
        each.take()
        late = each.kind is not Image or each.stamp_ns >= stamp_ns
        return each.message is not None and each.heard_ns >= since_ns and late
