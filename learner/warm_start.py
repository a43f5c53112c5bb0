"""Begin with what an earlier run learned: actor, critics, normaliser, optimisers and schedules."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from learner.checkpoint import read_newest
from learner.config import AgentConfig, SacConfig
from learner.run import ARCHIVE
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.store import StepStore

_SUBSTITUTES = {"average_policy": "policy", "average_encoder": "encoder", "target_critics": "critics"}
"""Parts that an agent may lack, and which of its parts serves in their place."""
_OWN = ("seed",)
_NORMS = {"embed": "agent.hyperspherical=true", "norm_in": "agent.batch_norm=true", "norm_0": "agent.layer_norm=true"}
"""A layer of the critics -> the setting that it comes of; they are looked for in this order."""


def warm_start(state: Any, earlier: Path, spec: EnvSpec, say: Callable[[str], None]) -> Any:
    """A new state with everything in it that the earlier run has too; what it has not stays new, and is said.

    The number of gradient steps goes on, and with it what fades over them (`agent.bc_fade_steps`). Where the critics
    are new it begins anew too: the pull to prior actions fades because critics come to know better.

    Args:
        state: From an agent's `init`.
        earlier: Folder of the run to begin with, offline or online, of any agent.
        spec: Of this run; the earlier one must sense and act like it.
        say: Told what a person must know.

    Raises:
        UserError: There is no whole checkpoint, or observations, actions or networks differ: both sides are named.
    """
    _require_fitting(earlier, spec)
    saved = read_newest(earlier)
    leaves, treedef = jax.tree_util.tree_flatten_with_path(state)
    names = ["/".join(map(_key, path)) for path, _ in leaves]
    found = [_saved(name, saved) for name in names]
    if any(_part(name) == "critics" and value is None for name, value in zip(names, found, strict=True)):
        found = [None if name == "step" else value for name, value in zip(names, found, strict=True)]
    problems = [
        f"{name} is {value.shape} there, {leaf.shape} here"
        for name, value, (_, leaf) in zip(names, found, leaves, strict=True)
        if value is not None and value.shape != leaf.shape
    ]
    if problems and (differing := _differing_norm(saved.keys(), names)):
        raise UserError(f"init={earlier} is of another network than this run's agent: {differing}")
    if problems:
        raise UserError(
            f"init={earlier} is of another network than this run's agent: {problems[0]}"
            f"{f' and {len(problems) - 1} more' if problems[1:] else ''}; set agent.hidden, agent.critics, "
            "agent.layer_norm and agent.embedding as that run has them"
        )
    missing = [name for name, value in zip(names, found, strict=True) if value is None]
    new = sorted({_part(name) for name in missing} - set(_OWN))
    if "policy" in new:
        raise UserError(f"init={earlier} holds no policy that this run's agent could begin with")
    if new:
        say(f"begins with {earlier}; these parts begin anew, for it has none that fit: {', '.join(new)}")
    else:
        say(f"begins with {earlier}, everything restored")
    values = [leaf if value is None else value for value, (_, leaf) in zip(found, leaves, strict=True)]
    return jax.tree_util.tree_unflatten(treedef, [jax.numpy.asarray(value) for value in values])


def adopted(agent: AgentConfig, earlier: str | None) -> AgentConfig:
    """The agent's settings, with as many critics as the earlier run has, where nobody asked for a number."""
    if earlier is None or not isinstance(agent, SacConfig) or agent.critics is not None:
        return agent
    head = read_newest(Path(earlier)).get("critics/head/b")
    return agent if head is None else dataclasses.replace(agent, critics=len(head))


def _require_fitting(earlier: Path, spec: EnvSpec) -> None:
    archive = earlier / ARCHIVE
    if not archive.exists():
        raise UserError(f"init= names a run, and there is none in {earlier} ({ARCHIVE} is missing)")
    with StepStore.read(archive) as store:
        if lines := spec.policy_differences(store.spec):
            raise UserError(
                f"this run (here) cannot begin with {earlier} (there): {'; '.join(lines)}; set task, obs and env as "
                "that run has them"
            )


def _differing_norm(there: Iterable[str], here: Iterable[str]) -> str:
    """In what norm the critics differ, and the setting that mends it; empty where they do not, or one side has none."""
    norms = [_norm(each) for each in (there, here)]
    if None in norms or norms[0] == norms[1]:
        return ""
    return f"its critics have {norms[0]}, this run's {norms[1]}; set {norms[0]}, or name another run"


def _norm(names: Iterable[str]) -> str | None:
    layers = {name.split("/")[2] for name in names if name.startswith("critics/trunk/")}
    found = (setting for layer, setting in _NORMS.items() if layer in layers)
    return next(found, "agent.layer_norm=false") if layers else None


def _part(name: str) -> str:
    first, *rest = name.split("/")
    return f"optimiser of {rest[0]}" if first == "optimisers" else first


def _saved(name: str, saved: dict[str, np.ndarray]) -> np.ndarray | None:
    part, _, rest = name.partition("/")
    if part in _OWN:
        return None
    for candidate in (part, f"trained/{part}", _SUBSTITUTES.get(part), f"trained/{_SUBSTITUTES.get(part)}"):
        value = saved.get(f"{candidate}/{rest}" if rest else f"{candidate}")
        if value is not None:
            return value
    return None


def _key(entry: Any) -> str:
    for attribute in ("name", "key", "idx"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)
