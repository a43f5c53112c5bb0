"""One camera as a ROS node, on the topics of realsense2_camera: camera/<name>/color/{image_raw,camera_info}."""

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image

from envs.cameras import CameraConfig, open_camera
from envs.ros.images import fill, fill_info
from wire.errors import UserError, run_main


def declare(node: Node) -> CameraConfig:
    """The camera that the node's parameters describe; they are the fields of CameraConfig."""
    default, any_type = CameraConfig(name="camera"), ParameterDescriptor(dynamic_typing=True)
    keys = ("name", "source", "width", "height", "fps", "playback", "repeat", "auto_exposure")
    values = {key: node.declare_parameter(key, getattr(default, key)).value for key in keys}
    # Digits are a number to ROS, even where they are a serial number or an index.
    values |= {key: str(node.declare_parameter(key, "", any_type).value) for key in ("serial", "device")}
    exposure = node.declare_parameter("exposure", None, any_type).value
    return CameraConfig(**values, exposure=None if exposure is None else float(exposure))


class CameraNode(Node):
    """Publishes every frame as it arrives, and says when none do."""

    def __init__(self) -> None:
        super().__init__("camera_node")
        try:
            config = declare(self)
            reliable = self.declare_parameter("reliable", False).value
            frame_id = self.declare_parameter("frame_id", "").value or f"{config.name}_color_optical_frame"
        except (ParameterException, ValueError) as error:
            raise UserError(f"camera_node: {error}") from error
        self.camera = open_camera(config)
        self._image, self._info, self._troubled = Image(), CameraInfo(), False
        self._image.header.frame_id = self._info.header.frame_id = frame_id
        fill_info(self._info, self.camera.size, self.camera.intrinsics)
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT)
        self._images = self.create_publisher(Image, f"camera/{config.name}/color/image_raw", qos)
        self._infos = self.create_publisher(CameraInfo, f"camera/{config.name}/color/camera_info", qos)
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
