"""Pairs of moments and what somebody preferred of them: drawn from runs, answered one after another, kept in a file.

Or pairs of segments: of the steps that lead to each of the two moments. A file may hold both, apart from each other.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rewards.dataset import camera_shapes
from rewards.episodes import archive_of, episodes_of, require_frames
from rewards.score import ModelError
from wire.database import Kind, StoreError, Writer, explained, open_reader
from wire.store import StepStore

LEFT, RIGHT, NEITHER = 0, 1, -1
"""Answers: which of the two is nearer to the goal; NEITHER where that cannot be told, which nothing is learned from."""
SOURCES = ("script", "vlm", "person")
"""Who may answer, the weightier last: of a pair the newest answer of the weightiest counts."""
_KIND = Kind(
    name="file of preferences",
    application_id=0x48525046,  # "HRPF"
    format=2,
    schema="""
    CREATE TABLE preferences (
        id INTEGER PRIMARY KEY, left_stream TEXT NOT NULL, left_seq INTEGER NOT NULL, right_stream TEXT NOT NULL,
        right_seq INTEGER NOT NULL, answer INTEGER NOT NULL, source TEXT NOT NULL, who TEXT NOT NULL,
        question TEXT NOT NULL, words TEXT NOT NULL, segment INTEGER NOT NULL DEFAULT 0);
    """,
)
_COLUMNS = "left_stream, left_seq, right_stream, right_seq, answer, source, who, question, words"
"""Of format 1, which knew moments alone; its files are read, and added to, as they are."""
_ALIKE = 0.5
"""Mean difference of two pictures, in levels of 0..255, below which nobody is asked to tell them apart."""


class Moment(NamedTuple):
    """The state after one step, by the names that never change."""

    stream: str
    seq: int


class Pair(NamedTuple):
    """Two moments to compare."""

    left: Moment
    right: Moment


class Preference(NamedTuple):
    """What somebody said of a pair."""

    pair: Pair
    answer: int
    """LEFT, RIGHT or NEITHER."""
    source: str
    """One of SOURCES."""
    who: str = ""
    """Name of the person, or of the model."""
    question: str = ""
    words: str = ""
    """What the model said on the way to its answer."""
    segment: int = 0
    """How many steps that lead to each of the two were compared; 0: the moments alone."""


class PreferenceFile:
    """Answers, appended and never changed; one process writes at a time."""

    def __init__(self, path: Path) -> None:
        """Create or open it; raises StoreError where it is something else or another process has it."""
        self._writer = Writer(path, _KIND, synchronous="FULL")

    def append(self, preferences: Iterable[Preference]) -> None:
        """Make answers durable, all of them or none; raises StoreError where disk or file do not take them."""
        db, columns = self._writer.db, f"{_COLUMNS}, segment"
        rows: list[tuple[object, ...]] = [
            (*each.pair.left, *each.pair.right, *each[1:-1], each.segment) for each in preferences
        ]
        if not _knows_segments(db):
            if any(row[-1] for row in rows):
                raise StoreError(
                    f"{self._writer.path} is of a format that knows moments alone; name another file for segments: out="
                )
            rows, columns = [row[:-1] for row in rows], _COLUMNS
        with explained(self._writer.path, "write"):
            self._writer.begin()
            places = ", ".join("?" for _ in columns.split(","))
            db.executemany(f"INSERT INTO preferences ({columns}) VALUES ({places})", rows)
            self._writer.commit()

    def close(self) -> None:
        """Let the next process in."""
        self._writer.close()


def read_preferences(path: Path, segment: int = 0) -> dict[Pair, Preference]:
    """The answer that counts for each pair of segments so long, in the order of their first; raises StoreError."""
    found: dict[Pair, Preference] = {}
    with contextlib.closing(open_reader(path, _KIND)) as db, explained(path, "read"):
        columns = f"{_COLUMNS}, {'segment' if _knows_segments(db) else 0}"
        rows = db.execute(f"SELECT {columns} FROM preferences ORDER BY id").fetchall()
    for left_stream, left_seq, right_stream, right_seq, answer, source, *rest in rows:
        if answer not in (LEFT, RIGHT, NEITHER) or source not in SOURCES or rest[-1] != segment:
            continue
        pair = Pair(Moment(left_stream, left_seq), Moment(right_stream, right_seq))
        before = found.get(pair)
        if before is None or SOURCES.index(source) >= SOURCES.index(before.source):
            found[pair] = Preference(pair, answer, source, *rest)
    return found


def segment_length(path: Path) -> int:
    """Of the segments that a file compares; raises StoreError, and ModelError where there is not just one."""
    with contextlib.closing(open_reader(path, _KIND)) as db, explained(path, "read"):
        known = _knows_segments(db)
        query = "SELECT DISTINCT segment FROM preferences WHERE segment > 0 ORDER BY segment"
        found = [int(length) for (length,) in db.execute(query)] if known else []
    if len(found) != 1:
        held = f"segments of {' and '.join(map(str, found))} steps" if found else "no segments"
        raise ModelError(
            f"{path} compares {held}, wanted those of one length: handrail rewards prefer segment=8 out=<another file>"
        )
    return found[0]


def _knows_segments(db: sqlite3.Connection) -> bool:
    return any(row[1] == "segment" for row in db.execute("PRAGMA table_info(preferences)"))


def beginnings(runs: Sequence[str], segment: int) -> dict[Moment, Moment]:
    """The moment that every segment of so many steps ends in -> the one that it began in; raises ModelError.

    Those that began with their episode are left out: of the state before its first step nobody has said anything.
    """
    found: dict[Moment, Moment] = {}
    for run in runs:
        with StepStore.read(archive_of(run)) as store:
            for episode in episodes_of(store):
                moments = [Moment(episode.stream, int(seq)) for seq in episode.seqs]
                found |= dict(zip(moments[segment:], moments, strict=False))
    return found


def draw_pairs(runs: Sequence[str], n: int, seed: int, segment: int = 0) -> list[Pair]:
    """`n` pairs of different moments of runs, uniformly at random and none twice; the same seed draws the same.

    Raises:
        ModelError: A run is missing, or all of them together have no two moments, or segments of so many steps.
    """
    moments = []
    for run in runs:
        with StepStore.read(archive_of(run)) as store:
            for episode in episodes_of(store):
                moments += [Moment(episode.stream, int(seq)) for seq in episode.seqs[segment:]]
    moments = list(dict.fromkeys(moments))
    most = len(moments) * (len(moments) - 1) // 2
    if not most:
        what = f"segments of {segment} steps" if segment else "moments"
        raise ModelError(f"there are no two {what} in {', '.join(map(str, runs))}; record something first")
    rng = np.random.default_rng([seed, 11])
    found: dict[frozenset[int], Pair] = {}
    while len(found) < min(n, most):
        left, right = (int(index) for index in rng.integers(len(moments), size=2))
        if left != right:
            found.setdefault(frozenset((left, right)), Pair(moments[left], moments[right]))
    return list(found.values())


class Pictures(NamedTuple):
    """The frames of some moments."""

    inputs: dict[str, tuple[int, ...]]
    """Name of the camera -> shape."""
    of: dict[Moment, dict[str, np.ndarray]]
    """Of a segment three frames in a row: as it began, half-way, and as it ended."""
    segment: int = 0

    def alike(self, pair: Pair) -> bool:
        """Whether there is nothing to tell the two of a pair apart by."""
        left, right = self.of[pair.left], self.of[pair.right]
        return all(_difference(left[name], right[name]) < _ALIKE for name in self.inputs)

    def side_by_side(self, moment: Moment) -> np.ndarray:
        """All cameras in one picture, uint8 (height, width, 3)."""
        frames = [self.of[moment][name] for name in self.inputs]
        height = max(frame.shape[0] for frame in frames)
        padded = [np.pad(frame, ((0, height - frame.shape[0]), (0, 0), (0, 0))) for frame in frames]
        return np.concatenate(padded, axis=1)


def pictures_of(
    runs: Sequence[str], moments: Iterable[Moment], cameras: Sequence[str] | None, segment: int = 0
) -> Pictures:
    """The frames of moments, or of the segments that end in them, wherever among the runs they are.

    Raises:
        ModelError: A run is missing, has no frames or other ones, or a moment is in none of them.
    """
    wanted, inputs = set(moments), {}
    found: dict[Moment, dict[str, np.ndarray]] = {}
    for run in runs:
        path = archive_of(run)
        with StepStore.read(path) as store:
            inputs = inputs or camera_shapes(store.spec, cameras, str(path))
            require_frames(path, store, inputs)
            for episode in episodes_of(store):
                for index, seq in enumerate(episode.seqs):
                    moment = Moment(episode.stream, int(seq))
                    if moment in wanted and index >= segment:
                        shown = (index - segment, index - segment // 2, index) if segment else (index,)
                        frames = [episode.states[each] for each in shown]
                        found[moment] = {name: np.concatenate([f[name] for f in frames], axis=1) for name in inputs}
    if len(found) < len(wanted):
        raise ModelError(
            f"{len(wanted) - len(found)} of the {len(wanted)} moments that were compared are in none of "
            f"{', '.join(map(str, runs))}; name all runs that the pairs were drawn from"
        )
    return Pictures(inputs, found, segment)


def counts(preferences: Mapping[Pair, Preference]) -> dict[str, int]:
    """How many answers there are of each kind."""
    answers = [each.answer for each in preferences.values()]
    return {"left": answers.count(LEFT), "right": answers.count(RIGHT), "neither": answers.count(NEITHER)}


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())
