"""The arguments of the launch files: what several of them take, and what is wrong with those given."""

# ROS brings `launch`; there is no wheel of it.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import difflib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction

TASKS = ("pick_cube", "reach", "peg_insert")
OBSERVATIONS = ("pixels", "state", "proprio")
SCENES = ("plain", "varied")
HUMANS = ("none", "script", "spacemouse", "spacemice", "gamepad", "keyboard", "joy", "twist", "leader")
ROBOTS = ("fr3", "panda", "ur5e", "sim")
POLICIES = ("learner", "external")
FRAMES = ("base", "tool")
SWITCH = ("true", "false")

Given = dict[str, str]
"""Name of an argument -> its value, as text."""


def argument(name: str, default: str | None, text: str, choices: Sequence[str] | None = None) -> DeclareLaunchArgument:
    """An argument; without a default it must be given."""
    choices = None if choices is None else list(choices)
    return DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)


def config_folder() -> str:
    """Where the parameter files are installed."""
    return str(Path(get_package_share_directory("handrail_bringup")) / "config")


def every_cell() -> list[DeclareLaunchArgument]:
    """What all launch files take."""
    return [
        argument("namespace", "", "Of all nodes and topics, e.g. left, where two cells share one ROS domain."),
        argument("config", config_folder(), "Folder of the nodes' parameter files: a copy of yours, to change."),
        argument("record", "", "Folder for recordings (MCAP) of the cell's topics, one per episode; empty: none."),
    ]


def every_actor() -> list[DeclareLaunchArgument]:
    """What launch files with an actor take."""
    return [
        argument("task", "pick_cube", "What is to be learned.", TASKS),
        argument("obs", "pixels", "What the policy sees: cameras, poses of the objects, or neither.", OBSERVATIONS),
        argument("image_size", "64", "Width and height of the pictures that the policy sees, pixels."),
        argument("learner", "tcp://127.0.0.1:5555", "Address of the learner."),
        argument("human", "none", "Who may take over; script: the task's scripted corrector.", HUMANS),
        argument("reward", "task", "What a success is: task, or a reward service, tcp://<host>:5556."),
        argument("trunk", "", "File of the frozen trunk that the policy stands on; empty: one of those installed."),
        argument("policy", "learner", "Whose policy drives.", POLICIES),
        argument("policy_address", "", "Of policy:=external: where it is served, tcp://<host>:<port>."),
        argument("steer", "", "Of policy:=external: folder of the run whose critics choose among what it proposes."),
        argument("outbox", "outbox.sqlite", "File in which steps wait until the learner has them on its disk."),
        argument("seed", "0", "Of the actor's random numbers."),
        argument("keys", "", "Folder of the keys for a learner elsewhere; empty: where `handrail keys new` puts them."),
        argument("actor", "true", "Whether there is an actor; without one the cell comes up alone.", SWITCH),
        argument("autostart", "true", "Activate the actor; if not: ros2 lifecycle set /actor activate.", SWITCH),
        argument("actor_respawn", "false", "Start the actor again, and activate it, whenever it ends.", SWITCH),
    ]


def every_camera(name: str) -> list[DeclareLaunchArgument]:
    """What a launch file takes for a camera of the workcell; with neither its topics are somebody else's to publish."""
    return [
        argument(f"{name}_serial", "", f"Serial number of the {name} RealSense; empty: it is none of ours."),
        argument(
            f"{name}_device", "", f"Index or path of a {name} camera that is no RealSense, e.g. /dev/v4l/by-id/..."
        ),
    ]


def every_scene() -> list[DeclareLaunchArgument]:
    """What launch files with a simulated robot take."""
    return [
        argument("scene", "plain", "What the table looks like; varied: anew in every episode.", SCENES),
        argument("clearance_mm", "0", "Of task:=peg_insert: 2, 1 or 0.5 mm between peg and socket; 0: 2."),
    ]


def description(
    file: str, arguments: Sequence[DeclareLaunchArgument], cell: Callable[[Given], list[Any]]
) -> LaunchDescription:
    """A launch file: its arguments, and `cell`, which makes actions of what was given."""
    names = [each.name for each in arguments]

    def begin(context: LaunchContext) -> list[Any]:
        require_known(Path(file).name, sys.argv, names)
        return cell({name: context.launch_configurations[name] for name in names})

    return LaunchDescription([*arguments, OpaqueFunction(function=begin)])


def require_known(file: str, command: Sequence[str], names: Sequence[str]) -> None:
    """Raise RuntimeError where the command that launched `file` gives an argument that it does not take.

    `launch` passes over such arguments in silence; here `lerner:=...` would set a robot going with another learner.
    Where `file` is included by one of the user's own, that file's arguments are not ours to judge.
    """
    if file not in {Path(word).name for word in command}:
        return
    for given in [word.partition(":=")[0] for word in command if ":=" in word]:
        if given not in names:
            near = difflib.get_close_matches(given, names, n=1)
            hint = f"did you mean {near[0]}" if near else f"it takes {', '.join(names)}"
            raise RuntimeError(f"{file} has no argument {given}; {hint}")


def number(given: Given, name: str) -> float:
    """A number from 0 upwards; raises RuntimeError where it is none."""
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", given[name]):
        raise RuntimeError(f"{name} must be a number >= 0, got {given[name]!r}; e.g. {name}:=1.5")
    return float(given[name])


def whole(given: Given, name: str) -> int:
    """A whole number; raises RuntimeError where it is none."""
    if not re.fullmatch(r"\d{1,9}", given[name]):
        raise RuntimeError(f"{name} must be a whole number, got {given[name]!r}; e.g. {name}:=64")
    return int(given[name])
