"""What `demos check` reads of a file: every episode measured, and what its stamps, sources and pictures say."""

import itertools
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wire.quality import EpisodeQuality, Recorded, measure, recorded_episodes
from wire.specs import EnvSpec
from wire.store import StepStore
from wire.types import Source, Step


@dataclass
class Contents:
    """What was read of a file."""

    spec: EnvSpec
    qualities: list[EpisodeQuality] = field(default_factory=list)
    names: list[int] = field(default_factory=list)
    """Number of each episode, as `demos show` has them: from 0, in the order in which they ended."""
    unfinished: int = 0
    damaged: int = 0
    sources: Counter[Source] = field(default_factory=Counter)
    periods_s: list[float] = field(default_factory=list)
    prints: list[int] = field(default_factory=list)
    """A checksum of every episode's actions and vectors."""
    frozen: Counter[str] = field(default_factory=Counter)
    """Camera -> pictures that are the one before, byte for byte, although the robot moved."""
    moves: int = 0
    """Steps in which it moved: so many pictures should differ."""


def read_contents(path: Path) -> Contents:
    """Read and measure every episode; raises StoreError where the file cannot be read."""
    with StepStore.read(path) as store:
        contents = Contents(store.spec)
        for episode in recorded_episodes(store.rows()):
            _take(contents, episode)
        contents.damaged = store.damaged
    return contents


def _take(contents: Contents, episode: Recorded) -> None:
    steps = episode.steps
    contents.sources.update(step.source for step in steps)
    stamps = [step.stamps["monotonic"] for step in steps if "monotonic" in step.stamps]
    contents.periods_s += [after - before for before, after in itertools.pairwise(stamps) if after > before]
    _look_for_frozen_cameras(contents, steps)
    if not episode.ended:
        contents.unfinished += 1
        return
    contents.names.append(len(contents.names))
    contents.qualities.append(measure(steps, contents.spec))
    crc = 0
    for step in steps:
        crc = zlib.crc32(step.action.tobytes(), crc)
        for name in sorted(step.observation):
            crc = zlib.crc32(np.ascontiguousarray(step.observation[name]).data, crc)
    contents.prints.append(crc)


def _look_for_frozen_cameras(contents: Contents, steps: Sequence[Step]) -> None:
    cameras = [name for name, array in contents.spec.observation.items() if array.is_frame]
    vectors = [name for name in contents.spec.observation if name not in cameras]
    for before, after in itertools.pairwise(step.observation for step in steps):
        # Whether the arm has moved the vectors say; encoders of a real one are never quite still.
        if not any(np.abs(after[name] - before[name]).max(initial=0.0) > 1e-3 for name in vectors):
            continue
        contents.moves += 1
        contents.frozen.update(name for name in cameras if np.array_equal(before[name], after[name]))
