"""A node's parameters: all that it takes, with defaults; a wrong one ends the node before anything moves.

ROS passes over a name that nobody declared in silence: `max_sped_m_s` would leave a robot as fast as it was.
"""

import array
import dataclasses
import difflib
import typing
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from wire.errors import UserError, plain

T = TypeVar("T")
Wanted = Mapping[str, tuple[Any, Any]]
"""Name of a parameter -> its type, and its default."""

GIVEN: dict[str, Any] = {"automatically_declare_parameters_from_overrides": True}
"""How a node is made whose parameters are read here: it then knows of all that it was given."""
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
_WORDS = {
    str: "a text",
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    tuple[str, ...]: "a list of texts",
    tuple[int, ...]: "a list of whole numbers",
}


def wanted(kind: type, only: Collection[str] = (), *, prefix: str = "", optional: bool = False) -> Wanted:
    """The fields of a dataclass as parameters.

    Args:
        kind: The dataclass.
        only: Which of its fields; all, where none are named.
        prefix: Goes before their names.
        optional: They have no default: one that is not given is None.
    """
    types = typing.get_type_hints(kind)
    names = {each.name: each.default for each in dataclasses.fields(kind) if not only or each.name in only}
    if optional:
        return {f"{prefix}{name}": (types[name] | None, None) for name in names}
    return {f"{prefix}{name}": (types[name], default) for name, default in names.items()}


def declare(node: Node, parameters: Wanted) -> None:
    """Declare them, so that `ros2 param` shows them."""
    for name, (kind, default) in parameters.items():
        if not node.has_parameter(name):
            # A text that may be missing is "" here, for ROS has no null.
            missing = "" if default is None and kind == str | None else default
            node.declare_parameter(name, missing, ParameterDescriptor(dynamic_typing=True))


def values(node: Node, parameters: Wanted) -> dict[str, Any]:
    """What those declared are; raises UserError where one is not of its type, or the node was given yet another."""
    for name in node.get_parameters_by_prefix(""):
        if name not in parameters and not name.startswith(_OF_ROS):
            near = difflib.get_close_matches(name, parameters, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(parameters))}"
            raise UserError(f"{node.get_name()} has no parameter {plain(name)}; {hint}")
    return {name: _judged(node, name, kind) for name, (kind, _) in parameters.items()}


def given(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What was given of a group of optional parameters, by their names without the prefix."""
    found = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    return {name: value for name, value in found.items() if value is not None}


def read(node: Node, kind: type[T], only: Collection[str] = ()) -> T:
    """A dataclass, or some fields of it, of what the node was given, judged by its own checks too; raises UserError."""
    parameters = wanted(kind, only)
    declare(node, parameters)
    try:
        return kind(**values(node, parameters))
    except ValueError as error:
        raise UserError(f"{node.get_name()}: {error}") from error


def _judged(node: Node, name: str, kind: Any) -> Any:
    value: Any = node.get_parameter_or(name).value
    if isinstance(value, array.array):
        value = list(value)
    if value == "" and kind == str | None:
        return None
    # Digits are a number to ROS, even where they are a serial number.
    if kind in (str, str | None) and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{node.get_name()}: {name} must be {said(kind)}, got {plain(value)}") from error


def said(kind: Any) -> str:
    """A type in words; one that may also be missing is told as what it is otherwise."""
    present = [each for each in typing.get_args(kind) if type(None) in typing.get_args(kind) and each is not type(None)]
    return _WORDS[present[0] if present else kind]
