"""Episodes of past runs as what reward models judge: the state after each step, and what is known of its success."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rewards.score import ModelError
from wire.labels import Label, effective, labels_since
from wire.store import Row, StepStore
from wire.types import Observation, Step

ARCHIVE = "steps.sqlite"
UNKNOWN = -1
"""Of a state that nobody has judged, or that lies too near to a success to be called a failure."""


class Episode(NamedTuple):
    """One episode, as far as it is known what came after its steps."""

    archive: Path
    stream: str
    number: int
    seqs: np.ndarray
    """Int64 of shape (n,): of the steps."""
    steps: list[Step]
    states: list[Observation]
    """After each step."""

    @property
    def ended(self) -> bool:
        """Whether its last step is there; an actor that died leaves an episode without one."""
        return bool(self.steps) and self.steps[-1].ended


def archive_of(run: str | Path) -> Path:
    """The archive that `runs=` names: a run's folder, or the file itself; raises ModelError where there is none."""
    path = Path(run)
    path = path / ARCHIVE if path.is_dir() else path
    if not path.is_file():
        raise ModelError(f"there is no run in {run} ({ARCHIVE} is missing); check runs=[<folder or file>,...]")
    return path


class EpisodeReader:
    """Puts the rows of an archive together to episodes, each in memory until it ends."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._open: dict[str, list[Row]] = {}

    def take(self, row: Row) -> list[Episode]:
        """The episodes that a row ends: its own, and one that an actor which died has left without an end."""
        found: list[Episode] = []
        rows = self._open.setdefault(row.stream, [])
        if rows and (row.step.episode, row.step.t) != (rows[-1].step.episode, rows[-1].step.t + 1):
            found += _episode(self._archive, rows)
            rows.clear()
        rows.append(row)
        if row.step.ended:
            found += _episode(self._archive, self._open.pop(row.stream))
        return found

    def rest(self) -> list[Episode]:
        """Those that have not ended, as far as they go."""
        return [episode for rows in self._open.values() for episode in _episode(self._archive, rows)]


def episodes_of(store: StepStore) -> Iterator[Episode]:
    """The episodes of an archive in the order in which they end, then those that have not ended."""
    reader = EpisodeReader(store.path)
    for row in store.rows():
        yield from reader.take(row)
    yield from reader.rest()


def _episode(path: Path, rows: list[Row]) -> Iterator[Episode]:
    steps = [row.step for row in rows]
    states = [step.observation for step in steps[1:]]
    if steps[-1].final_observation is not None:
        states.append(steps[-1].final_observation)
    n = len(states)
    if n:
        seqs = np.array([row.seq for row in rows[:n]], np.int64)
        yield Episode(path, rows[0].stream, steps[0].episode, seqs, steps[:n], states)


def labels_of(archive: Path) -> dict[tuple[str, int], Label]:
    """What people and tasks have said of an archive's steps; a model's own words are no ground to train it on."""
    labels, _ = labels_since(archive)
    return effective(label for label in labels if label.source != "model")


def truth(episode: Episode, labels: Mapping[tuple[str, int], Label], *, margin: int) -> np.ndarray:
    """What is known of each state: 1 success, 0 none, UNKNOWN; int8 of shape (n,).

    A label counts as it is. Of what nobody labelled the episode's outcome tells: the state that ended it in success is
    one, all others are none. Where a model gave the reward its word is no evidence, nor is the outcome of an episode
    that a person threw away. The `margin` states before a success look like it, and are left open unless a person
    marked them. After a label that says success the task may still be done, so what nobody labelled is left open, until
    a label, or the episode's end in a failure, says that it is not.

    Args:
        episode: Whose states.
        labels: By `labels_of`.
        margin: How many states before a success stay open.
    """
    last = episode.steps[-1]
    by_model = any(step.claimed for step in episode.steps) and not (last.terminated and not last.claimed)
    known = np.full(len(episode.states), UNKNOWN if by_model or last.discarded else 0, np.int8)
    if last.ended and last.success and not by_model and not last.discarded:
        known[-1] = 1
    said = [labels.get((episode.stream, int(seq))) for seq in episode.seqs]
    done, n = False, len(said)
    for index, label in enumerate(said):
        if label is not None:
            known[index] = done = label.value >= 0.5
        elif done and known[index] == 0 and not (last.terminated and index == n - 1):
            known[index] = UNKNOWN
    for index in np.flatnonzero(known == 1):
        for before in range(max(0, index - margin), index):
            label = said[before]
            if known[before] == 0 and (label is None or label.source != "person"):
                known[before] = UNKNOWN
    return known


def require_frames(path: Path, store: StepStore, inputs: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ModelError where an archive has not these observations, in these shapes."""
    for name, shape in inputs.items():
        found = store.spec.observation.get(name)
        if found is None or found.shape != shape:
            has = ", ".join(f"{key} {array.shape}" for key, array in sorted(store.spec.observation.items()))
            raise ModelError(
                f"{path} has {has}; wanted {name} {shape}: name runs of the same cameras, in the same image size"
            )
