"""Demonstrations of SERL and HIL-SERL: pickled lists of transitions, with observations that may hold several frames."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from learner.archive.config import ImportConfig
from learner.archive.formats.demo_pickle import read_arrays
from learner.archive.formats.foreign import Foreign, ForeignEpisode, FormatError

_KEYS = ("observations", "next_observations", "actions", "rewards", "masks", "dones")


def read(path: Path, config: ImportConfig) -> Foreign:
    """The demonstrations in a .pkl file, or in all of a folder; raises FormatError."""
    files = sorted(path.glob("*.pkl")) if path.is_dir() else [path]
    if not files:
        raise FormatError(f"{path} holds no .pkl file; name a file of demonstrations, or their folder")
    return Foreign(episodes=(episode for file in files for episode in _episodes(file)), env="ros", robot="franka")


def _episodes(file: Path) -> Iterator[ForeignEpisode]:
    transitions = read_arrays(file)
    if not isinstance(transitions, list) or not transitions:
        raise FormatError(f"{file} holds a {type(transitions).__name__}; wanted a list of transitions")
    under_way: list[Mapping[str, Any]] = []
    for number, transition in enumerate(transitions):
        _check(file, number, transition)
        if under_way and not _follows(under_way[-1], transition):
            yield _episode(under_way)
            under_way = []
        under_way.append(transition)
        if bool(transition["dones"]):
            yield _episode(under_way)
            under_way = []
    if under_way:
        yield _episode(under_way)


def _check(file: Path, number: int, transition: Any) -> None:
    if not isinstance(transition, dict):
        raise FormatError(f"{file}: transition {number} is a {type(transition).__name__}; wanted a dictionary")
    missing = [key for key in _KEYS if key not in transition]
    if missing:
        raise FormatError(f"{file}: transition {number} has no {missing[0]}; it has {', '.join(map(str, transition))}")
    if not isinstance(transition["actions"], np.ndarray) or transition["actions"].ndim != 1:
        raise FormatError(f"{file}: the actions of transition {number} are no vector")
    for key in ("observations", "next_observations"):
        values = transition[key]
        if not isinstance(values, dict) or not values or not all(isinstance(v, np.ndarray) for v in values.values()):
            raise FormatError(f"{file}: the {key} of transition {number} are no dictionary of arrays")


def _follows(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the one's next observation is the other's."""
    there = after["observations"]
    return all(np.array_equal(values, there.get(name)) for name, values in before["next_observations"].items())


def _episode(transitions: list[Mapping[str, Any]]) -> ForeignEpisode:
    seen = [transition["observations"] for transition in transitions] + [transitions[-1]["next_observations"]]
    last = transitions[-1]
    helped = np.array(["intervene_action" in (each.get("infos") or {}) for each in transitions])
    return ForeignEpisode(
        observations={name: np.stack([_newest(name, each[name]) for each in seen]) for name in seen[0]},
        actions=np.stack([np.asarray(each["actions"], np.float32) for each in transitions]),
        rewards=np.array([float(each["rewards"]) for each in transitions]),
        # Their masks are 0 after time limits too: only a reward tells a success, and nothing tells a failure.
        terminated=float(last["rewards"]) > 0,
        success=float(last["rewards"]) > 0,
        helped=helped if helped.any() else None,
    )


def _newest(name: str, values: np.ndarray) -> np.ndarray:
    """The newest frame of a stack: images (frames, height, width, 3), states (frames, n)."""
    if values.ndim in (2, 4) and values.dtype != object:
        return values[-1]
    return values
