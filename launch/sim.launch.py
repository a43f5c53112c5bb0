"""The whole cell without a robot: guard, simulated robot, its cameras and the actor.

ros2 launch handrail_bringup sim.launch.py task:=reach obs:=state
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from typing import Any

from handrail_bringup import arguments, nodes
from launch import LaunchDescription

ROBOT = "sim"


def cell(given: arguments.Given) -> list[Any]:
    """What is started."""
    return [
        *nodes.middleware(),
        *nodes.sim_robot(given, ROBOT),
        *nodes.guard(given, ROBOT),
        *(nodes.sim_camera(given) if given["cameras"] == "true" else []),
        *nodes.recorder(given, ROBOT),
        *nodes.actor(given, ROBOT),
    ]


def generate_launch_description() -> LaunchDescription:
    """For `ros2 launch`."""
    own = [
        *arguments.every_scene(),
        arguments.argument("cameras", "true", "Whether pictures are rendered and published.", arguments.SWITCH),
    ]
    return arguments.description(__file__, [*arguments.every_actor(), *own, *arguments.every_cell()], cell)
