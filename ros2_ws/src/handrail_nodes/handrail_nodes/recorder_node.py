"""Records the cell's topics, an episode to a rosbag2 folder (MCAP). See envs.ros.recording."""

import sys
from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node

from envs.ros.config import load_robot
from envs.ros.recording import PERIOD_S, Recorder
from envs.ros.ticking import Stop, ros, run
from handrail_nodes import parameters
from wire.errors import run_main


@dataclass(frozen=True)
class Parameters:
    """What the recorder is told."""

    robot: str = "sim"
    """A name, or the path of a .yaml."""
    folder: str = "recordings"
    images: bool = True
    """Whether the cameras are recorded too."""
    max_gb: float = 50.0
    """What the folder may hold in all, 10^9 bytes."""


class RecorderNode(Node):
    """Parameters, and the recorder that does the work."""

    def __init__(self) -> None:
        super().__init__("recorder", **parameters.GIVEN)
        told = parameters.read(self, Parameters)
        self.recorder = Recorder(
            self, load_robot(told.robot), Path(told.folder), images=told.images, max_gb=told.max_gb
        )


def record() -> int:
    """Record until SIGINT or SIGTERM; the last episode is complete then."""
    with ros():
        node, stop = RecorderNode(), Stop()
        try:
            return run(node, node.recorder.tick, PERIOD_S, stop)
        finally:
            node.recorder.close()


def main() -> None:
    """`ros2 run handrail_nodes recorder_node`."""
    sys.exit(run_main(record))


if __name__ == "__main__":
    main()
