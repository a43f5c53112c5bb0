"""Read a Minari data set with h5py; what `handrail archive export` has written comes back as it was."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from learner.archive.config import ImportConfig
from learner.archive.formats import hdf5
from learner.archive.formats import minari_layout as layout
from learner.archive.formats.foreign import Foreign, ForeignEpisode, FormatError, frame_names, with_frames
from learner.archive.formats.lerobot_layout import decode_image
from wire.codec import DecodeError, decode_spec
from wire.errors import plain
from wire.specs import EnvSpec
from wire.types import Step

_SUCCESS = ("success", "is_success")


def read(path: Path, config: ImportConfig) -> Foreign:
    """The data set in a folder; raises FormatError where it is none, or of another data format."""
    folder = path / "data" if (path / "data" / layout.METADATA).is_file() else path
    about = _metadata(folder)
    spec, info, remarks = None, {}, []
    if isinstance(about.get("handrail"), dict):
        try:
            spec = decode_spec(json.dumps(about["handrail"]["spec"]))
            info = msgspec.convert(about["handrail"]["info"], dict[str, str])
        except (ValueError, KeyError) as error:
            remarks.append(f"what was kept of the archive cannot be used: {plain(error)}")
    return Foreign(
        episodes=_episodes(folder, about, spec, remarks),
        task=str(about.get("dataset_id", "")),
        env="gym",
        demonstrations=False,
        spec=spec,
        info=info,
        remarks=remarks,
    )


def _metadata(folder: Path) -> dict[str, Any]:
    file = folder / layout.METADATA
    if not file.is_file():
        raise FormatError(
            f"{folder} is no Minari data set: it has no {layout.METADATA}; name the data set's own folder"
        )
    try:
        about = dict(json.loads(file.read_text()))
        kind = str(about["data_format"])
        about["observation_space"] = json.loads(about["observation_space"]) if "observation_space" in about else None
        about["action_space"] = json.loads(about["action_space"]) if "action_space" in about else None
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{file} is damaged: {plain(error)}") from None
    if kind != "hdf5":
        raise FormatError(f"{folder} has the data format {plain(kind, 20)}, wanted hdf5; Minari itself converts it")
    if isinstance(about["action_space"], dict) and about["action_space"].get("type") != "Box":
        kind = about["action_space"].get("type")
        raise FormatError(f"{folder} has {plain(kind, 20)} actions; wanted vectors (Box): robots move in those")
    return about


def _episodes(
    folder: Path, about: Mapping[str, Any], spec: EnvSpec | None, remarks: list[str]
) -> Iterator[ForeignEpisode]:
    with hdf5.opened(folder / layout.DATA) as file:
        for number in range(int(about.get("total_episodes", len(file)))):
            group = hdf5.member(file, f"episode_{number}")
            observations = _observations(group, about)
            success = _success(group)
            exact = None if spec is None else _exact(group, spec, observations)
            if spec is not None and exact is None:
                remarks.append(f"episode {number} was changed after it was exported; what it is now was taken")
            yield ForeignEpisode(
                observations=observations,
                actions=hdf5.array(group, "actions").astype(np.float32),
                rewards=hdf5.array(group, "rewards").astype(np.float64).reshape(-1),
                terminated=bool(hdf5.array(group, "terminations")[-1:].any()),
                success=success,
                exact=exact,
            )


def _observations(group: Any, about: Mapping[str, Any]) -> dict[str, np.ndarray]:
    space = about["observation_space"]
    found = hdf5.member(group, "observations")
    if hasattr(found, "shape"):
        return {"observation": _decoded(group, "observations", space, about)}
    return _inside(found, space, about, "")


def _inside(group: Any, space: Any, about: Mapping[str, Any], prefix: str) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name in group:
        subspace = space.get("subspaces") if isinstance(space, dict) else None
        inner = subspace.get(name) if isinstance(subspace, dict) else None
        if hasattr(hdf5.member(group, name), "shape"):
            found[f"{prefix}{name}"] = _decoded(group, name, inner, about)
        else:
            found |= _inside(group[name], inner, about, f"{prefix}{name}.")
    return found


def _decoded(group: Any, name: str, space: Any, about: Mapping[str, Any]) -> np.ndarray:
    if not (about.get("jpeg_encoding", True) and layout.is_image(space)):
        return hdf5.array(group, name)
    where = f"{group.file.filename}, {group.name}/{name}"
    return np.stack([decode_image(bytes(np.asarray(each, np.uint8)), where) for each in group[name][()]])


def _success(group: Any) -> bool | None:
    infos = group.get("infos")
    for name in _SUCCESS:
        if infos is not None and name in infos:
            return bool(np.any(hdf5.array(infos, name)))
    return None


def _exact(group: Any, spec: EnvSpec, observations: Mapping[str, np.ndarray]) -> Sequence[tuple[str, int, Step]] | None:
    """The steps as they were in the archive; None where they were changed since."""
    try:
        kept = hdf5.member(group, layout.RECORDS)
        ends = np.cumsum(hdf5.array(kept, "length"))
        records = np.split(hdf5.array(kept, "record"), ends[:-1])
        cameras = frame_names(spec)
        looks = [{camera: observations[camera][t] for camera in cameras} for t in range(len(records) + 1)]
        steps = [with_frames(record.tobytes(), looks[t], looks[-1]) for t, record in enumerate(records)]
        same = [
            np.array_equal(np.stack([step.action for step in steps]), hdf5.array(group, "actions")),
            np.array_equal([step.reward for step in steps], hdf5.array(group, "rewards")),
        ]
        same += [
            np.array_equal(np.stack([step.observation[name] for step in steps]), observations[name][: len(steps)])
            for name in spec.observation
        ]
        stream = str(kept.attrs["stream"])
        seqs = hdf5.array(kept, "seq").tolist()
    except (FormatError, DecodeError, KeyError, IndexError, ValueError):
        return None
    return [(stream, seq, step) for seq, step in zip(seqs, steps, strict=True)] if all(same) else None
