"""The keys that a room's links need, put into what the room is told; raises UserError, naming the commands to run."""

import dataclasses
from typing import TypeVar

from omegaconf import DictConfig

from actor.config import ActorConfig, EvalConfig, PolicyServerConfig
from handrail.keys import link_folder, require_actor_keys, require_learner_keys
from learner.config import LearnerConfig
from rewards.config import ServeConfig
from wire.addresses import is_local
from wire.errors import UserError

Served = TypeVar("Served", ServeConfig, PolicyServerConfig)
Driven = TypeVar("Driven", ActorConfig, EvalConfig)


def with_learner_keys(told: LearnerConfig, link: DictConfig) -> LearnerConfig:
    """The learner's settings with the keys that its link needs; raises UserError, naming the commands to run."""
    folder = link_folder(told.bind, link["keys"], insecure=link.insecure)
    if folder is None:
        return dataclasses.replace(told, insecure=link.insecure)
    require_learner_keys(told.bind, folder)
    return dataclasses.replace(told, keys=str(folder.absolute()))


def with_service_keys(told: Served, link: DictConfig) -> Served:
    """The settings of what is served, with the keys that its link needs: the learner's; raises UserError."""
    folder = link_folder(told.bind, link["keys"], insecure=link.insecure)
    if folder is None:
        return dataclasses.replace(told, insecure=link.insecure)
    require_learner_keys(told.bind, folder)
    return dataclasses.replace(told, keys=str(folder.absolute()))


def with_actor_keys(told: Driven, link: DictConfig, *, own: str | None = None) -> Driven:
    """The actor's settings with the keys that its links need; raises UserError, naming the commands to run.

    Args:
        told: The settings.
        link: What was said of the link.
        own: Address of the reward service that is started for this actor alone, and has no keys.
    """
    addresses = [] if told.external is None else [told.external.address]
    if isinstance(told, ActorConfig):
        addresses = [told.learner, *addresses, *([] if told.judge in (None, own) else [told.judge])]
    asking = [(each, link_folder(each, link["keys"], insecure=link.insecure)) for each in addresses]
    keyed = tuple(each for each, found in asking if found is not None)
    if not keyed:
        return dataclasses.replace(told, insecure=link.insecure)
    folder = next(found for _, found in asking if found is not None)
    named = {"keys": str(folder.absolute()), "key": require_actor_keys(keyed[0], folder, link.name)}
    return dataclasses.replace(told, **named, **({"keyed": keyed} if isinstance(told, ActorConfig) else {}))


def require_here(key: str, address: str | None) -> None:
    """Raise UserError where an address leaves this machine, and those who speak to it have no keys."""
    if address is None or is_local(address):
        return
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    here = f"{scheme}://127.0.0.1:{port}"
    raise UserError(
        f"{key}={address} leaves this machine, and the rooms of handrail sim have no keys for that: serve it at {here} "
        f"there, forward the port, ssh -N -L {port}:127.0.0.1:{port} {host}, and set {key}={here}; or start handrail "
        "learner and handrail actor, which have keys"
    )
