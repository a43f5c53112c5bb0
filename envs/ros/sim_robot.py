"""The simulated robot behind ROS 2 topics: what a real arm's controllers, gripper and drivers publish and obey.

    out   joint_states, gripper/joint_states   sensor_msgs/JointState        100 Hz, 30 Hz
          current_pose                         geometry_msgs/PoseStamped     100 Hz
          the wrench's topic                   geometry_msgs/WrenchStamped   100 Hz
          objects/<name>/pose                  geometry_msgs/PoseStamped     30 Hz, as a tag detector would
          ~/state, ~/episode                   std_msgs/Float64MultiArray, String; for simulated cameras only
    in    target_pose                          geometry_msgs/PoseStamped
          the gripper's commands               std_msgs/Float64MultiArray
    call  ~/reset, ~/error_recovery            std_srvs/Trigger

It has the habits of the real ones. The last target stays in force, whatever becomes of its sender. Targets are ignored
while their topic has two publishers. A target that jumps trips the reflex, after which the arm stands until
`~/error_recovery`.
"""

# MuJoCo's compiled module comes without type stubs.
# pyright: reportAttributeAccessIssue=false

import logging
from typing import Any

import mujoco
import numpy as np
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.qos import QoSProfile
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from envs.ros import messages
from envs.ros.config import PERIOD_S, RobotConfig
from envs.ros.grippers import width_m
from envs.ros.inputs import LATCHED, RELIABLE, Input
from envs.ros.sim_episode import EPISODE, decode_episode, encode_episode
from envs.sim.cell import ARM_DOFS, SimCell
from envs.sim.panda import FINGER_OPEN_M, JOINT_ZEROS_RAD
from envs.tabletop import TabletopTask

log = logging.getLogger(__name__)

JUMP_M = 0.05
"""A target farther than this from the last trips the reflex, as discontinuities do in real controllers."""
_SAME_M = 1e-9
_SLOW_TICKS = 3


class SimRobot(SimCell):
    """The physics, a tick at a time, towards a target pose that others set."""

    def __init__(self, task: TabletopTask, *, scene_name: str = "plain") -> None:
        """Build the cell; it stands still until it is first told to move."""
        self._braked, self._met = True, False
        super().__init__(task, obs="proprio", scene_name=scene_name)

    def restart(self, places: dict[str, np.ndarray], hues: dict[str, float], rng: np.random.Generator) -> None:
        """Begin an episode. Time stands still in it until the first new target: everything is where it was put."""
        super().restart(places, hues, rng)
        self._braked, self._met = True, False

    def follow(self, position_m: np.ndarray, rotation: Rotation) -> bool:
        """Take a target, which the tool shall reach in the coming tick; False where it is too far to be followed."""
        ahead_m = float(np.linalg.norm(position_m - self._controller.target))
        if not self._met or (self._braked and ahead_m < _SAME_M):
            # Whoever commands has to start from where the arm is; other targets are from before it was put there.
            self._met = self._met or ahead_m < _SAME_M
            return True
        if ahead_m > JUMP_M:
            self._controller.stop(self.data)
            return False
        self._braked = False
        self._controller.move(position_m - self._controller.target)
        x, y, z, w = rotation.as_quat()
        self._controller.aim(np.array([w, x, y, z]))
        return True

    def grip(self, width: float) -> None:
        """Set the distance between the pads that the fingers shall go to, metres."""
        finger = float(np.clip(width / 2.0, 0.0, FINGER_OPEN_M))
        if not self._met:
            return
        self._braked = self._braked and finger == self.data.ctrl[ARM_DOFS]
        self.data.ctrl[ARM_DOFS:] = finger

    def tick(self) -> None:
        """Let ten milliseconds pass."""
        if not self._braked:
            self.integrate(0.0, PERIOD_S)
            mujoco.mj_forward(self.model, self.data)
            self._controller.arrive(self.data)

    def tool_orientation(self) -> Rotation:
        """Orientation of the tool."""
        return Rotation.from_matrix(self.data.site_xmat[self._tool].reshape(3, 3))

    def joints(self) -> np.ndarray:
        """Positions as the real robot counts them, shape (7,), radians."""
        return self.data.qpos[:ARM_DOFS] + JOINT_ZEROS_RAD

    def full_state(self) -> np.ndarray:
        """qpos, then mocap_pos: all that a picture of the cell depends on."""
        return np.concatenate([self.data.qpos, self.data.mocap_pos.ravel()])


