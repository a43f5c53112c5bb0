"""The simulated robot's cameras. See envs.ros.sim_cameras for their topics.

Parameters: task and scene (as the robot's), cameras (names), width, height (pixels), rate_hz.
"""

import contextlib
import sys

from rclpy.node import Node

from envs.graphics import settle_backend
from envs.ros.sim_cameras import SimCameras
from envs.ros.ticking import Stop, ros, run
from envs.tasks import TASKS
from wire.errors import UserError, run_main


class SimCameraNode(Node):
    """Parameters, and the cameras that do the work."""

    def __init__(self) -> None:
        super().__init__("sim_camera")
        task = self.declare_parameter("task", "pick_cube").value
        scene = self.declare_parameter("scene", "plain").value
        names = self.declare_parameter("cameras", ["front", "wrist"]).value
        size = self.declare_parameter("width", 128).value, self.declare_parameter("height", 128).value
        self.period_s = 1.0 / self.declare_parameter("rate_hz", 30.0).value
        if task not in TASKS:
            raise UserError(f"task must be one of {', '.join(TASKS)}, got {task}")
        settle_backend()
        self.cameras = SimCameras(self, TASKS[task](), scene_name=scene, size=size, names=names)


def film() -> int:
    """Publish pictures until SIGINT or SIGTERM."""
    with ros():
        node, stop = SimCameraNode(), Stop()
        with contextlib.closing(node.cameras):
            return run(node, node.cameras.tick, node.period_s, stop)


def main() -> None:
    """`ros2 run handrail_nodes sim_camera_node`."""
    sys.exit(run_main(film))


if __name__ == "__main__":
    main()
