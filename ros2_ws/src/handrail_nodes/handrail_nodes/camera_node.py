"""One camera as a ROS node, on the topics of realsense2_camera: camera/<name>/color/{image_raw,camera_info}."""

import dataclasses
from dataclasses import dataclass

import rclpy
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image

from envs.cameras import CameraConfig, open_camera
from envs.ros.images import fill, fill_info
from handrail_nodes import parameters
from wire.errors import run_main


@dataclass(frozen=True, kw_only=True)
class Parameters(CameraConfig):
    """The camera, and how its pictures are published."""

    name: str = "camera"
    reliable: bool = False
    """Whether every picture shall arrive, or the newest."""
    frame_id: str = ""
    """Of the pictures; empty: <name>_color_optical_frame."""


KEYS = [each.name for each in dataclasses.fields(Parameters) if each.name != "depth"]
"""There is no topic for depth."""


class CameraNode(Node):
    """Publishes every frame as it arrives, and says when none do."""

    def __init__(self) -> None:
        super().__init__("camera_node", **parameters.GIVEN)
        told = parameters.read(self, Parameters, KEYS)
        frame_id = told.frame_id or f"{told.name}_color_optical_frame"
        self.camera = open_camera(told)
        self._image, self._info, self._troubled = Image(), CameraInfo(), False
        self._image.header.frame_id = self._info.header.frame_id = frame_id
        fill_info(self._info, self.camera.size, self.camera.intrinsics)
        qos = QoSProfile(
            depth=1, reliability=ReliabilityPolicy.RELIABLE if told.reliable else ReliabilityPolicy.BEST_EFFORT
        )
        self._images = self.create_publisher(Image, f"camera/{told.name}/color/image_raw", qos)
        self._infos = self.create_publisher(CameraInfo, f"camera/{told.name}/color/camera_info", qos)
        # The camera's thread only wakes the executor; publishing stays with the node's one thread.
        self.camera.listen(self.create_guard_condition(self._publish).trigger)
        self.create_timer(1.0, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _publish(self) -> None:
        frame, age_s = self.camera.latest(), self.camera.age_s()
        if frame is not None:
            stamp_ns = max(0, self.get_clock().now().nanoseconds - round(age_s * 1e9))
            self._image.header.stamp = self._info.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
            fill(self._image, frame.image, "rgb8")
            self._images.publish(self._image)
            self._infos.publish(self._info)

    def _watch(self) -> None:
        trouble = self.camera.trouble()
        if bool(trouble) is not self._troubled:
            self._troubled = bool(trouble)
            self.get_logger().warning(trouble or f"camera {self.camera.name}: frames arrive again")


def spin() -> None:
    """Publish until told to stop."""
    try:
        with rclpy.init():
            node = CameraNode()
            try:
                rclpy.spin(node)
            finally:
                node.camera.close()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


def main() -> int:
    """The node as a program: 0 where it was told to stop, 2 where its parameters or its camera are wrong."""
    return run_main(spin)


if __name__ == "__main__":
    raise SystemExit(main())
