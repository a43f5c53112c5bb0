"""The Workcell over ROS 2: requests go to the guard, senses come from the robot's own topics."""

import contextlib
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from scipy.spatial.transform import Rotation
from std_msgs.msg import Float64MultiArray

from envs.guard import GuardLimits, Vitals
from envs.ros import graph, messages, settle_middleware
from envs.ros.config import RobotConfig
from envs.ros.diagnostics import Diagnostics, values_of
from envs.ros.inputs import LATCHED, RELIABLE, Input
from envs.ros.pose_guard import HALTED, STOPPED
from envs.ros.recovery import activate_controllers, recover
from envs.ros.senses import Moment, Senses
from envs.ros.services import ServiceError, Services
from envs.ros.sim_episode import EPISODE, encode_episode
from envs.tabletop import LIMITS, PERIOD_S, RATE_HZ, TabletopTask, proprio_spec
from envs.workcell import NotReadyError
from wire.errors import UserError
from wire.specs import ArraySpec
from wire.types import Action, Observation

WAIT_S = 20.0
"""How long the nodes of a launch may take to come up."""
SIM_ROBOT = "sim_robot"
GUARD = "guard"
_COUNT = itertools.count()
_GUARD_SILENT_S = 0.5
_HOME_M, _HOME_RAD, _HOME_S, _HOME_M_S = 0.005, 0.05, 40.0, 0.12
_GRASP_M, _SLACK_M, _STILL_M = 0.03, 0.005, 0.001
_SETTLED_NS = 30_000_000
_POLL_S = 0.005


class RobotStuckError(NotReadyError):
    """The arm does not come home."""


