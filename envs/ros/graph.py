"""Why a topic is silent, in one sentence: what the graph says of it, what was expected, and what to do."""

import difflib
import math
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible

from envs.ros.inputs import Input

NAMELESS = "a node that has not said its name yet"
"""Of which so far only the topic was discovered; what rclpy calls it is no name that a person could look for."""
_RCLPY_NAMELESS = "_NODE_NAME_UNKNOWN_"


def publishers(node: Node, topic: str) -> str:
    """Who publishes a topic, by name, for people: `/guard, /robot/driver`."""
    infos: list[Any] = node.get_publishers_info_by_topic(topic)
    return ", ".join(sorted(_name(info) for info in infos))


def why_silent(node: Node, topic: Input[Any], wanted_by: str) -> str:
    """What keeps an input from its messages.

    Args:
        node: Whose view of the graph is asked.
        topic: The input.
        wanted_by: What sets the topic's name, e.g. `current_pose in the robot's file`.
    """
    if topic.problem:
        return topic.problem
    kind = _type_name(topic.kind)
    infos = node.get_publishers_info_by_topic(topic.topic)
    if not infos:
        return f"nobody publishes {topic.topic} ({kind}); {_instead(node, topic.topic, kind)}or set {wanted_by}"
    kinds = {info.topic_type for info in infos}
    if kind not in kinds:
        return f"{topic.topic} is published as {', '.join(sorted(kinds))}, wanted {kind}; set {wanted_by}"
    for info in infos:
        verdict, why = qos_check_compatible(info.qos_profile, topic.qos)
        if verdict == QoSCompatibility.ERROR:
            return (
                f"the QoS of {topic.topic} does not fit that of its publisher {_name(info)}: "
                f"{why.strip().rstrip(';')}; let it publish reliably, or subscribe best effort"
            )
    names = publishers(node, topic.topic)
    if math.isinf(topic.age_s()):
        return f"{topic.topic} is advertised by {names}, but nothing has arrived; is that node active?"
    return f"{topic.topic} fell silent {topic.age_s():.2f} s ago; look at {names}"


def why_no_time(node: Node) -> str:
    """What is wrong with a clock that stands at zero under use_sim_time; empty: it runs, or is the machine's own."""
    if not node.get_parameter("use_sim_time").value or node.get_clock().now().nanoseconds > 0:
        return ""
    if node.count_publishers("/clock") == 0:
        return "use_sim_time is set, but nobody publishes /clock; start the simulator, or set use_sim_time:=false"
    return "use_sim_time is set, but /clock stands at zero; is the simulation paused?"


def two_robots(node: Node, topic: Input[Any]) -> str:
    """What is wrong where more than one robot reports on one topic; empty: nothing."""
    if topic.rivals() <= 1:
        return ""
    names = publishers(node, topic.topic)
    return (
        f"{topic.rivals()} nodes publish {topic.topic} ({names}): two robots on one domain? Give each its own "
        "ROS_DOMAIN_ID or namespace"
    )


def _name(info: Any) -> str:
    if info.node_name == _RCLPY_NAMELESS:
        return NAMELESS
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def _instead(node: Node, topic: str, kind: str) -> str:
    same = [name for name, kinds in node.get_topic_names_and_types() if kind in kinds and name != topic]
    near = difflib.get_close_matches(topic, same, n=1, cutoff=0.3)
    return f"did you mean {near[0]}? start the driver, " if near else "start the driver, "


def _type_name(kind: Any) -> str:
    package, middle, _ = kind.__module__.split(".", 2)
    return f"{package}/{middle}/{kind.__name__}"
