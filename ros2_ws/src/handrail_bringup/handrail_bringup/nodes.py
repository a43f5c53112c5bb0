"""The nodes of a cell as launch actions: one process a concern, each started again where that is safe."""

# ROS brings `launch` and `launch_ros`; there are no wheels of them.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launch.actions import EmitEvent, RegisterEventHandler, SetEnvironmentVariable
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.events import matches_action
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from handrail_bringup.arguments import Given, config_folder, whole

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
    told = {"robot": robot, "task": given["task"], "scene": given["scene"]}
    return _steady(_node("sim_robot", given, told, respawn_s=RESPAWN_S))


def sim_camera(given: Given) -> list[Any]:
    """The simulated robot's cameras."""
    told = {"task": given["task"], "scene": given["scene"]}
    return _steady(_node("sim_camera", given, told, respawn_s=RESPAWN_S))


def camera(given: Given, name: str, serial: str) -> list[Any]:
    """A RealSense. One that is missing is looked for until it is plugged in."""
    told = {"name": name, "serial": serial}
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
    told: Mapping[str, str | int],
    *,
    program: str = "",
    kind: type = Node,
    respawn_s: float | None = None,
    sigterm_timeout: str = "5",
) -> Any:
    """A node of ours: its parameter file, then what it is told by this launch."""
    program = program or name
    file = Path(given["config"]) / f"{program}.yaml"
    if not file.is_file():
        raise RuntimeError(
            f"config:={given['config']} holds no {file.name}; copy {config_folder()} and change the copy"
        )
    return kind(
        package="handrail_nodes",
        executable=f"{program}_node",
        name=name,
        namespace=given["namespace"],
        parameters=[str(file), {key: _typed(value) for key, value in told.items()}],
        output="screen",
        emulate_tty=True,
        sigterm_timeout=sigterm_timeout,
        respawn=respawn_s is not None,
        respawn_delay=respawn_s,
    )


def _typed(value: str | int) -> Any:
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
