"""Write a Minari data set with h5py: images uncompressed, so that nothing is lost."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from learner.archive.config import ExportConfig
from learner.archive.formats import minari_layout as layout
from learner.archive.formats.foreign import needed, without_frames
from wire.specs import EnvSpec
from wire.store import EpisodeSummary, Row


class DataSet:
    """Writes one data set, an episode after the other."""

    def __init__(self, out: Path, spec: EnvSpec, info: Mapping[str, str], config: ExportConfig) -> None:
        self._h5py = needed("h5py")
        self._folder = out / "data"
        self._folder.mkdir()
        self._spec, self._facts = spec, info
        self._file: Any = self._h5py.File(self._folder / layout.DATA, "w", track_order=True)
        self._episodes = self._steps = 0

    def add(self, summary: EpisodeSummary, rows: Sequence[Row]) -> None:
        """Write an episode, all its steps with their frames."""
        steps = [row.step for row in rows]
        group = self._file.create_group(f"episode_{self._episodes}")
        group.attrs["id"], group.attrs["total_steps"] = self._episodes, len(rows)
        observations = group.create_group("observations")
        final = steps[-1].final_observation or {}
        for name in self._spec.observation:
            values = np.stack([*(step.observation[name] for step in steps), final[name]])
            options = {"compression": "gzip", "compression_opts": 1} if values.ndim == 4 else {}
            observations.create_dataset(name, data=values, chunks=True, **options)
        group["actions"] = np.stack([step.action for step in steps])
        group["rewards"] = np.array([step.reward for step in steps], np.float64)
        group["terminations"] = np.array([step.terminated for step in steps])
        group["truncations"] = np.array([step.truncated for step in steps])
        # The first belongs to the reset.
        infos = group.create_group("infos")
        infos["success"] = np.array([False, *(step.success for step in steps)])
        infos["is_intervention"] = np.array([False, *(step.intervened for step in steps)])
        self._keep_exactly(group, rows)
        self._episodes += 1
        self._steps += len(rows)

    def finish(self) -> dict[str, Any]:
        """Complete the data set."""
        self.close()
        size_mb = sum(file.stat().st_size for file in self._folder.iterdir()) / 1e6
        observation = {name: layout.box(array) for name, array in self._spec.observation.items()}
        task = "".join(letter if letter.isalnum() else "-" for letter in self._spec.task)
        metadata = {
            "dataset_id": f"handrail/{task}-v0",
            "minari_version": layout.VERSION,
            "data_format": "hdf5",
            "jpeg_encoding": False,
            "observation_space": layout.dictionary(observation),
            "action_space": json.dumps(layout.box(self._spec.action)),
            "total_episodes": self._episodes,
            "total_steps": self._steps,
            "dataset_size": round(size_mb, 1),
            "algorithm_name": self._facts.get("agent", ""),
            "description": f"{self._spec.task} on {self._spec.robot} at {self._spec.rate_hz:g} Hz",
            "handrail": {"spec": msgspec.to_builtins(self._spec), "info": dict(self._facts)},
        }
        (self._folder / layout.METADATA).write_text(json.dumps(metadata) + "\n")
        return {"dataset_id": metadata["dataset_id"]}

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _keep_exactly(self, group: Any, rows: Sequence[Row]) -> None:
        kept = group.create_group(layout.RECORDS)
        records = [np.frombuffer(without_frames(row.step, self._spec), np.uint8) for row in rows]
        kept["record"] = np.concatenate(records)
        kept["length"] = np.array([len(record) for record in records], np.int64)
        kept["seq"] = np.array([row.seq for row in rows], np.int64)
        kept.attrs["stream"] = rows[0].stream
