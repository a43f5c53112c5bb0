"""The simulated robot: publishes and obeys what a real arm, its gripper and its drivers do. See envs.ros.sim_robot."""

import sys
from dataclasses import dataclass

from rclpy.node import Node

from envs.config import EnvConfig
from envs.ros.config import PERIOD_S, load_robot
from envs.ros.sim_robot import SimRobot, SimRobotServer
from envs.ros.ticking import Stop, ros, run
from envs.tasks import build
from handrail_nodes import parameters
from wire.errors import run_main


@dataclass(frozen=True)
class Parameters:
    """What the robot is told."""

    robot: str = "sim"
    """Whose topics."""
    task: str = "pick_cube"
    """Whose things are on the table."""
    scene: str = "plain"
    clearance_mm: float = 0.0
    """Of task=peg_insert; 0: its default."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the parameter, what was got and what is wanted."""
        EnvConfig(task=self.task, scene=self.scene, clearance_mm=self.clearance_mm or None)


class SimRobotNode(Node):
    """Parameters, and the server that does the work."""

    def __init__(self) -> None:
        super().__init__("sim_robot", **parameters.GIVEN)
        told = parameters.read(self, Parameters)
        task = build(told.task, told.clearance_mm or None)
        self.server = SimRobotServer(self, load_robot(told.robot), SimRobot(task, scene_name=told.scene))


def simulate() -> int:
    """Be a robot until SIGINT or SIGTERM."""
    with ros(urgent=True):
        node, stop = SimRobotNode(), Stop()
        return run(node, node.server.tick, PERIOD_S, stop)


def main() -> None:
    """`ros2 run handrail_nodes sim_robot_node`."""
    sys.exit(run_main(simulate))


if __name__ == "__main__":
    main()
