"""The nodes of a cell as launch actions: one process a concern, each started again where that is safe."""

# ROS brings `launch` and `launch_ros`; there are no wheels of them.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from launch.actions import EmitEvent, RegisterEventHandler, SetEnvironmentVariable
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.events import matches_action
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from handrail_bringup.arguments import Given, config_folder, number, whole

PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"
RESPAWN_S, DEVICE_RESPAWN_S = 1.0, 5.0
WRONG_INPUT = 2
"""Exit code of a node that was given something wrong."""
ACTOR_STOP_S = "15"
"""The actor's last steps go to disk before it ends."""


def middleware() -> list[Any]:
    """Fast DDS with room for pictures, for every node, unless the user has set another profile."""
    if PROFILE in os.environ:
        return []
    return [SetEnvironmentVariable(PROFILE, str(Path(config_folder()) / "fastdds.xml"))]


def guard(given: Given, robot: str) -> list[Any]:
    """The guard. It comes back holding, so it may always be started again."""
    return _steady(_node("guard", given, {"robot": robot}, respawn_s=RESPAWN_S))


def sim_robot(given: Given, robot: str) -> list[Any]:
    """The simulated robot."""
    told = {"robot": robot, **_scene(given)}
    return _steady(_node("sim_robot", given, told, respawn_s=RESPAWN_S))


def sim_camera(given: Given) -> list[Any]:
    """The simulated robot's cameras."""
    return _steady(_node("sim_camera", given, _scene(given), respawn_s=RESPAWN_S))


def _scene(given: Given) -> dict[str, str | float]:
    """What robot and cameras of a simulation have to agree on."""
    return {"task": given["task"], "scene": given["scene"], "clearance_mm": number(given, "clearance_mm")}


def camera(given: Given, name: str) -> list[Any]:
    """The camera that a serial number or a device names, if any. It is looked for until it is plugged in."""
    serial, device = given[f"{name}_serial"], given[f"{name}_device"]
    if serial and device:
        raise RuntimeError(f"{name}_serial is of a RealSense, {name}_device of any other camera; give one of them")
    if not (serial or device):
        return []
    told = {"name": name, "serial": serial, "device": device, "source": "uvc" if device else "realsense"}
    return [_node(f"camera_{name}", given, told, program="camera", respawn_s=DEVICE_RESPAWN_S)]


def spacemouse(given: Given) -> list[Any]:
    """The SpaceMouse; it is looked for until it is plugged in."""
    return [_node("spacemouse", given, {"device": given["device"]}, respawn_s=DEVICE_RESPAWN_S)]


def teleop(given: Given, robot: str) -> list[Any]:
    """What drives the robot as the hand on `spacenav/joy` wants."""
    return [_node("teleop", given, {"robot": robot, "frame": given["frame"]}, respawn_s=DEVICE_RESPAWN_S)]


def recorder(given: Given, robot: str) -> list[Any]:
    """The recorder, where a folder was named."""
    if not given["record"]:
        return []
    return [_node("recorder", given, {"folder": given["record"], "robot": robot})]


def actor(given: Given, robot: str) -> list[Any]:
    """The actor, and the way through its lifecycle; nothing moves before it is active."""
    if given["actor"] == "false":
        return []
    names = ("task", "obs", "learner", "human", "outbox", "keys", "reward", "trunk")
    names += ("policy", "policy_address", "steer")
    numbers = {name: whole(given, name) for name in ("image_size", "seed")}
    told = {"robot": robot, **{name: given[name] for name in names}, **numbers}
    respawn_s = RESPAWN_S if given["actor_respawn"] == "true" else None
    node = _node("actor", given, told, kind=LifecycleNode, respawn_s=respawn_s, sigterm_timeout=ACTOR_STOP_S)
    configure = RegisterEventHandler(
        OnProcessStart(target_action=node, on_start=[_change(node, Transition.TRANSITION_CONFIGURE)])
    )
    # Only from `configuring`: an operator who deactivates the actor has it inactive too, and wants it to stay so.
    activate = RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state="configuring",
            goal_state="inactive",
            entities=[_change(node, Transition.TRANSITION_ACTIVATE)],
        )
    )
    return [configure, *([activate] if given["autostart"] == "true" else []), node]


def _change(node: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))


def _node(
    name: str,
    given: Given,
    told: Mapping[str, str | int | float],
    *,
    program: str = "",
    kind: type = Node,
    respawn_s: float | None = None,
    sigterm_timeout: str = "5",
) -> Any:
    """A node of ours: its parameter file, then what it is told by this launch."""
    program = program or name
    file = Path(given["config"]) / f"{program}.yaml"
    if (Path(config_folder()) / file.name).is_file() and not file.is_file():
        raise RuntimeError(
            f"config:={given['config']} holds no {file.name}; copy {config_folder()} and change the copy"
        )
    files = [str(file)] if file.is_file() else []
    _require_apart(files, told)
    return kind(
        package="handrail_nodes",
        executable=f"{program}_node",
        name=name,
        namespace=given["namespace"],
        parameters=[*files, {key: _typed(value) for key, value in told.items()}],
        output="screen",
        emulate_tty=True,
        sigterm_timeout=sigterm_timeout,
        respawn=respawn_s is not None,
        respawn_delay=respawn_s,
    )


def _require_apart(files: list[str], told: Mapping[str, Any]) -> None:
    """Raise RuntimeError where a parameter file sets what the launch sets, which would win without a word."""
    for file in files:
        sections = (yaml.safe_load(Path(file).read_text()) or {}).values()
        both = {name for section in sections for name in (section or {}).get("ros__parameters") or {} if name in told}
        if both:
            names = ", ".join(sorted(both))
            raise RuntimeError(
                f"{file} sets {names}, which the launch file says: delete it there, give it as an argument"
            )


def _typed(value: str | int | float) -> Any:
    # Else `launch` would take a serial number, or a folder called 2026, for a number.
    return ParameterValue(value, value_type=str) if isinstance(value, str) else value


def _steady(node: Any) -> list[Any]:
    """A node that ends the launch where it was given something wrong: started again, it would only say so again."""

    def ended(event: Any, context: Any) -> list[Any]:
        if event.returncode == WRONG_INPUT:
            # An exception, because after a Shutdown `ros2 launch` would report success.
            raise RuntimeError(f"{event.process_name} was given something wrong; its own words are above")
        return []

    return [RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended)), node]