class SimRobotServer:
    """The topics around it; its owner calls `tick` every 10 ms."""

    def __init__(self, node: Node, robot: RobotConfig, cell: SimRobot) -> None:
        """Open the topics; `~` is the node's name."""
        self._node, self._robot, self._cell = node, robot, cell
        self._count = 0
        self._stopped = ""
        self._target = Input(
            node, PoseStamped, robot.target_pose, check=messages.pose_problem(robot.base_frame), qos=RELIABLE
        )
        self._grip = Input(node, Float64MultiArray, robot.gripper.command, qos=RELIABLE)
        self._poses = node.create_publisher(PoseStamped, robot.current_pose, RELIABLE)
        self._joints = node.create_publisher(JointState, robot.joint_states, RELIABLE)
        self._fingers = node.create_publisher(JointState, robot.gripper.joint_states, RELIABLE)
        self._wrenches = node.create_publisher(WrenchStamped, robot.wrench or "wrench", RELIABLE)
        self._state = node.create_publisher(Float64MultiArray, "~/state", QoSProfile(depth=1))
        self._episode = node.create_publisher(String, "~/episode", LATCHED)
        things = [name for name in robot.objects if name in cell.things()]
        self._objects = {name: node.create_publisher(PoseStamped, robot.objects[name], RELIABLE) for name in things}
        node.declare_parameter(EPISODE, encode_episode({}, {}, 0))
        node.add_on_set_parameters_callback(self._judge)
        node.create_service(Trigger, "~/reset", self._reset)
        node.create_service(Trigger, "~/error_recovery", self._recover)

    def tick(self) -> None:
        """Obey what has come, let ten milliseconds pass, and publish."""
        self._obey()
        self._cell.tick()
        self._count += 1
        self._publish(slow=self._count % _SLOW_TICKS == 0)

    def _obey(self) -> None:
        came, gripped = self._target.take(), self._grip.take()
        alone = self._node.count_publishers(self._target.topic) <= 1
        if came and alone and not self._stopped:
            self._follow()
        if gripped and self._grip.message is not None and len(self._grip.message.data) == 1:
            gripper = self._robot.gripper
            share = (self._grip.message.data[0] - gripper.command_closed) / (
                gripper.command_open - gripper.command_closed
            )
            self._cell.grip(gripper.stroke_m * share)

    def _follow(self) -> None:
        message = self._target.message
        if message is None or self._cell.follow(messages.position(message), messages.rotation(message)):
            return
        self._stopped = f"the reflex stopped the arm: its target jumped by more than {JUMP_M} m"
        log.error("%s; call ~/error_recovery", self._stopped)

    def _publish(self, *, slow: bool) -> None:
        cell, stamp = self._cell, self._node.get_clock().now().to_msg()
        frame = self._robot.base_frame
        self._poses.publish(messages.pose(cell.tool_position(), cell.tool_orientation(), frame, stamp))
        self._joints.publish(_joint_state(self._robot.joints, cell.joints(), stamp))
        wrench = WrenchStamped()
        wrench.header.frame_id, wrench.header.stamp = frame, stamp
        wrench.wrench.force.z = cell.force_n()
        self._wrenches.publish(wrench)
        self._state.publish(messages.numbers(cell.full_state()))
        if slow:
            gripper = self._robot.gripper
            share = cell.finger_width() / width_m(gripper, gripper.joint_open)
            joint = gripper.joint_closed + share * (gripper.joint_open - gripper.joint_closed)
            self._fingers.publish(_joint_state([gripper.joint], [joint], stamp))
            for name, publisher in self._objects.items():
                turned = Rotation.from_matrix(cell.body_rotation(name))
                publisher.publish(messages.pose(cell.body_position(name), turned, frame, stamp))

    def _judge(self, parameters: list[Any]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == EPISODE:
                try:
                    decode_episode(parameter.value, self._cell.things())
                except ValueError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _reset(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        episode = self._node.get_parameter(EPISODE).value
        self._cell.restart(*decode_episode(episode, self._cell.things()))
        self._episode.publish(String(data=episode))
        self._stopped = ""
        self._target.forget()
        self._grip.forget()
        self._publish(slow=True)
        response.success, response.message = True, "the episode has begun"
        return response

    def _recover(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, self._stopped or "nothing had stopped the arm"
        self._stopped = ""
        return response


def _joint_state(names: Any, positions: Any, stamp: Any) -> JointState:
    message = JointState(name=list(names), position=[float(x) for x in positions])
    message.header.stamp = stamp
    return message
