"""What is told of policies that are served by one process and drive a robot in another."""

import difflib
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from actor.config import ExternalConfig, PolicyServerConfig
from handrail.settings import checked, plain_node
from handrail.values import checked_address
from wire.errors import UserError


def external_settings(config: DictConfig, *, own: str = "learner") -> ExternalConfig | None:
    """What is told of a policy that is served elsewhere; None where ours acts, whose name is `own`."""
    more = plain_node(config.external)
    return external_config(config.policy, config.policy_address, config.steer, more, own=own)


def external_config(
    policy: str, address: str | None, steer: str | None, more: dict[str, Any], *, own: str = "learner"
) -> ExternalConfig | None:
    """The same from what is said of each.

    Args:
        policy: external, or `own`.
        address: Where it is served.
        steer: Whose critics choose, if any.
        more: Further fields of ExternalConfig.
        own: What ours is called.
    """
    if policy not in (own, "external"):
        near = difflib.get_close_matches(policy, (own, "external"), n=1)
        raise UserError(f"policy must be {own} or external, got {policy}{f'; did you mean {near[0]}?' if near else ''}")
    if policy != "external":
        for key, value in (("policy_address", address), ("steer", steer)):
            if value is not None:
                raise UserError(f"{key}= goes with policy=external; add that, or drop {key}={value}")
        return None
    if address is None:
        raise UserError(
            "policy=external is served somewhere: set policy_address=tcp://<host>:<port>; for one of a run's start "
            "handrail policy serve run=<run>"
        )
    address, steer = checked_address("policy_address", address), None if steer is None else _critics_of(steer)
    return checked(lambda: ExternalConfig(address=address, steer=steer, **more))


def _critics_of(steer: str) -> str:
    """The path of `steer=`, checked to be there."""
    path = Path(steer)
    if not path.exists():
        names = [str(each) for each in path.parent.glob("*")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(str(path), names, n=1, cutoff=0.8)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"steer= names a run, or its critic.weights, and there is no {path}{hint}")
    return str(path.absolute())


def policy_server_settings(config: DictConfig) -> PolicyServerConfig:
    """What serves a run's policy is told."""
    keys = ("run", "candidates", "noise", "seed")
    if not Path(config.run).is_dir():
        raise UserError(f"there is no run in {config.run}; check run=<folder>")
    bind = checked_address("bind", config.bind)
    return checked(lambda: PolicyServerConfig(bind=bind, **{key: config[key] for key in keys}))
