"""The actor's settings as ROS parameters: those of `handrail actor`, with their names and defaults.

`human.<key>` and `external.<key>` are those of docs/human.md and docs/steering.md.
"""

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rclpy.node import Node

from actor.config import ActorConfig, ExternalConfig
from envs.config import EnvConfig
from handrail.external import external_config
from handrail.linking import with_actor_keys
from handrail.values import checked_address, service_address
from handrail_nodes import hand_parameters, parameters

ENV = ("task", "obs", "image_size", "robot")
ACTOR = ("learner", "human", "outbox", "outbox_cap_gb", "confirm_s", "trunk", "seed")
PATHS = ("outbox", "trunk", "steer")
_EXTERNAL, _SKILL = "external.", "human.skill"


@dataclass(frozen=True)
class Said:
    """What is said here as at the front door, where the actor itself is told something else."""

    reward: str = "task"
    """task, or the address of a reward service."""
    policy: str = "learner"
    policy_address: str | None = None
    steer: str | None = None
    keys: str | None = None
    """Folder of the link's keys; None: where `handrail keys new` puts them, if the link needs any."""
    key: str | None = None
    """Which of them is ours; None: the only one."""
    insecure: bool = False


EXTERNAL_KEYS = [each.name for each in dataclasses.fields(ExternalConfig) if each.name not in ("address", "steer")]
ALL: parameters.Wanted = {
    **parameters.wanted(EnvConfig, ENV),
    **parameters.wanted(ActorConfig, ACTOR),
    **parameters.wanted(Said),
    **hand_parameters.ALL,
    **parameters.wanted(ExternalConfig, EXTERNAL_KEYS, prefix=_EXTERNAL, optional=True),
    _SKILL: (str, ActorConfig.skill),
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
    # A shell expands ~ at the beginning of a word, not after :=.
    values |= {name: str(Path(values[name]).expanduser()) for name in PATHS if values[name] is not None}
    said = Said(**{each.name: values[each.name] for each in dataclasses.fields(Said)})
    checked_address("learner", values["learner"])
    told = ActorConfig(
        env=_env(node, values, words),
        hand=hand_parameters.hand(values["human"], values),
        skill=values[_SKILL],
        judge=service_address(said.reward),
        external=external_config(said.policy, said.policy_address, said.steer, parameters.given(values, _EXTERNAL)),
        **{name: values[name] for name in ACTOR},
    )
    return with_actor_keys(told, OmegaConf.create({"keys": said.keys, "name": said.key, "insecure": said.insecure}))


def remapping(words: list[str]) -> list[str]:
    """The topics that a launch file remaps for this node, which its actor has to know too."""
    rules = [rule for flag, rule in itertools.pairwise(words) if flag in ("-r", "--remap")]
    return [rule for rule in rules if not rule.partition(":=")[0].rpartition(":")[2].startswith("__")]


def _env(node: Node, values: dict[str, Any], words: list[str]) -> EnvConfig:
    own = {name: values[name] for name in ENV}
    return EnvConfig(env="ros", namespace=node.get_namespace(), remap=remapping(words), **own)
