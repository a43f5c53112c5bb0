"""The simulated robot: publishes and obeys what a real arm, its gripper and its drivers do. See envs.ros.sim_robot.

Parameters: robot (whose topics), task (whose things are on the table), scene (plain or varied).
"""

import sys

from rclpy.node import Node

from envs.config import SCENES, TASKS, one_of
from envs.ros.config import PERIOD_S, load_robot
from envs.ros.sim_robot import SimRobot, SimRobotServer
from envs.ros.ticking import Stop, ros, run
from envs.tasks import TASKS as BUILT
from wire.errors import UserError, run_main


class SimRobotNode(Node):
    """Parameters, and the server that does the work."""

    def __init__(self) -> None:
        super().__init__("sim_robot")
        robot = load_robot(self.declare_parameter("robot", "sim").value)
        task = self.declare_parameter("task", "pick_cube").value
        scene = self.declare_parameter("scene", "plain").value
        try:
            one_of("task", task, TASKS)
            one_of("scene", scene, SCENES)
        except ValueError as error:
            raise UserError(str(error)) from error
        self.server = SimRobotServer(self, robot, SimRobot(BUILT[task](), scene_name=scene))


def simulate() -> int:
    """Be a robot until SIGINT or SIGTERM."""
    with ros(urgent=True):
        stop, node = Stop(), SimRobotNode()
        return run(node, node.server.tick, PERIOD_S, stop)


def main() -> None:
    """`ros2 run handrail_nodes sim_robot_node`."""
    sys.exit(run_main(simulate))


if __name__ == "__main__":
    main()
