"""What people say for demos=, archive=, init=, reward=, run= and addresses: checked, as what the rooms are told."""

import difflib
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from envs.config import EnvConfig
from learner.config import LEARNED_REWARDS
from wire.errors import UserError, plain
from wire.store import StepStore
from wire.types import WRITTEN

_MODEL = "model.json"
_SERVED = ("classifier", "preference")
"""Kinds of models that a reward service of ours serves."""


def scripted_episodes(demos: str) -> int | None:
    """The n of `demos=script:n`, or None where demos is a path or none."""
    kind, _, count = demos.partition(":")
    if kind != "script":
        return None
    if not count.isdigit() or int(count) < 1:
        raise UserError(f"demos=script:<n> needs a number of episodes >= 1, got {demos}; e.g. demos=script:20")
    return int(count)


def demos_path(demos: str) -> Path | None:
    """The file of `demos=<path>`, checked to be there; None for demos=none."""
    if demos == "none":
        return None
    path = Path(demos)
    if not path.is_file():
        raise UserError(
            f"demos must be none, script:<n> or a file of demonstrations, and there is no file {path}; "
            f"record one: handrail demos record --script out={path}"
        )
    return path


def require_fitting(demos: Path, env: EnvConfig) -> None:
    """Raise SpecMismatch where demonstrations are of another environment."""
    with StepStore.read(demos) as store:
        env.require_fitting(store.spec, whose=f"the file of demonstrations {demos}")


def archive_paths(archive: Any) -> list[str]:
    """The paths of `archive=`, one or a list, checked to be there; none where nothing was asked for."""
    if archive is None or archive == "none":
        return []
    return [_archive_path(str(each)) for each in ([archive] if isinstance(archive, str) else archive)]


def _archive_path(archive: str) -> str:
    path = Path(archive)
    if not path.exists():
        names = [each.name for each in path.parent.glob("*")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise UserError(f"archive= names a run, a folder of runs or a file of steps, and there is no {path}{hint}")
    return str(path.absolute())


def init_path(init: str | None) -> str | None:
    """The run of `init=`, checked to be there; None where nothing was asked for."""
    if init is None or init == "none":
        return None
    if not (Path(init) / "checkpoints").is_dir():
        raise UserError(f"init= names an earlier run, and none in {init} has checkpoints; check init=<folder>")
    return str(Path(init).absolute())


def new_run(config: DictConfig) -> Path:
    """The folder that `run=` names, or runs/<date>-<task>-<n>, the first n that is free."""
    if config.run is not None:
        return Path(config.run)
    if config.get("resume", False):
        raise UserError("resume=true needs run=<folder of the run to go on with>")
    task = config.task if config.env.kind != "gym" else config.env.id.rpartition(":")[2].replace("/", "-")
    taken = 1
    # The day is for people, in their own time zone.
    while (path := Path("runs") / f"{date.today():%Y-%m-%d}-{task}-{taken}").exists():  # noqa: DTZ011
        taken += 1
    return path


def checked_address(key: str, address: str) -> str:
    """The address, where it is well-formed; raises UserError."""
    if not re.fullmatch(r"tcp://(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5}|\*)|ipc://\S+", address):
        raise UserError(f"{key} must be tcp://<host>:<port>, got {address}")
    return address


def learned_reward(reward: str) -> tuple[str, str]:
    """What the learner is told of `reward=`: its kind, and where a model gives rewards, the model's version."""
    kind, _, folder = reward.partition(":")
    if kind not in LEARNED_REWARDS:
        return ("task" if reward == "task" else "classifier"), ""
    _require_model(kind, folder)
    found, version = _described(Path(folder))
    if found != kind:
        raise UserError(f"{folder} holds a model of kind {plain(found)}, and reward={kind}: needs a {kind} one")
    return kind, version


def model_of(reward: str) -> Path | None:
    """The folder of `reward=<kind>:<folder>`, checked to hold a model; None for task and for an address."""
    kind, _, folder = reward.partition(":")
    if is_address(reward):
        checked_address("reward", reward)
    elif kind not in ("task", "classifier", *LEARNED_REWARDS):
        near = difflib.get_close_matches(kind, ("task", "classifier", *LEARNED_REWARDS), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        wanted = ", ".join(f"{each}:<folder>" for each in ("classifier", *LEARNED_REWARDS))
        raise UserError(f"reward must be task, {wanted} or tcp://<host>:<port>, got {reward}{hint}")
    if kind not in _SERVED:
        return None
    _require_model(kind, folder)
    return Path(folder)


def rewarder_of(reward: str) -> str | None:
    """The folder of `reward=written:<folder>`, checked to hold such a model; None for all others."""
    if not reward.startswith(f"{WRITTEN}:"):
        return None
    learned_reward(reward)
    return str(Path(reward.partition(":")[2]).absolute())


def is_address(reward: str) -> bool:
    """Whether `reward=` says where a reward service answers."""
    return reward.partition(":")[0] in ("tcp", "ipc")


def service_address(reward: str) -> str | None:
    """The address of the reward service of an actor that starts none; None for reward=task; raises UserError."""
    if reward == "task":
        return None
    if not is_address(reward):
        raise UserError(
            f"reward must be task here, or tcp://<host>:<port> of a service beside the learner, got {plain(reward)}; "
            "start one: handrail rewards serve model=<folder> bind=tcp://0.0.0.0:5556 run=runs/<run>"
        )
    return checked_address("reward", reward)


def version_of(model: Path) -> str:
    """Of the model in a folder; raises UserError where there is none."""
    return _described(model)[1]


def _described(model: Path) -> tuple[str, str]:
    """Kind and version of the model in a folder."""
    try:
        told = json.loads((model / _MODEL).read_bytes())
        return told["kind"], str(told["version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{model / _MODEL} is damaged; restore it from a copy, or train anew") from None


def _require_model(kind: str, folder: str) -> None:
    if not (Path(folder) / _MODEL).is_file():
        how = {
            "classifier": "train one: handrail rewards train runs=[...]",
            "preference": "train one: handrail rewards train kind=preference preferences=<file> runs=[...]",
            "written": "have one written: handrail rewards write goal=<what is wanted>",
        }[kind]
        raise UserError(
            f"reward={kind}:<folder> needs a folder with a model, and there is no {_MODEL} in {folder or 'it'}; "
            f"{how} out={folder or '<folder>'}"
        )
