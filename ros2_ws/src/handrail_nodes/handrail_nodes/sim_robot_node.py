"""The simulated robot: publishes and obeys what a real arm, its gripper and its drivers do. See envs.ros.sim_robot.

Parameters: robot (whose topics), task (whose things are on the table), scene (plain or varied), clearance_mm (of
peg_insert; 0: its default).
"""

import sys

from rclpy.node import Node

from envs.config import EnvConfig
from envs.ros.config import PERIOD_S, load_robot
from envs.ros.sim_robot import SimRobot, SimRobotServer
from envs.ros.ticking import Stop, ros, run
from envs.tasks import build
from wire.errors import UserError, run_main


class SimRobotNode(Node):
    """Parameters, and the server that does the work."""

    def __init__(self) -> None:
        super().__init__("sim_robot")
        robot = load_robot(self.declare_parameter("robot", "sim").value)
        task = self.declare_parameter("task", "pick_cube").value
        scene = self.declare_parameter("scene", "plain").value
        clearance_mm = self.declare_parameter("clearance_mm", 0.0).value or None
        try:
            EnvConfig(task=task, scene=scene, clearance_mm=clearance_mm)
        except ValueError as error:
            raise UserError(str(error)) from error
        self.server = SimRobotServer(self, robot, SimRobot(build(task, clearance_mm), scene_name=scene))


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
