"""A robot of messages alone, on real topics: every field of what it publishes can be made wrong."""

import threading

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, JointState

from envs.ros import messages
from envs.ros.config import load_robot
from envs.ros.images import fill
from envs.sim.panda import JOINT_ZEROS_RAD

PERIOD_S = 0.01
SIM = load_robot("sim")


class PretendRobot:
    """Publishes every 10 ms from a thread of its own, unless told otherwise."""

    def __init__(self, robot=SIM, *, namespace="", name="pretender", without=(), qos=None, kinds=None):
        self.robot = robot
        self.position, self.quaternion = list(robot.home[:3]), list(robot.home[3:])
        self.frame, self.joints = robot.base_frame, dict.fromkeys(robot.joints, 0.1)
        self.finger, self.force, self.encoding, self.size = robot.gripper.joint_open, 0.0, "rgb8", (48, 64)
        self.image_frame = None
        self.images, self.cube = {}, None
        self.changed_ns = 0
        self.frozen_stamp = None
        self.silent = set()
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node(name, context=self.context, namespace=namespace or None, enable_rosout=False)
        topics = {
            "current_pose": (PoseStamped, robot.current_pose, self._pose),
            "joint_states": (JointState, robot.joint_states, self._joint_states),
            "gripper": (JointState, robot.gripper.joint_states, self._fingers),
            "wrench": (WrenchStamped, robot.wrench, self._wrench),
            "cube": (PoseStamped, robot.objects["cube"], self._cube),
            **{name: (Image, camera.image, self._image(name)) for name, camera in robot.cameras.items()},
        }
        self._publishers = {
            name: (self.node.create_publisher((kinds or {}).get(name, kind), topic, qos or QoSProfile(depth=1)), make)
            for name, (kind, topic, make) in topics.items()
            if name not in without
        }
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join()
        self.node.destroy_node()
        self.context.try_shutdown()

    def show(self, observation, exact, cube):
        """Report the state of a simulated cell: what it observes, its joints, tool and fingers, and the cube's pose."""
        joints, position, width = exact
        gripper = self.robot.gripper
        self.joints = dict(zip(self.robot.joints, (joints + JOINT_ZEROS_RAD).tolist(), strict=True))
        self.position, self.cube = list(position), cube
        self.finger = gripper.joint_closed + width / gripper.stroke_m * (gripper.joint_open - gripper.joint_closed)
        self.images = {name: value for name, value in observation.items() if value.ndim == 3}
        self.changed_ns = self.node.get_clock().now().nanoseconds

    def _run(self):
        while not self._stopped.wait(PERIOD_S):
            for name, (publisher, make) in self._publishers.items():
                if name not in self.silent and isinstance(message := make(), publisher.msg_type):
                    publisher.publish(message)

    def _stamped(self, message, frame):
        message.header.frame_id = frame
        message.header.stamp = self.frozen_stamp or self.node.get_clock().now().to_msg()
        return message

    def _pose(self):
        message = messages.pose(self.position, Rotation.identity(), self.frame, self.node.get_clock().now().to_msg())
        q = message.pose.orientation
        q.x, q.y, q.z, q.w = self.quaternion
        return self._stamped(message, self.frame)

    def _cube(self):
        if self.cube is None:
            return self._pose()
        position, quaternion = self.cube
        return self._stamped(messages.pose(position, Rotation.from_quat(quaternion), self.frame, Time()), self.frame)

    def _joint_states(self):
        message = JointState(name=list(self.joints), position=list(self.joints.values()))
        return self._stamped(message, "")

    def _fingers(self):
        return self._stamped(JointState(name=[self.robot.gripper.joint], position=[self.finger]), "")

    def _wrench(self):
        message = WrenchStamped()
        message.wrench.force.z = self.force
        return self._stamped(message, self.frame)

    def _image(self, name):
        def make():
            message = self._stamped(Image(), self.image_frame or self.robot.cameras[name].frame)
            height, width = self.size
            if self.encoding == "rgb8":
                fill(message, self.images.get(name, np.full((height, width, 3), 7, np.uint8)), "rgb8")
            else:
                message.height, message.width, message.step, message.encoding = height, width, width, self.encoding
                message.data = bytes(height * width)
            return message

        return make
