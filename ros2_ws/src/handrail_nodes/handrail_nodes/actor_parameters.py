"""The actor's settings as ROS parameters: those of `handrail actor`, with their defaults."""

import itertools
from typing import Any

from rclpy.node import Node

from actor.config import HAND, ActorConfig, HandConfig
from envs.config import EnvConfig

ENV = ("task", "obs", "image_size", "robot")
ACTOR = ("learner", "human", "outbox", "outbox_cap_gb", "insecure", "keys", "key", "seed")
_OPTIONAL = ("keys", "key")


def declare(node: Node) -> None:
    """Declare them all."""
    for name in (*ENV, *ACTOR):
        default = getattr(EnvConfig if name in ENV else ActorConfig, name)
        node.declare_parameter(name, "" if default is None else default)


def read(node: Node, words: list[str]) -> ActorConfig:
    """What they say; raises ValueError or TypeError, naming the parameter, where it makes no sense.

    Args:
        node: Whose parameters, and whose namespace.
        words: The node's command line, with what a launch file remaps.
    """
    values: dict[str, Any] = {name: node.get_parameter(name).value for name in (*ENV, *ACTOR)}
    values = {name: None if value == "" and name in _OPTIONAL else value for name, value in values.items()}
    env = EnvConfig(
        env="ros", namespace=node.get_namespace(), remap=remapping(words), **{name: values[name] for name in ENV}
    )
    hand = HAND.get(values["human"], HandConfig())
    return ActorConfig(env=env, hand=hand, **{name: values[name] for name in ACTOR})


def remapping(words: list[str]) -> list[str]:
    """The topics that a launch file remaps for this node, which its actor has to know too."""
    rules = [rule for flag, rule in itertools.pairwise(words) if flag in ("-r", "--remap")]
    return [rule for rule in rules if not rule.partition(":=")[0].rpartition(":")[2].startswith("__")]
