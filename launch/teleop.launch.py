"""Driven by hand: guard, SpaceMouse and what is between them, with a robot or with the simulated one.

ros2 launch handrail_bringup teleop.launch.py robot:=fr3
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from typing import Any

from handrail_bringup import arguments, nodes
from launch import LaunchDescription


def cell(given: arguments.Given) -> list[Any]:
    """What is started."""
    robot = given["robot"]
    return [
        *nodes.middleware(),
        *(nodes.sim_robot(given, robot) if robot == "sim" else []),
        *nodes.guard(given, robot),
        *nodes.recorder(given, robot),
        *nodes.spacemouse(given),
        *nodes.teleop(given, robot),
    ]


def generate_launch_description() -> LaunchDescription:
    """For `ros2 launch`."""
    own = [
        arguments.argument("robot", "sim", "sim, fr3, panda, ur5e, or the path of your own robot's .yaml."),
        arguments.argument("device", "", "Serial number or path of the SpaceMouse, where several are connected."),
        arguments.argument("frame", "base", "What forward means: in the room, or of the tool.", arguments.FRAMES),
        arguments.argument("task", "pick_cube", "With robot:=sim, what is on the table.", arguments.TASKS),
        *arguments.every_scene(),
    ]
    return arguments.description(__file__, [*own, *arguments.every_cell()], cell)
