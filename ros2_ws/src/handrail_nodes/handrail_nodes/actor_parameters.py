"""The actor's settings as ROS parameters: those of `handrail actor`, with their names and defaults.

`human.<key>` and `external.<key>` are those of docs/human.md and docs/steering.md; one that is not given is as it is
for that instrument. A button that means nothing is -1, for ROS has no null.
"""

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node

from actor.config import HAND, ActorConfig, ExternalConfig, HandConfig
from envs.config import EnvConfig
from handrail.external import external_config
from handrail.values import checked_address, service_address
from handrail_nodes import parameters

ENV = ("task", "obs", "image_size", "robot")
ACTOR = ("learner", "human", "outbox", "outbox_cap_gb", "insecure", "keys", "key", "confirm_s", "trunk", "seed")
_HUMAN, _EXTERNAL = "human.", "external."


@dataclass(frozen=True)
class Said:
    """What is said here as at the front door, where the actor itself is told something else."""

    reward: str = "task"
    """task, or the address of a reward service."""
    policy: str = "learner"
    policy_address: str | None = None
    steer: str | None = None


HAND_KEYS = [each.name for each in dataclasses.fields(HandConfig) if each.name != "kind"]
EXTERNAL_KEYS = [each.name for each in dataclasses.fields(ExternalConfig) if each.name not in ("address", "steer")]
ALL: parameters.Wanted = {
    **parameters.wanted(EnvConfig, ENV),
    **parameters.wanted(ActorConfig, ACTOR),
    **parameters.wanted(Said),
    **parameters.wanted(HandConfig, HAND_KEYS, prefix=_HUMAN, optional=True),
    **parameters.wanted(ExternalConfig, EXTERNAL_KEYS, prefix=_EXTERNAL, optional=True),
}


def declare(node: Node) -> None:
    """Declare them all."""
    parameters.declare(node, ALL)


def read(node: Node, words: list[str]) -> ActorConfig:
    """What they say; raises ValueError or UserError, naming the parameter, where it makes no sense.

    Args:
        node: Whose parameters, and whose namespace.
        words: The node's command line, with what a launch file remaps.
    """
    values = parameters.values(node, ALL)
    env = EnvConfig(
        env="ros", namespace=node.get_namespace(), remap=remapping(words), **{name: values[name] for name in ENV}
    )
    said = Said(**{each.name: values[each.name] for each in dataclasses.fields(Said)})
    checked_address("learner", values["learner"])
    return ActorConfig(
        env=env,
        hand=_hand(values["human"], _given(values, _HUMAN)),
        judge=service_address(said.reward),
        external=external_config(said.policy, said.policy_address, said.steer, _given(values, _EXTERNAL)),
        **{name: values[name] for name in ACTOR},
    )


def remapping(words: list[str]) -> list[str]:
    """The topics that a launch file remaps for this node, which its actor has to know too."""
    rules = [rule for flag, rule in itertools.pairwise(words) if flag in ("-r", "--remap")]
    return [rule for rule in rules if not rule.partition(":=")[0].rpartition(":")[2].startswith("__")]


def _given(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """What was given of a group, by its key."""
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix) and value is not None
    }


def _hand(human: str, given: dict[str, Any]) -> HandConfig:
    """The instrument's own settings, with what was given in the place of them."""
    given = {key: None if key.endswith("_button") and value == -1 else value for key, value in given.items()}
    return dataclasses.replace(HAND.get(human, HandConfig()), **given)
