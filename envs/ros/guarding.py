"""The guard as a ROS 2 server: the only publisher of the robot's targets.

    in    ~/requested_pose     geometry_msgs/PoseStamped       where a commander wants the tool
          ~/requested_gripper  std_msgs/Float64MultiArray      one number: 1 open, -1 shut
          ~/halt               std_msgs/String                 why: from a watchdog; holds until the next episode
    out   target_pose, the gripper's commands                  what the robot gets
          ~/state              diagnostic_msgs/DiagnosticStatus  mode, reason and number of the episode, at 20 Hz
    call  ~/hold  ~/e_stop  ~/release  ~/begin                 std_srvs/Trigger, for people
          ~/begin_episode                                      std_srvs/Trigger, for programs

What people stop only people let go on: a program's ~/begin_episode is refused until somebody calls ~/begin, so that an
actor that tries again every second does not drive off because an emergency stop was released.

A hold is a pose that goes on being published: a controller that hears nothing keeps pulling to its last target.
"""

import logging
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from envs.ros import messages
from envs.ros.config import PERIOD_S, RobotConfig
from envs.ros.diagnostics import Diagnostics, status
from envs.ros.graph import publishers
from envs.ros.grippers import open_gripper
from envs.ros.inputs import LATCHED, RELIABLE, Input
from envs.ros.pose_guard import FOLLOWING, HALTED, HOLDING, STOPPED, WAITING, Felt, Pose, PoseGuard, Request
from envs.ros.stop_memory import StopMemory

log = logging.getLogger(__name__)

STATE_PERIOD_S = 0.05
_LEVELS = {
    FOLLOWING: DiagnosticStatus.OK,
    HOLDING: DiagnosticStatus.OK,
    WAITING: DiagnosticStatus.WARN,
    HALTED: DiagnosticStatus.ERROR,
    STOPPED: DiagnosticStatus.ERROR,
}


