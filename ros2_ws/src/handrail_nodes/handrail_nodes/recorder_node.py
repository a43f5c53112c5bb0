"""Records the cell's topics, an episode to a rosbag2 folder (MCAP). See envs.ros.recording.

Parameters: robot (a name or the path of a .yaml), folder, images (record the cameras too), max_gb (what the folder may
hold in all).
"""

import sys
from pathlib import Path

from rclpy.exceptions import ParameterException
from rclpy.node import Node

from envs.ros.config import load_robot
from envs.ros.recording import PERIOD_S, Recorder
from envs.ros.ticking import Stop, ros, run
from wire.errors import UserError, run_main


class RecorderNode(Node):
    """Parameters, and the recorder that does the work."""

    def __init__(self) -> None:
        super().__init__("recorder")
        try:
            robot = load_robot(self.declare_parameter("robot", "sim").value)
            folder = self.declare_parameter("folder", "recordings").value
            images = self.declare_parameter("images", True).value
            max_gb = self.declare_parameter("max_gb", 50.0).value
        except ParameterException as error:
            raise UserError(f"recorder_node: {error}") from error
        self.recorder = Recorder(self, robot, Path(folder), images=images, max_gb=max_gb)


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
