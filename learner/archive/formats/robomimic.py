"""Read the HDF5 files of robomimic and its kin: data/demo_N/{actions, obs/*, next_obs/*, rewards, dones}."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from learner.archive.config import ImportConfig
from learner.archive.formats import hdf5
from learner.archive.formats.foreign import Foreign, ForeignEpisode, FormatError


def read(path: Path, config: ImportConfig) -> Foreign:
    """The demonstrations in a file; raises FormatError where it is of another layout."""
    with hdf5.opened(path) as file:
        data = hdf5.member(file, "data")
        about = _about(data)
    options = about.get("env_kwargs")
    options = options if isinstance(options, dict) else {}
    robots = options.get("robots")
    rate_hz = options.get("control_freq")
    return Foreign(
        episodes=_episodes(path),
        task=str(about.get("env_name") or ""),
        robot=", ".join(map(str, robots)) if isinstance(robots, list) else str(robots or "unknown"),
        env="sim",
        rate_hz=float(rate_hz) if isinstance(rate_hz, int | float) else None,
    )


def _about(data: Any) -> dict[str, Any]:
    try:
        about = json.loads(data.attrs.get("env_args", "{}"))
    except ValueError:
        about = {}
    return about if isinstance(about, dict) else {}


def _episodes(path: Path) -> Iterator[ForeignEpisode]:
    with hdf5.opened(path) as file:
        data = hdf5.member(file, "data")
        names = sorted(data, key=lambda name: (int(found[0]) if (found := re.findall(r"\d+", name)) else 0, name))
        for name in names:
            yield _episode(hdf5.member(data, name))


def _episode(demo: Any) -> ForeignEpisode:
    if "obs" not in demo:
        raise FormatError(
            f"{demo.file.filename}: {demo.name} has states but no observations; robomimic makes them: "
            "python -m robomimic.scripts.dataset_states_to_obs"
        )
    actions = hdf5.array(demo, "actions").astype(np.float32)
    observations = hdf5.arrays(hdf5.member(demo, "obs"))
    if "next_obs" in demo:
        after = hdf5.arrays(hdf5.member(demo, "next_obs"))
        if after.keys() == observations.keys():
            observations = {name: np.concatenate([each, after[name][-1:]]) for name, each in observations.items()}
    rewards = hdf5.array(demo, "rewards").astype(np.float64).reshape(-1) if "rewards" in demo else None
    # `dones` is also set at time limits, so only a reward tells a success.
    success = None if rewards is None else bool(len(rewards) and rewards[-1] > 0)
    return ForeignEpisode(
        observations=observations, actions=actions, rewards=rewards, terminated=bool(success), success=success
    )
