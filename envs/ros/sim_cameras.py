"""The simulated robot's cameras, in a process of their own, so that physics never waits for a picture.

in    sim_robot/state     std_msgs/Float64MultiArray   where everything is
sim_robot/episode   std_msgs/String              what it looks like, at every reset
out   camera/<name>/color/image_raw, camera_info       as realsense2_camera names them
"""

# MuJoCo's compiled module comes without type stubs.
# pyright: reportAttributeAccessIssue=false

import math
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64MultiArray, String

from envs.cameras.camera import Intrinsics
from envs.config import one_of
from envs.ros.images import fill, fill_info
from envs.ros.inputs import LATCHED, RELIABLE, SENSOR, Input
from envs.ros.sim_episode import decode_episode
from envs.sim import scene
from envs.sim.cell import SimCell
from envs.sim.rendering import Pictures
from envs.tabletop import TabletopTask
from wire.errors import UserError

ROBOT = "sim_robot"


class SimCameras:
    """Renders what the robot's state says; its owner calls `tick` at the frame rate."""

    def __init__(
        self, node: Node, task: TabletopTask, *, scene_name: str, size: tuple[int, int], names: Sequence[str]
    ) -> None:
        """Open the topics.

        Args:
            node: Whose they are.
            task: As the robot's.
            scene_name: As the robot's.
            size: Width and height of the pictures, pixels.
            names: Which cameras.

        Raises:
            UserError: Where there is no such camera.
            GraphicsUnavailableError: Where no GL library works here.
        """
        for name in names:
            try:
                one_of("cameras", name, scene.CAMERAS)
            except ValueError as error:
                raise UserError(str(error)) from error
        self._node = node
        self._cell = SimCell(task, obs="proprio", scene_name=scene_name)
        self._pictures = Pictures(self._cell.model, width=size[0], height=size[1])
        self._state = Input(node, Float64MultiArray, f"{ROBOT}/state", check=self._problem, qos=SENSOR)
        self._episode = Input(node, String, f"{ROBOT}/episode", qos=LATCHED)
        self._publishers = {
            name: (
                node.create_publisher(Image, f"camera/{name}/color/image_raw", RELIABLE),
                node.create_publisher(CameraInfo, f"camera/{name}/color/camera_info", RELIABLE),
                _intrinsics(self._cell.model, scene.CAMERAS[name], size),
            )
            for name in names
        }
        self._size = size

    def tick(self) -> None:
        """Publish a picture of each camera, where the robot has said something new."""
        if self._episode.take() and self._episode.message is not None:
            self._cell.restart(*decode_episode(self._episode.message.data, self._cell.things()))
        if not self._state.take() or self._state.message is None:
            return
        stamp = self._node.get_clock().now().to_msg()
        model, data = self._cell.model, self._cell.data
        data.qpos[:], data.mocap_pos[:] = self._split(self._state.message)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        for name, (images, infos, intrinsics) in self._publishers.items():
            image, info = Image(), CameraInfo()
            image.header.stamp = info.header.stamp = stamp
            image.header.frame_id = info.header.frame_id = f"{name}_color_optical_frame"
            fill(image, self._pictures.take(data, scene.CAMERAS[name]), "rgb8")
            fill_info(info, self._size, intrinsics)
            images.publish(image)
            infos.publish(info)

    def close(self) -> None:
        """Release the renderer."""
        self._pictures.close()
        self._cell.close()

    def _split(self, message: Any) -> tuple[np.ndarray, np.ndarray]:
        values = np.array(message.data)
        return values[: self._cell.model.nq], values[self._cell.model.nq :].reshape(-1, 3)

    def _problem(self, message: Float64MultiArray) -> str | None:
        wanted = self._cell.model.nq + 3 * self._cell.model.nmocap
        if len(message.data) == wanted:
            return None
        return f"a state of {len(message.data)} numbers, wanted {wanted}; start robot and cameras with the same task"


def _intrinsics(model: mujoco.MjModel, camera: str, size: tuple[int, int]) -> Intrinsics:
    width, height = size
    focal_px = height / 2.0 / math.tan(math.radians(float(model.camera(camera).fovy[0])) / 2.0)
    return Intrinsics(fx=focal_px, fy=focal_px, cx=width / 2.0, cy=height / 2.0)
