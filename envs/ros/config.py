"""What a robot is called, publishes and listens to: one YAML file per cell, read by every node of it.

The defaults are those of Cartesian controllers in the manner of crisp_controllers on ros2_control, and of
realsense2_camera. Imports nothing heavy and no ROS.
"""

import importlib.resources
import math
from pathlib import Path
from typing import Annotated, Any

import msgspec

from envs.config import one_of
from wire.errors import UserError

PERIOD_S = 0.01
"""The guard's and the simulated robot's tick."""
RESETS = ("home", "simulated")
RECOVERIES = ("none", "trigger", "franka", "ur")
GRIPPERS = ("topic", "action")

Positive = Annotated[float, msgspec.Meta(gt=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Metres = tuple[float, float, float]


class RobotConfigError(UserError, ValueError):
    """A robot's file cannot be used; the text names the file, the key and the cure."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of the file: an unknown key in it is an error."""


class GripperConfig(Strict, frozen=True, kw_only=True):
    """The gripper: its joint, how wide that opens, and who takes its commands."""

    joint: Name
    """Of `joint_states`, whose position tells the width."""
    joint_open: float
    joint_closed: float
    """Positions of the joint where the gripper is open and shut, in the joint's own unit."""
    stroke_m: Positive = 0.08
    """Distance between the pads where it is open."""
    joint_states: Name = "gripper/joint_states"
    via: str = "topic"
    """topic: std_msgs/Float64MultiArray to a position controller; action: control_msgs/GripperCommand."""
    command: Name = "gripper/gripper_position_controller/commands"
    """Topic or action of the commands."""
    command_open: float = 1.0
    command_closed: float = 0.0
    """What is commanded for open and shut; what lies between is in proportion."""
    max_effort: float = 10.0
    """With via=action, newtons."""


class CameraConfig(Strict, frozen=True, kw_only=True):
    """A camera's topic and what of its picture the policy sees."""

    image: Name
    """Topic, sensor_msgs/Image."""
    frame: str = ""
    """Its frame_id; empty: any."""
    reliable: bool = False
    """Best effort, as sensors have it; reliable where the host's shared memory is not set up for whole frames."""
    crop: tuple[int, int, int, int] | None = None
    """x, y, width, height in pixels; none: the largest square in the middle."""


class LimitsConfig(Strict, frozen=True, kw_only=True):
    """What the guard keeps the tool within."""

    workspace_low_m: Metres
    workspace_high_m: Metres
    """Box of the tool centre point, base frame."""
    max_speed_m_s: Positive = 0.25
    """250 mm/s is the reduced speed of industrial robots."""
    max_turn_rad_s: Positive = 1.0
    max_acceleration_m_s2: Positive = 25.0
    """Largest change of the target's velocity per second: full speed within one tick."""
    max_force_n: Positive | None = 60.0
    max_camera_age_s: Positive = 0.2
    max_joint_age_s: Positive = 0.05
    command_timeout_s: Positive = 0.3
    """The robot holds where no request has come for so long: three periods of a loop at 10 Hz."""


class RobotConfig(Strict, frozen=True, kw_only=True):
    """A robot cell as ROS 2 shows it. Topic names are relative: a namespace, or a launch file's remapping, applies."""

    name: Name
    base_frame: Name
    """frame_id of the poses."""
    joints: tuple[Name, ...]
    home: tuple[float, float, float, float, float, float, float]
    """Where an episode begins: x, y, z in metres, then the unit quaternion x, y, z, w, as ROS orders it."""
    limits: LimitsConfig
    gripper: GripperConfig
    cameras: dict[str, CameraConfig] = {}
    objects: dict[str, Name] = {}
    """Name of a task's thing -> topic of its pose (geometry_msgs/PoseStamped), from a tag detector, say."""
    joint_states: Name = "joint_states"
    current_pose: Name = "current_pose"
    target_pose: Name = "target_pose"
    wrench: str = ""
    """Topic of the force at the tool, geometry_msgs/WrenchStamped; empty: nothing measures it."""
    reset: str = "home"
    """home: drive there; simulated: ask the simulated robot to begin anew."""
    pause_s: Annotated[float, msgspec.Meta(ge=0, le=20)] = 0.0
    """After driving home: time for a person to put the things back. The watchdog holds the robot in a reset that takes
    more than a minute; who needs longer pauses the actor."""
    recovery: str = "none"
    """How the arm is brought back after a stop of its own; see envs.ros.recovery."""
    recovery_name: str = ""
    """Of the service or action of that; empty: the vendor's usual one."""
    controllers: tuple[str, ...] = ()
    """Controllers of ros2_control that are switched on at the start; none: somebody else does that."""
    controller_manager: Name = "controller_manager"

    def __post_init__(self) -> None:
        """Raise ValueError, with what was got and what is wanted."""
        one_of("reset", self.reset, RESETS)
        one_of("recovery", self.recovery, RECOVERIES)
        one_of("gripper.via", self.gripper.via, GRIPPERS)
        if not self.joints:
            raise ValueError("joints must name the arm's joints, got none")
        if self.gripper.joint_open == self.gripper.joint_closed:
            raise ValueError(f"gripper.joint_open and joint_closed must differ, both are {self.gripper.joint_open}")
        low, high, at = self.limits.workspace_low_m, self.limits.workspace_high_m, self.home[:3]
        if not all(a < b for a, b in zip(low, high, strict=True)):
            raise ValueError(f"limits: the workspace is empty: low {low}, high {high}")
        if not all(a <= x <= b for a, x, b in zip(low, at, high, strict=True)):
            raise ValueError(f"home lies at {at}, outside the workspace from {low} to {high}")
        if abs(math.hypot(*self.home[3:]) - 1.0) > 1e-3:
            raise ValueError(f"home ends in a quaternion x, y, z, w of length 1, got {self.home[3:]}")


def known_robots() -> list[str]:
    """Names of the robots whose files come with Handrail."""
    return sorted(Path(each.name).stem for each in _folder().iterdir() if each.name.endswith(".yaml"))


def load_robot(robot: str) -> RobotConfig:
    """Read a robot's file: one of `known_robots`, or the path of your own.

    Raises:
        RobotConfigError: Where there is none, or it does not describe a robot.
    """
    if robot.endswith((".yaml", ".yml")):
        try:
            data, where = Path(robot).expanduser().read_bytes(), robot
        except OSError as error:
            raise RobotConfigError(f"cannot read the robot's file {robot}: {error.strerror}") from error
    else:
        try:
            one_of("robot", robot, known_robots())
        except ValueError as error:
            raise RobotConfigError(f"{error}; or give the path of your own .yaml") from error
        data, where = (_folder() / f"{robot}.yaml").read_bytes(), f"the file of {robot}"
    try:
        return msgspec.yaml.decode(data, type=RobotConfig)
    # msgspec's yaml wraps what the parser finds wrong in its own error.
    except (msgspec.MsgspecError, ValueError) as error:
        raise RobotConfigError(f"{where} does not describe a robot: {error}; see docs/ros2.md") from error


def _folder() -> Any:
    return importlib.resources.files("envs.ros") / "robots"
