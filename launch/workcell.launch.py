"""A real cell: guard, cameras and the actor, beside the robot's own drivers and controllers, which run already.

ros2 launch handrail_bringup workcell.launch.py robot:=fr3 learner:=tcp://gpu-box:5555
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from typing import Any

from handrail_bringup import arguments, nodes
from launch import LaunchDescription

CAMERAS = ("front", "wrist")


def cell(given: arguments.Given) -> list[Any]:
    """What is started."""
    robot = given["robot"]
    return [
        *nodes.middleware(),
        *nodes.guard(given, robot),
        *(action for name in CAMERAS for action in nodes.camera(given, name)),
        *nodes.recorder(given, robot),
        *nodes.actor(given, robot),
    ]


def generate_launch_description() -> LaunchDescription:
    """For `ros2 launch`."""
    robot = arguments.argument("robot", None, "fr3, panda, ur5e, or the path of your own robot's .yaml.")
    cameras = [each for name in CAMERAS for each in arguments.every_camera(name)]
    return arguments.description(__file__, [robot, *cameras, *arguments.every_actor(), *arguments.every_cell()], cell)
