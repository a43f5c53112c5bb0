"""Write LeRobotDataset v3.0 with pyarrow and av: parquet for numbers, a video for each camera, or lossless PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from learner.archive.config import ExportConfig
from learner.archive.formats import lerobot_layout as layout
from learner.archive.formats.foreign import frame_names, needed, vector_names, without_frames
from learner.archive.formats.lerobot_stats import ImageStats, VectorStats
from learner.archive.formats.video import PIXELS, VideoReader, VideoWriter, peak_signal_to_noise_db, quiet
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.store import EpisodeSummary, Row

_CHECKED_IMAGES = 64
"""Of each camera so many are decoded again in the end, to say what the codec has cost."""


class DataSet:
    """Writes one data set, an episode after the other."""

    def __init__(self, out: Path, spec: EnvSpec, info: Mapping[str, str], config: ExportConfig) -> None:
        self._out, self._spec, self._facts = out, spec, info
        self._cameras, self._vectors = frame_names(spec), vector_names(spec)
        self._remarks: list[str] = []
        self._codec = self._usable_codec(config.codec)
        self._quality = config.quality
        self._rate = int(spec.rate_hz) if spec.rate_hz == int(spec.rate_hz) else spec.rate_hz
        self._stats: dict[str, VectorStats | ImageStats] = {}
        self._episodes: list[dict[str, Any]] = []
        self._frames = 0
        self._data = _Rotating(out, layout.DATA, layout.DATA_BYTES)
        self._records = _Table(out / layout.RECORDS)
        self._final = _Table(out / layout.FINAL_FRAMES)
        self._videos: dict[str, VideoWriter] = {}
        self._video_numbers = dict.fromkeys(self._cameras, 0)
        self._samples: dict[str, list[tuple[int, np.ndarray]]] = {camera: [] for camera in self._cameras}

    def add(self, summary: EpisodeSummary, rows: Sequence[Row]) -> None:
        """Write an episode, all its steps with their frames."""
        columns = self._columns(rows)
        for name in (layout.STATE, layout.ACTION, layout.REWARD):
            if name in columns:
                self._stats.setdefault(name, VectorStats()).add(columns[name])  # type: ignore[arg-type]
        places = {camera: self._add_images(camera, rows, columns) for camera in self._cameras}
        number = self._data.write(_table(columns))
        self._episodes.append(self._episode(rows, number, places))
        self._frames += len(rows)
        self._keep_exactly(rows)

    def finish(self) -> dict[str, Any]:
        """Complete the data set; codec and psnr_db (the worst of the images looked at) among what is said."""
        self.close()
        if not self._spec.task:
            raise UserError("the run names no task")
        layout.write_json(self._out / layout.INFO, self._info())
        layout.write_json(self._out / layout.STATS, {name: each.result() for name, each in self._stats.items()})
        _write(layout.tasks_table([self._spec.task]), self._out / layout.TASKS)
        pa = needed("pyarrow")
        _write(pa.Table.from_pylist(self._episodes), self._out / layout.EPISODES.format(chunk_index=0, file_index=0))
        about = {"format": layout.FORMAT, "spec": msgspec.to_builtins(self._spec), "info": dict(self._facts)}
        layout.write_json(self._out / layout.ABOUT, about)
        psnr = {camera: self._worst_psnr(camera) for camera in self._cameras} if self._codec != "png" else {}
        if psnr:
            worst = ", ".join(f"{camera} {value:.1f} dB" for camera, value in psnr.items())
            self._remarks.append(f"videos are lossy ({self._codec}, quality {self._quality}); worst image: {worst}")
        return {"codec": self._codec if self._cameras else None, "psnr_db": psnr, "remarks": self._remarks}

    def close(self) -> None:
        """Let go of the files."""
        with quiet() if self._videos else _nothing():
            for video in self._videos.values():
                video.close()
        self._videos = {}
        for writer in (self._data, self._records, self._final):
            writer.close()

    def _usable_codec(self, wanted: str) -> str:
        odd = [name for name in self._cameras if any(n % 2 for n in self._spec.observation[name].shape[:2])]
        if odd and wanted != "png":
            self._remarks.append(f"{odd[0]} has an odd width or height, which {wanted} cannot hold; PNG it is")
            return "png"
        return wanted

    def _columns(self, rows: Sequence[Row]) -> dict[str, np.ndarray | list[Any]]:
        n = len(rows)
        return layout.columns_of([row.step for row in rows], self._vectors) | {
            "timestamp": (np.arange(n) / self._rate).astype(np.float32),
            "frame_index": np.arange(n),
            "episode_index": np.full(n, len(self._episodes)),
            "index": np.arange(self._frames, self._frames + n),
            "task_index": np.zeros(n, np.int64),
        }

    def _add_images(self, camera: str, rows: Sequence[Row], columns: dict[str, Any]) -> dict[str, Any]:
        """Where the images of an episode are; PNG goes into `columns`."""
        key = f"{layout.IMAGES}{camera}"
        images = np.stack([row.step.observation[camera] for row in rows])
        self._stats.setdefault(key, ImageStats()).add(images)  # type: ignore[arg-type]
        if self._codec == "png":
            columns[key] = [{"bytes": layout.encode_png(image), "path": None} for image in images]
            return {}
        with quiet():
            video = self._video(camera, images.shape[1:3])
            first = video.frames
            if first == 0:
                self._samples[camera] = self._samples[camera][:_CHECKED_IMAGES]
            for image in images:
                if self._video_numbers[camera] == 0 and video.frames < _CHECKED_IMAGES:
                    self._samples[camera].append((video.frames, image))
                video.append(image)
        place = layout.chunk_and_file(self._video_numbers[camera])
        times = {"from_timestamp": first / self._rate, "to_timestamp": video.frames / self._rate}
        return {f"videos/{key}/{name}": value for name, value in (place | times).items()}

    def _video(self, camera: str, size: tuple[int, ...]) -> VideoWriter:
        video = self._videos.get(camera)
        if video is not None and video.bytes > layout.VIDEO_BYTES:
            video.close()
            self._video_numbers[camera] += 1
            video = None
        if video is None:
            place = layout.chunk_and_file(self._video_numbers[camera])
            path = self._out / layout.VIDEOS.format(video_key=f"{layout.IMAGES}{camera}", **place)
            video = VideoWriter(path, self._quality, self._rate, (size[0], size[1]))
            self._videos[camera] = video
        return video

    def _episode(self, rows: Sequence[Row], data_file: int, places: dict[str, dict[str, Any]]) -> dict[str, Any]:
        entry: dict[str, Any] = {"episode_index": len(self._episodes), "tasks": [self._spec.task], "length": len(rows)}
        entry |= {f"data/{name}": value for name, value in layout.chunk_and_file(data_file).items()}
        entry |= {"dataset_from_index": self._frames, "dataset_to_index": self._frames + len(rows)}
        for place in places.values():
            entry |= place
        return entry | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}

    def _keep_exactly(self, rows: Sequence[Row]) -> None:
        records = [without_frames(row.step, self._spec) for row in rows]
        self._records.write(
            {"stream": [row.stream for row in rows], "seq": [row.seq for row in rows], "record": records}
        )
        final = rows[-1].step.final_observation
        if self._cameras and final is not None:
            images = [layout.encode_png(final[camera]) for camera in self._cameras]
            place = {"stream": [rows[-1].stream] * len(images), "seq": [rows[-1].seq] * len(images)}
            self._final.write(place | {"camera": self._cameras, "image": images})

    def _info(self) -> dict[str, Any]:
        return {
            "codebase_version": layout.VERSION,
            "robot_type": self._spec.robot,
            "total_episodes": len(self._episodes),
            "total_frames": self._frames,
            "total_tasks": 1,
            "chunks_size": layout.CHUNK_FILES,
            "data_files_size_in_mb": layout.DATA_BYTES >> 20,
            "video_files_size_in_mb": layout.VIDEO_BYTES >> 20,
            "fps": self._rate,
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": layout.DATA,
            "video_path": layout.VIDEOS if self._cameras and self._codec != "png" else None,
            "features": self._features(),
        }

    def _features(self) -> dict[str, Any]:
        features: dict[str, Any] = {}
        if self._vectors:
            names = [
                f"{name}.{i}" for name in self._vectors for i in range(int(np.prod(self._spec.observation[name].shape)))
            ]
            features[layout.STATE] = {"dtype": "float32", "shape": [len(names)], "names": names}
        for camera in self._cameras:
            shape = self._spec.observation[camera].shape
            feature: dict[str, Any] = {"dtype": "image", "shape": shape, "names": ["height", "width", "channels"]}
            if self._codec != "png":
                feature |= {"dtype": "video", "info": self._video_info(shape)}
            features[f"{layout.IMAGES}{camera}"] = feature
        names = list(self._spec.action_names)
        features[layout.ACTION] = {"dtype": "float32", "shape": list(self._spec.action.shape), "names": names}
        features[layout.REWARD] = {"dtype": "float32", "shape": [1], "names": None}
        features |= {
            name: {"dtype": "bool", "shape": [1], "names": None}
            for name in (layout.DONE, layout.SUCCESS, layout.HELPED)
        }
        features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
        numbers = ("frame_index", "episode_index", "index", "task_index")
        return features | {name: {"dtype": "int64", "shape": [1], "names": None} for name in numbers}

    def _video_info(self, shape: tuple[int, ...]) -> dict[str, Any]:
        size = {"video.height": shape[0], "video.width": shape[1], "video.channels": 3}
        return size | {
            "video.codec": self._codec,
            "video.pix_fmt": PIXELS,
            "video.is_depth_map": False,
            "video.fps": self._rate,
            "has_audio": False,
        }

    def _worst_psnr(self, camera: str) -> float:
        path = self._out / layout.VIDEOS.format(video_key=f"{layout.IMAGES}{camera}", chunk_index=0, file_index=0)
        reader = VideoReader(path, self._rate)
        with quiet():
            return min(peak_signal_to_noise_db(reader.take(n, 1)[0], image) for n, image in self._samples[camera])


class _Table:
    """A parquet file that grows by parts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._writer: Any = None

    def write(self, columns: Mapping[str, Any]) -> None:
        """Append rows."""
        self.append(columns if hasattr(columns, "schema") else needed("pyarrow").table(dict(columns)))

    def append(self, table: Any) -> None:
        """Append a table."""
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = needed("pyarrow.parquet").ParquetWriter(self.path, table.schema, compression="snappy")
        self._writer.write_table(table)
        self.bytes += table.nbytes

    def close(self) -> None:
        """Complete the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _Rotating:
    """Parquet files of a limited size, an episode never in two."""

    def __init__(self, out: Path, pattern: str, limit: int) -> None:
        self._out, self._pattern, self._limit = out, pattern, limit
        self._number = -1
        self._table = _Table(out)

    def write(self, table: Any) -> int:
        """Append an episode; the number of the file in which it is."""
        if self._number < 0 or self._table.bytes > self._limit:
            self._table.close()
            self._number += 1
            self._table = _Table(self._out / self._pattern.format(**layout.chunk_and_file(self._number)))
        self._table.append(table)
        return self._number

    def close(self) -> None:
        """Complete the last file."""
        self._table.close()


def _table(columns: Mapping[str, Any]) -> Any:
    """Columns as LeRobot types them: vectors are lists of a fixed length."""
    pa = needed("pyarrow")
    arrays = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] > 1:
            arrays[name] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        elif isinstance(values, np.ndarray):
            arrays[name] = pa.array(values.ravel())
        else:
            arrays[name] = pa.array(values, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    return pa.table(arrays)


def _write(table: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    needed("pyarrow.parquet").write_table(table, path)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()