class RosCell:
    """A cell whose robot, cameras and gripper are other nodes.

    The observations are those of the simulated cell: `proprio`; with obs=state also `object`; with obs=pixels instead a
    picture for each camera in the robot's file.
    """

    kind = "ros"
    rate_hz = RATE_HZ
    action_frame = "base"

    def __init__(
        self,
        task: TabletopTask,
        robot: RobotConfig,
        *,
        obs: str,
        image_size: int,
        namespace: str = "",
        remap: Sequence[str] = (),
    ) -> None:
        """Join the graph and wait for the robot.

        Args:
            task: What its things are called.
            robot: What the topics are called.
            obs: pixels, state or proprio (see envs.config).
            image_size: Width and height of the observation's pictures, pixels.
            namespace: Of the cell's topics, e.g. /left.
            remap: Rules of the form from:=to.

        Raises:
            SensesMissingError: Where a topic is missing, of another type, or silent.
            ServiceError: Where there is no guard.
        """
        self.robot, self._config, self._task, self._obs = robot.name, robot, task, obs
        self._handling = task.handling
        self.action, self.action_names = task.handling.action, task.handling.action_names
        self.limits = task.handling.narrow(_limits(robot))
        self._undo = contextlib.ExitStack()
        self._context = Context()
        settle_middleware()
        rclpy.init(context=self._context)
        self._undo.callback(self._context.try_shutdown)
        name = f"handrail_cell_{os.getpid()}_{next(_COUNT)}"
        rules = [word for rule in remap for word in ("--remap", rule)]
        self._node = Node(
            name,
            context=self._context,
            namespace=namespace or None,
            cli_args=["--ros-args", *rules],
            enable_rosout=False,
        )
        self._undo.callback(self._node.destroy_node)
        self._open(image_size)
        frame = ArraySpec(shape=(image_size, image_size, 3), dtype="uint8", unit="sRGB")
        seen = {"state": {"object": task.object}, "pixels": dict.fromkeys(robot.cameras, frame), "proprio": {}}
        self.observation: dict[str, ArraySpec] = {**seen[obs], "proprio": proprio_spec(len(robot.joints))}
        self._gripper, self._standing, self._begun = self._first_grip, True, 0
        self._placed: dict[str, np.ndarray] = {}
        self._width_before_m, self._home_m = 0.0, np.zeros(3)
        try:
            activate_controllers(self._services, robot)
            self.senses.wait(WAIT_S)
        except BaseException:
            self.close()
            raise
        self._target_m, self._rotation = self._moment.position_m, self._moment.rotation

    def _open(self, image_size: int) -> None:
        node, robot = self._node, self._config
        things = tuple(name for name in self._task.things if name in robot.objects)
        self.senses = Senses(node, robot, image_size=image_size if self._obs == "pixels" else None, objects=things)
        self._services = Services(node)
        self._requests = node.create_publisher(PoseStamped, f"{GUARD}/requested_pose", QoSProfile(depth=10))
        self._grips = node.create_publisher(Float64MultiArray, f"{GUARD}/requested_gripper", RELIABLE)
        self._state: Input[Any] = Input(node, DiagnosticStatus, f"{GUARD}/state", qos=LATCHED)
        self.stopper: str | None = f"ros:{node.resolve_topic_name(GUARD)}"
        self._diagnostics = Diagnostics(
            node, {name: (each, self.senses.oldest_s(name)) for name, each in self.senses.inputs().items()}
        )

    def restart(self, places: dict[str, np.ndarray], hues: dict[str, float], rng: np.random.Generator) -> None:
        """Bring the arm home, and the task's things to their places; the robot is ours from now on.

        Raises:
            NotReadyError: Where the hand is empty.
            ServiceError: Where the guard or the robot refuses, the guard because a person has stopped the robot.
            RobotStuckError: Where the arm does not come home.
            SensesMissingError: Where a sense stays silent.
        """
        # Asked before anything is unlocked or reset, too: a person may want the robot to stay as it is.
        self._services.trigger(f"{GUARD}/begin_episode")
        self._placed = places
        recover(self._node, self._services, self._config)
        if self._config.reset == "simulated":
            seed = int(rng.integers(2**31))
            self._services.set_text(SIM_ROBOT, EPISODE, encode_episode(places, hues, seed))
            self._services.trigger(f"{SIM_ROBOT}/reset")
        self._begun = int(self._services.trigger(f"{GUARD}/begin_episode"))
        self._wait_for_guard()
        self.senses.forget()
        since_ns, stamp_ns = time.monotonic_ns(), self.now_ns() + _SETTLED_NS
        self.senses.wait(WAIT_S, since_ns=since_ns, stamp_ns=stamp_ns if self._config.reset == "simulated" else 0)
        if self._config.reset == "home":
            self._drive_home()
        self._gripper, self._standing = self._first_grip, True
        self._target_m, self._rotation = self._moment.position_m, self._moment.rotation
        self._home_m = self._moment.position_m
        self._width_before_m = self._moment.width_m
        if self._handling.held is not None and self._moment.width_m < _SLACK_M:
            raise NotReadyError(
                f"the hand is empty: open it by its own driver, put the {self._handling.held} into it, and shut it"
            )

    def observe(self) -> Observation:
        """The senses as they were last looked at, as fresh arrays that the caller may keep."""
        moment = self._moment
        proprio = [*moment.joints, moment.width_m, *moment.position_m, self._gripper]
        senses = {"proprio": np.array(proprio, np.float32)}
        if self._obs == "state":
            return {"object": self._task.object_state(self).astype(np.float32), **senses}
        return {name: image.copy() for name, image in moment.images.items()} | senses

    def target_position(self) -> np.ndarray:
        """Requested position of the tool centre point, shape (3,), metres, base frame."""
        return self._target_m.copy()

    def command(self, action: Action) -> None:
        """Request the target of the coming control period from a guarded action, as `action` describes it."""
        target_m = self._handling.draw_in(self._target_m, self._moment.position_m)
        self._target_m = target_m + self._handling.metres_per_unit * np.asarray(action[:3], np.float64)
        self._gripper = float(action[3]) if self._handling.held is None else -1.0
        self._width_before_m = self._moment.width_m
        self._standing = self._standing and not np.any(action[:3])
        self._request()

    def advance(self) -> None:
        """Take in the senses as they are now."""
        self.senses.look()
        self._diagnostics.publish()

    def hold(self) -> None:
        """Stay where the robot is from now on, until the next command; the gripper keeps its last command."""
        if not self._standing:
            self._target_m = self.senses.look().position_m
            self._standing = True
        self._request()

    def vitals(self) -> Vitals:
        """Age of the newest report of the joints, and of what was last observed; the force."""
        return self.senses.vitals()

    def halted(self) -> str:
        """Why the guard refuses requests until the next reset; empty: it does not."""
        mode = self._guard_says("mode")
        if self._begun and not self._state.age_s() < _GUARD_SILENT_S:
            return f"the guard at {self._state.topic} has fallen silent; look at its log"
        if mode in (HALTED, STOPPED) and int(self._guard_says("begun")) >= self._begun:
            return self._guard_says("reason")
        return self.senses.conflict() or graph.why_no_time(self._node)

    def tool_position(self) -> np.ndarray:
        """Actual position of the tool centre point, shape (3,), metres, base frame."""
        return self._moment.position_m.copy()

    def tool_rotation(self) -> np.ndarray:
        """The axes of the frame whose pose the robot reports as columns in its base frame, shape (3, 3)."""
        return self._moment.rotation.as_matrix()

    def finger_width(self) -> float:
        """Distance between the finger pads, metres."""
        return self._moment.width_m

    def body_position(self, name: str) -> np.ndarray:
        """Position of a thing, shape (3,), metres, base frame: by its topic, or where the task last put it."""
        seen = self.senses.object_pose(name)
        if seen is not None:
            return seen[0]
        # What is in the hand goes where the hand goes.
        way_m = self._moment.position_m - self._home_m if name == self._handling.held else np.zeros(3)
        return self._place(name)[:3] + way_m

    def body_rotation(self, name: str) -> np.ndarray:
        """Rotation matrix of a thing, shape (3, 3), its axes as columns in the base frame."""
        seen = self.senses.object_pose(name)
        if seen is not None:
            return seen[1].as_matrix()
        w, x, y, z = self._place(name)[3:]
        return Rotation.from_quat([x, y, z, w]).as_matrix()

    def fingers_touching(self, name: str) -> int:
        """Both or none, from the outside: fingers told to shut that stand still, apart, around the thing."""
        moment = self._moment
        shutting = self._gripper < 0.0 and moment.width_m < self._config.gripper.stroke_m - _SLACK_M
        commanded_m = self._config.gripper.stroke_m * (self._gripper + 1.0) / 2.0
        blocked = moment.width_m > commanded_m + _SLACK_M and abs(moment.width_m - self._width_before_m) < _STILL_M
        near = float(np.linalg.norm(self.body_position(name) - moment.position_m)) < _GRASP_M
        return 2 if shutting and blocked and near else 0

    def penetration_m(self, name: str) -> float:
        """0: real things do not sink into each other."""
        return 0.0

    def peak_force_n(self) -> float:
        """The force now, newtons; 0 where nothing measures it. Between two looks the guard judges it."""
        return self.senses.vitals().force_n or 0.0

    def picture(self) -> np.ndarray:
        """A picture for people, uint8 of shape (height, width, 3): the first camera's, as the policy sees it."""
        images = list(self._moment.images.values())
        return images[0].copy() if images else np.zeros((64, 64, 3), np.uint8)

    def close(self) -> None:
        """Leave the graph; safe to call twice. The guard holds the robot from now on."""
        self._undo.close()

    @property
    def _first_grip(self) -> float:
        """What the gripper is told at the start of an episode."""
        return 1.0 if self._handling.held is None else -1.0

    @property
    def _moment(self) -> Moment:
        assert self.senses.moment is not None
        return self.senses.moment

    def now_ns(self) -> int:
        """ROS's clock, by which messages are stamped."""
        return self._node.get_clock().now().nanoseconds

    def _place(self, name: str) -> np.ndarray:
        if name not in self._placed:
            raise UserError(
                f"nothing tells where {name} is; name the topic of its pose under objects in the robot's file, or "
                "choose a task that does not need it"
            )
        return self._placed[name]

    def _wait_for_guard(self) -> None:
        """Until it holds the robot where that is now."""
        deadline_s = time.monotonic() + WAIT_S
        while not (self._guard_says("begun") == str(self._begun) and self._guard_says("ready") == "True"):
            if time.monotonic() > deadline_s:
                raise ServiceError(f"the guard does not take the robot: {self._guard_says('reason') or 'it is silent'}")
            time.sleep(_POLL_S)
        if why := self.halted():
            raise ServiceError(f"the episode cannot begin: {why}")

    def _guard_says(self, key: str) -> str:
        self._state.take()
        return "" if self._state.message is None else values_of(self._state.message).get(key, "")

    def _request(self) -> None:
        stamp = self._node.get_clock().now().to_msg()
        self._requests.publish(messages.pose(self._target_m, self._rotation, self._config.base_frame, stamp))
        self._grips.publish(messages.numbers([self._gripper]))

    def _drive_home(self) -> None:
        """Open, but where the task needs what is in the hand; rise to the height of home, then go there, slowly."""
        home_m, self._rotation = np.array(self._config.home[:3]), Rotation.from_quat(self._config.home[3:])
        self._target_m, self._gripper = self._moment.position_m, self._first_grip
        deadline_s = time.monotonic() + _HOME_S
        for goal_m in (np.array([*self._target_m[:2], max(self._target_m[2], home_m[2])]), home_m):
            while not self._arrived(goal_m):
                if (why := self.halted()) or time.monotonic() > deadline_s:
                    why = why or self._distance(goal_m)
                    raise RobotStuckError(f"the arm did not come home within {_HOME_S:g} s: {why}")
                way_m = goal_m - self._target_m
                self._target_m = self._target_m + way_m * min(1.0, _HOME_M_S * PERIOD_S / max(1e-9, _length(way_m)))
                self._request()
                time.sleep(PERIOD_S)
                self.senses.look()
        time.sleep(self._config.pause_s)
        self.senses.wait(WAIT_S, since_ns=time.monotonic_ns())

    def _arrived(self, goal_m: np.ndarray) -> bool:
        turned = (self._rotation * self._moment.rotation.inv()).magnitude()
        return _length(goal_m - self._moment.position_m) < _HOME_M and turned < _HOME_RAD

    def _distance(self, goal_m: np.ndarray) -> str:
        return f"it is {_length(goal_m - self._moment.position_m):.3f} m away; does the controller follow its target?"


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


def _limits(robot: RobotConfig) -> GuardLimits:
    limits = robot.limits
    return replace(
        LIMITS,
        workspace_low_m=limits.workspace_low_m,
        workspace_high_m=limits.workspace_high_m,
        max_speed_m_s=limits.max_speed_m_s,
        max_force_n=limits.max_force_n,
        max_camera_age_s=limits.max_camera_age_s,
        max_joint_age_s=limits.max_joint_age_s,
    )
