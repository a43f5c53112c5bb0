"""What all formats have in common: episodes as columns on the way in, whole episodes of runs on the way out."""

import hashlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wire.codec import decode_step, encode_step
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.types import Observation, Step

SOFTWARE = "handrail"
_DIGEST_BYTES = 1 << 20
_DIGEST_FILES = 64


class FormatError(UserError):
    """A file is not what its format asks for; the text names the file, what was found and what was wanted."""


@dataclass(frozen=True, kw_only=True)
class ForeignEpisode:
    """One episode in columns, n steps long. Only rewards, success and helped may be unknown."""

    observations: Mapping[str, np.ndarray]
    """Name -> (n, ...), or (n + 1, ...) where the last one is what was seen after the last action."""
    actions: np.ndarray
    """(n, d)."""
    rewards: np.ndarray | None = None
    """(n,)."""
    terminated: bool = False
    """The task ended with the last step; False: somebody stopped, and value may follow."""
    success: bool | None = None
    helped: np.ndarray | None = None
    """(n,) bool: a person drove in the policy's stead."""
    exact: Sequence[tuple[str, int, Step]] | None = None
    """Stream, number and step as they were in the archive from which this was exported."""


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A data set of another format, its episodes not yet read."""

    episodes: Iterator[ForeignEpisode]
    task: str = ""
    robot: str = ""
    env: str = "ros"
    rate_hz: float | None = None
    action_names: tuple[str, ...] = ()
    demonstrations: bool = True
    """Whether somebody drove throughout, where no episode says otherwise."""
    spec: EnvSpec | None = None
    """As it was in the archive from which this was exported."""
    joined: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Name of an observation -> the vectors of `spec` that lie in it, one after the other."""
    lossy_images: bool = False
    """Whether its images have gone through a codec since, of the steps that are otherwise exact."""
    info: Mapping[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    """What the user should know, filled while the episodes are read."""


def needed(module: str) -> Any:
    """A module of the extra `archive`; raises UserError, which says what to install, where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UserError(
            f"this format needs the package {package}: pip install -e '.[archive]' -c constraints.txt"
        ) from error


def without_frames(step: Step, spec: EnvSpec) -> bytes:
    """The record of a step, its frames left out: what formats keep beside what they have columns for."""
    final = None if step.final_observation is None else _vectors(step.final_observation, spec)
    return encode_step(
        msgspec.structs.replace(step, observation=_vectors(step.observation, spec), final_observation=final)
    )


def with_frames(record: bytes, frames: Observation, final_frames: Observation | None) -> Step:
    """The inverse of `without_frames`; raises DecodeError where the record is damaged."""
    step = decode_step(record)
    final = step.final_observation
    return msgspec.structs.replace(
        step,
        observation=step.observation | frames,
        final_observation=None if final is None else final | (final_frames or {}),
    )


def frame_names(spec: EnvSpec) -> list[str]:
    """The cameras of a specification."""
    return [name for name, array in spec.observation.items() if array.is_frame]


def vector_names(spec: EnvSpec) -> list[str]:
    """Everything that is no camera."""
    return [name for name, array in spec.observation.items() if not array.is_frame]


def stream_of(path: Path) -> str:
    """A stream id that is the same whenever the same data are imported, so that a merge finds them to be one."""
    digest = hashlib.sha256()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in [each for each in files if each.is_file()][:_DIGEST_FILES]:
        size = file.stat().st_size
        digest.update(f"{file.name}:{size};".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_DIGEST_BYTES))
            stream.seek(max(0, size - _DIGEST_BYTES))
            digest.update(stream.read(_DIGEST_BYTES))
    return digest.hexdigest()[:32]


def _vectors(observation: Observation, spec: EnvSpec) -> Observation:
    return {name: value for name, value in observation.items() if not spec.observation[name].is_frame}
