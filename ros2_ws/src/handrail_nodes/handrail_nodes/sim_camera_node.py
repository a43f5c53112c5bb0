"""The simulated robot's cameras. See envs.ros.sim_cameras for their topics."""

import contextlib
import sys
from dataclasses import dataclass

from rclpy.node import Node

from envs.config import EnvConfig
from envs.graphics import settle_backend
from envs.ros.sim_cameras import SimCameras
from envs.ros.ticking import Stop, ros, run
from envs.tasks import build
from handrail_nodes import parameters
from wire.errors import require, run_main


@dataclass(frozen=True)
class Parameters:
    """What the cameras are told; task and scene as the robot."""

    task: str = "pick_cube"
    scene: str = "plain"
    clearance_mm: float = 0.0
    """Of task=peg_insert; 0: its default."""
    cameras: tuple[str, ...] = ("front", "wrist")
    width: int = 128
    """Pixels."""
    height: int = 128
    rate_hz: float = 30.0

    def __post_init__(self) -> None:
        """Raise ValueError naming the parameter, what was got and what is wanted."""
        EnvConfig(task=self.task, scene=self.scene, clearance_mm=self.clearance_mm or None)
        for name, value in (("width", self.width), ("height", self.height)):
            require(16 <= value <= 8192, f"{name} must be 16 to 8192 pixels, got {value}")
        require(0 < self.rate_hz <= 1000, f"rate_hz must be in 0..1000 (0 excluded), got {self.rate_hz:g}")


class SimCameraNode(Node):
    """Parameters, and the cameras that do the work."""

    def __init__(self) -> None:
        super().__init__("sim_camera", **parameters.GIVEN)
        told = parameters.read(self, Parameters)
        self.period_s = 1.0 / told.rate_hz
        settle_backend()
        size = told.width, told.height
        task = build(told.task, told.clearance_mm or None)
        self.cameras = SimCameras(self, task, scene_name=told.scene, size=size, names=told.cameras)


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
