"""Stands in for `launch` and `launch_ros`, of which there are no wheels: keeps what a launch file asks for.

Names, keywords and methods are those of the real ones as far as the launch files and `launched.py` use them; any
other keyword is a TypeError here as it is there. `ros2 launch` itself is not imitated.
"""

import json
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import yaml


@dataclass
class LaunchContext:
    launch_configurations: dict = field(default_factory=dict)


@dataclass
class LaunchDescription:
    entities: list


class DeclareLaunchArgument:
    def __init__(self, name, *, default_value=None, description=None, choices=None):
        self.name, self.default_value, self.description, self.choices = name, default_value, description, choices

    def execute(self, context):
        if self.name not in context.launch_configurations and self.default_value is None:
            raise RuntimeError(f'Required launch argument "{self.name}" was not provided.')
        value = context.launch_configurations.setdefault(self.name, self.default_value)
        if self.choices is not None and value not in self.choices:
            raise RuntimeError(f'Argument "{self.name}" provided value "{value}" is not valid. Valid: {self.choices}')


class OpaqueFunction:
    def __init__(self, *, function):
        self.function = function

    def execute(self, context):
        return self.function(context)


class SetEnvironmentVariable:
    def __init__(self, name, value):
        self.name, self.value = name, value


class EmitEvent:
    def __init__(self, *, event):
        self.event = event


class RegisterEventHandler:
    def __init__(self, event_handler):
        self.event_handler = event_handler


class ProcessEvent:
    def __init__(self, *, action, name, cmd, cwd, env, pid):
        self.action, self.process_name, self.pid = action, name, pid


class ProcessStarted(ProcessEvent):
    pass


class ProcessExited(ProcessEvent):
    def __init__(self, *, returncode, **event):
        super().__init__(**event)
        self.returncode = returncode


class OnProcess:
    kind: type

    def __init__(self, target_action, then):
        self._target, self._then = target_action, then

    def matches(self, event):
        return isinstance(event, self.kind) and event.action is self._target

    def handle(self, event, context):
        return self._then(event, context) if callable(self._then) else self._then


class OnProcessStart(OnProcess):
    kind = ProcessStarted

    def __init__(self, *, target_action, on_start):
        super().__init__(target_action, on_start)


class OnProcessExit(OnProcess):
    kind = ProcessExited

    def __init__(self, *, target_action, on_exit):
        super().__init__(target_action, on_exit)


class StateTransition:
    def __init__(self, *, action, msg):
        self.action = action
        self.start_state, self.goal_state = msg.start_state.label, msg.goal_state.label


class OnStateTransition:
    def __init__(self, *, target_lifecycle_node, entities, start_state=None, goal_state=None):
        self._wanted, self._entities = (target_lifecycle_node, start_state, goal_state), entities

    def matches(self, event):
        if not isinstance(event, StateTransition):
            return False
        seen = (event.action, event.start_state, event.goal_state)
        return all(a is None or a == b for a, b in zip(self._wanted, seen, strict=True))

    def handle(self, event, context):
        return self._entities


class ChangeState:
    def __init__(self, *, lifecycle_node_matcher, transition_id):
        self.lifecycle_node_matcher, self.transition_id = lifecycle_node_matcher, transition_id


def matches_action(action):
    return lambda other: other is action


class ParameterValue:
    def __init__(self, value, *, value_type):
        self.value = value_type(value)


@dataclass(kw_only=True, eq=False)
class Node:
    package: str
    executable: str
    name: str
    namespace: str = ""
    parameters: list = field(default_factory=list)
    remappings: list = field(default_factory=list)
    output: str = "log"
    emulate_tty: bool = False
    sigterm_timeout: str = "5"
    respawn: bool = False
    respawn_delay: float | None = None

    def words(self, context: Any) -> list[str]:
        """What follows the program in the command, in the order of `launch_ros`."""
        words = ["--ros-args", "-r", f"__node:={self.name}", "-r", f"__ns:=/{self.namespace.lstrip('/')}"]
        for each in self.parameters:
            if isinstance(each, dict):
                values = {
                    k: v.value if isinstance(v, ParameterValue) else yaml.safe_load(str(v)) for k, v in each.items()
                }
                words += [word for k, v in values.items() for word in ("-p", f"{k}:={json.dumps(v)}")]
            else:
                words += ["--params-file", each]
        return words + [word for a, b in self.remappings for word in ("-r", f"{a}:={b}")]


class LifecycleNode(Node):
    pass


MODULES = {
    "launch": (LaunchContext, LaunchDescription),
    "launch.actions": (
        DeclareLaunchArgument,
        EmitEvent,
        OpaqueFunction,
        RegisterEventHandler,
        SetEnvironmentVariable,
    ),
    "launch.event_handlers": (OnProcessExit, OnProcessStart),
    "launch.events": (matches_action,),
    "launch.events.process": (ProcessExited, ProcessStarted),
    "launch_ros": (),
    "launch_ros.actions": (LifecycleNode, Node),
    "launch_ros.event_handlers": (OnStateTransition,),
    "launch_ros.events": (),
    "launch_ros.events.lifecycle": (ChangeState, StateTransition),
    "launch_ros.parameter_descriptions": (ParameterValue,),
}


def install() -> None:
    """Put the recorder where imports look first."""
    for name, contents in MODULES.items():
        sys.modules[name] = module = ModuleType(name)
        vars(module).update({each.__name__: each for each in contents})
