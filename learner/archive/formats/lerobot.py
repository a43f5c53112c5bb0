"""Read LeRobotDataset v3.0 with pyarrow and av; what `handrail archive export` has written comes back as it was."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from learner.archive.config import ImportConfig
from learner.archive.formats import lerobot_layout as layout
from learner.archive.formats.foreign import (
    Foreign,
    ForeignEpisode,
    FormatError,
    frame_names,
    needed,
    vector_names,
    with_frames,
)
from learner.archive.formats.video import VideoReader, quiet
from wire.codec import DecodeError, decode_spec
from wire.errors import plain
from wire.specs import EnvSpec
from wire.types import Step

_OBSERVATION = "observation."
_CHANGED = "the data was changed after it was exported; what it is now was taken, not what it was"


def read(path: Path, config: ImportConfig) -> Foreign:
    """The data set in a folder; raises FormatError where it is none, or of another version."""
    info = _info(path)
    features, remarks = info["features"], []
    kept = _Kept.of(path, remarks)
    names = features.get(layout.ACTION, {}).get("names")
    data = _DataSet(path, info, kept)
    return Foreign(
        episodes=data.episodes(remarks),
        task=data.task,
        robot=str(info.get("robot_type") or "unknown"),
        rate_hz=float(info["fps"]),
        action_names=tuple(map(str, names)) if isinstance(names, list) else (),
        spec=None if kept is None else kept.spec,
        joined={} if kept is None else {layout.STATE.removeprefix(_OBSERVATION): vector_names(kept.spec)},
        lossy_images=any(feature.get("dtype") == "video" for feature in features.values()),
        info={} if kept is None else kept.info,
        remarks=remarks,
    )


def _info(path: Path) -> dict[str, Any]:
    file = path / layout.INFO
    if not file.is_file():
        raise FormatError(f"{path} is no LeRobotDataset: it has no {layout.INFO}; name the data set's own folder")
    try:
        info = json.loads(file.read_text())
        version, features, _ = str(info["codebase_version"]), dict(info["features"]), float(info["fps"])
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{file} is damaged: {plain(error)}") from None
    if not version.startswith("v3."):
        raise FormatError(
            f"{path} is of LeRobotDataset {plain(version, 20)}, wanted {layout.VERSION}; "
            "LeRobot itself converts it: lerobot.datasets.v30.convert_dataset_v21_to_v30"
        )
    if layout.ACTION not in features:
        raise FormatError(f"{path} has no feature {layout.ACTION}; it has {', '.join(features)}")
    return info


class _DataSet:
    """The tables and videos of a data set."""

    def __init__(self, path: Path, info: Mapping[str, Any], kept: "_Kept | None") -> None:
        self._path, self._info, self._kept = path, info, kept
        self._features: Mapping[str, Any] = info["features"]
        self._videos: dict[tuple[str, int, int], VideoReader] = {}
        self._episodes = self._sorted_episodes()
        tasks = self._episodes[0].get("tasks") if self._episodes else None
        self.task = str(tasks[0]) if isinstance(tasks, list) and tasks else ""

    def _sorted_episodes(self) -> list[dict[str, Any]]:
        files = sorted((self._path / "meta" / "episodes").glob("*/*.parquet"))
        if not files:
            raise FormatError(f"{self._path} has no table of episodes (meta/episodes); copy it whole")
        rows = [row for file in files for row in _read(file).to_pylist()]
        return sorted(rows, key=lambda row: row["episode_index"])

    def episodes(self, remarks: list[str]) -> Iterator[ForeignEpisode]:
        """Each episode in columns, and exactly where the archive from which it came was kept beside it."""
        by_file = itertools.groupby(self._episodes, lambda row: (row["data/chunk_index"], row["data/file_index"]))
        for (chunk, number), rows in by_file:
            file = self._path / str(self._info["data_path"]).format(chunk_index=chunk, file_index=number)
            table = _read(file)
            indices = table.column("episode_index").to_numpy()
            for row in rows:
                found = np.flatnonzero(indices == row["episode_index"])
                if len(found) != row["length"]:
                    raise FormatError(
                        f"{file} has {len(found)} frames of episode {row['episode_index']}, its table {row['length']}"
                    )
                yield self._episode(row, table.slice(int(found[0]), len(found)), remarks)

    def _episode(self, row: Mapping[str, Any], table: Any, remarks: list[str]) -> ForeignEpisode:
        observations = {}
        for key, feature in self._features.items():
            if key.startswith(_OBSERVATION):
                name = key.removeprefix(layout.IMAGES).removeprefix(_OBSERVATION)
                observations[name] = self._observation(key, feature, row, table)
        actions = _column(table, layout.ACTION).astype(np.float32).reshape(table.num_rows, -1)
        rewards = _column(table, layout.REWARD) if layout.REWARD in self._features else None
        success = bool(_column(table, layout.SUCCESS).any()) if layout.SUCCESS in self._features else None
        helped = _column(table, layout.HELPED).astype(bool) if layout.HELPED in self._features else None
        exact = None
        if self._kept is not None:
            exact = self._kept.steps(table, observations)
            if exact is None and _CHANGED not in remarks:
                remarks.append(_CHANGED)
        return ForeignEpisode(
            observations=observations,
            actions=actions,
            rewards=None if rewards is None else rewards.astype(np.float64).reshape(-1),
            terminated=bool(success),
            success=success,
            helped=helped if helped is not None and helped.any() else None,
            exact=exact,
        )

    def _observation(self, key: str, feature: Mapping[str, Any], row: Mapping[str, Any], table: Any) -> np.ndarray:
        if feature["dtype"] == "video":
            return self._video_frames(key, row)
        if feature["dtype"] == "image":
            where = f"{self._path}, {key} of episode {row['episode_index']}"
            return np.stack([layout.decode_image(each["bytes"], where) for each in table.column(key).to_pylist()])
        return _column(table, key)

    def _video_frames(self, key: str, row: Mapping[str, Any]) -> np.ndarray:
        place = row[f"videos/{key}/chunk_index"], row[f"videos/{key}/file_index"]
        rate_hz = float(self._info["fps"])
        if (key, *place) not in self._videos:
            self._videos = {each: reader for each, reader in self._videos.items() if each[0] != key}
            pattern = str(self._info["video_path"])
            path = self._path / pattern.format(video_key=key, chunk_index=place[0], file_index=place[1])
            self._videos[key, *place] = VideoReader(path, rate_hz)
        first = round(row[f"videos/{key}/from_timestamp"] * rate_hz)
        with quiet():
            return self._videos[key, *place].take(first, row["length"])


class _Kept:
    """What an export has kept beside the data set: the records of the steps, in the order of its frames."""

    def __init__(self, path: Path, spec: EnvSpec, info: dict[str, str]) -> None:
        self.spec, self.info = spec, info
        self._records = iter(_read(path / layout.RECORDS).to_pylist())
        finals = path / layout.FINAL_FRAMES
        rows = _read(finals).to_pylist() if finals.exists() else []
        self._final = {(row["stream"], row["seq"], row["camera"]): row["image"] for row in rows}
        self._cameras, self._vectors = frame_names(spec), vector_names(spec)

    @classmethod
    def of(cls, path: Path, remarks: list[str]) -> "_Kept | None":
        """What was kept; None where nothing was, or where it is damaged."""
        file = path / layout.ABOUT
        if not file.is_file():
            return None
        try:
            about = json.loads(file.read_text())
            spec = decode_spec(json.dumps(about["spec"]))
            info = msgspec.convert(about["info"], dict[str, str])
            return cls(path, spec, info)
        except (ValueError, KeyError, TypeError, FormatError) as error:
            remarks.append(f"{file} cannot be used, so the plain data set was taken: {plain(error)}")
            return None

    def steps(self, table: Any, observations: Mapping[str, np.ndarray]) -> Sequence[tuple[str, int, Step]] | None:
        """As many of the next steps as the table of an episode has rows; None where an export of them were another."""
        rows = list(itertools.islice(self._records, table.num_rows))
        if len(rows) < table.num_rows:
            return None
        try:
            steps = [(row["stream"], row["seq"], self._step(row, t, observations)) for t, row in enumerate(rows)]
        except (DecodeError, FormatError, KeyError):
            return None
        columns = layout.columns_of([step for *_, step in steps], self._vectors)
        same = columns.keys() <= set(table.column_names) and all(
            np.array_equal(values, _column(table, name).reshape(len(steps), -1).reshape(values.shape))
            for name, values in columns.items()
        )
        return steps if same else None

    def _step(self, row: Mapping[str, Any], t: int, observations: Mapping[str, np.ndarray]) -> Step:
        frames = {camera: observations[camera][t] for camera in self._cameras}
        final = {
            camera: layout.decode_image(image, "a final frame")
            for camera in self._cameras
            if (image := self._final.get((row["stream"], row["seq"], camera))) is not None
        }
        return with_frames(row["record"], frames, final)


def _column(table: Any, name: str) -> np.ndarray:
    """A column as an array, its lists as rows of it."""
    column = table.column(name).combine_chunks()
    if hasattr(column, "flatten") and not hasattr(column.type, "names") and hasattr(column.type, "value_type"):
        flat = column.flatten()
        while hasattr(flat.type, "value_type") and hasattr(flat, "flatten"):
            flat = flat.flatten()
        return flat.to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return column.to_numpy(zero_copy_only=False)


def _read(path: Path) -> Any:
    """A parquet file; raises FormatError where it cannot be read."""
    if not path.is_file():
        raise FormatError(f"there is no {path}, which the data set names; copy it whole")
    pa = needed("pyarrow")
    try:
        return needed("pyarrow.parquet").read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FormatError(f"{path} is no intact parquet file: {plain(error, 120)}") from None