class GuardServer:
    """Listens, judges, publishes; its owner calls `tick` every 10 ms."""

    def __init__(self, node: Node, robot: RobotConfig, *, period_s: float) -> None:
        """Open the topics.

        Args:
            node: Whose they are; `~` is its name.
            robot: What the cell is called, and its limits.
            period_s: The commander's control period.
        """
        self._node, self._robot = node, robot
        self.guard = PoseGuard(robot.limits, tick_s=PERIOD_S, period_s=period_s)
        pose_check = messages.pose_problem(robot.base_frame)
        self._joint_reader = messages.JointReader(robot.joints)
        self._pose = Input(node, PoseStamped, robot.current_pose, check=pose_check)
        self._joints = Input(node, JointState, robot.joint_states, check=self._joint_reader.problem)
        self._wrench = Input(node, WrenchStamped, robot.wrench, check=messages.wrench_problem) if robot.wrench else None
        # Deep enough that nobody's request is lost between two ticks, and a second commander's is seen.
        self._requests = Input(node, PoseStamped, "~/requested_pose", check=pose_check, qos=QoSProfile(depth=10))
        self._grips = Input(node, Float64MultiArray, "~/requested_gripper", check=_grip_problem, qos=RELIABLE)
        self._halts = Input(node, String, "~/halt", qos=QoSProfile(depth=10))
        self._targets = node.create_publisher(PoseStamped, robot.target_pose, RELIABLE)
        self._gripper = open_gripper(node, robot.gripper)
        self._states = node.create_publisher(DiagnosticStatus, "~/state", LATCHED)
        self._said: tuple[str, str, bool] = ("", "", False)
        self._state_due_s = 0.0
        self.begun = 0
        """Number of the episodes begun: it tells a state before a begin from one after."""
        self._memory = StopMemory(node)
        if kept := self._memory.reason():
            self.guard.stop(f"from before this guard began: {kept}")
        for name, answer in {
            "begin": self._begin,
            "begin_episode": self._begin_episode,
            "hold": self._hold,
            "e_stop": self._stop,
            "release": self._release,
        }.items():
            node.create_service(Trigger, f"~/{name}", answer)
        oldest_s = robot.limits.max_joint_age_s
        heard = {"current_pose": self._pose, "joint_states": self._joints, "wrench": self._wrench}
        self._diagnostics = Diagnostics(node, {k: (v, oldest_s) for k, v in heard.items() if v is not None})

    def tick(self) -> None:
        """Hear what has come, and publish the target of the coming 10 ms."""
        now_ns = time.monotonic_ns()
        self._hear()
        target = self.guard.tick(now_ns, self._felt())
        if target is not None:
            self._publish(target)
        self._tell()

    def last_hold(self) -> None:
        """Before the process ends: the robot stays where it is."""
        self._hear()
        self.guard.halt("the guard is ending")
        target = self.guard.tick(time.monotonic_ns(), self._felt())
        if target is not None:
            self._publish(target)
        self._tell()

    def _hear(self) -> None:
        for sense in (self._pose, self._joints, self._wrench):
            if sense is not None:
                sense.take()
        if self._halts.take() and self._halts.message is not None:
            self.guard.halt(self._halts.message.data or "somebody published on ~/halt without a reason")
        if self._requests.take() and (message := self._requests.message) is not None:
            self._request(message)
        elif self._requests.problem and self.guard.mode == FOLLOWING:
            self.guard.halt(self._requests.problem)
        if self._grips.take() and self._grips.message is not None and self.guard.mode in (FOLLOWING, HOLDING):
            self._gripper.command(float(self._grips.message.data[0]))

    def _request(self, message: PoseStamped) -> None:
        pose = Pose(messages.position(message), messages.rotation(message))
        if self._requests.rivals() > 1:
            names = publishers(self._node, self._requests.topic)
            self.guard.halt(f"two commanders publish {self._requests.topic} ({names}); end one, then begin anew")
        self.guard.request(Request(pose, self._requests.heard_ns))

    def _felt(self) -> Felt:
        pose = self._pose.message
        ages = {each.topic: each.age_s() for each in (self._pose, self._joints)}
        if self._wrench is not None and self._robot.limits.max_force_n is not None:
            ages[self._wrench.topic] = self._wrench.age_s()
        wrench = None if self._wrench is None else self._wrench.message
        return Felt(
            pose=None if pose is None else Pose(messages.position(pose), messages.rotation(pose)),
            ages_s=ages,
            force_n=None if wrench is None else messages.force_n(wrench),
            problem=self._pose.problem or self._joints.problem,
            conflict=self._conflict(),
        )

    def _conflict(self) -> str:
        topic = self._targets.topic_name
        if self._node.count_publishers(topic) <= 1:
            return ""
        names = publishers(self._node, topic)
        return (
            f"{topic} has more than one publisher ({names}), so the controller ignores it; the guard must be the only "
            "one: end the other, then begin anew"
        )

    def _publish(self, target: Pose) -> None:
        stamp = self._node.get_clock().now().to_msg()
        self._targets.publish(messages.pose(target.position_m, target.rotation, self._robot.base_frame, stamp))

    def _tell(self) -> None:
        guard, now_s = self.guard, time.monotonic()
        said = guard.mode, guard.reason if guard.mode != HOLDING else "", guard.ready
        changed = said != self._said
        if said[:2] != self._said[:2]:
            level = logging.ERROR if guard.mode in (HALTED, STOPPED) else logging.INFO
            log.log(level, "%s %s", guard.mode, guard.reason)
        self._said = said
        if changed or now_s >= self._state_due_s:
            self._state_due_s = now_s + STATE_PERIOD_S
            self._states.publish(self._state())
        self._diagnostics.publish([self._state()])

    def _state(self) -> DiagnosticStatus:
        guard = self.guard
        text = f"{guard.mode}: {guard.reason}" if guard.reason else guard.mode
        values = {"mode": guard.mode, "reason": guard.reason, "begun": self.begun, "ready": guard.ready}
        return status(self._node.get_name(), _LEVELS[guard.mode], text, **values)

    def _begin(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        return self._answer_begin(self.guard.begin(by_person=True), response)

    def _begin_episode(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        return self._answer_begin(self.guard.begin(), response)

    def _answer_begin(self, problem: str, response: Trigger.Response) -> Trigger.Response:
        self.begun += not problem
        self._requests.forget()
        self._grips.forget()
        self._gripper.forget()
        self._pose.forget()
        self._state_due_s = 0.0
        response.success, response.message = not problem, problem or str(self.begun)
        return response

    def _hold(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        self.guard.halt("somebody called ~/hold", by_person=True)
        response.success, response.message = True, "the robot holds; ~/begin lets it be commanded again"
        return response

    def _stop(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        self.guard.stop("somebody called ~/e_stop")
        self._memory.keep(self.guard.reason)
        response.success = True
        response.message = "the robot holds; ~/release, then ~/begin, let it be commanded again"
        return response

    def _release(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        problem = self._memory.forget()
        if not problem:
            self.guard.release()
        response.success, response.message = not problem, problem or f"the guard is {self.guard.mode}"
        return response


def _grip_problem(message: Float64MultiArray) -> str | None:
    if len(message.data) == 1 and -1.0 <= message.data[0] <= 1.0:
        return None
    return f"a gripper's request is one number from -1 (shut) to 1 (open), got {list(message.data)[:8]}"
