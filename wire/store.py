"""The self-describing `steps.sqlite` of a run or a file of demonstrations: spec, episodes, steps, frames."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

import msgspec
import numpy as np

from wire import archive_file, failpoints, salvage
from wire.archive_file import (
    BEGAN,
    INSERT_EPISODE,
    INSERT_STEP,
    KIND,
    OWNER,
    frame_crc,
    step_columns,
    text_crc,
)
from wire.archive_rows import Row, RowReader
from wire.codec import DecodeError, decode_spec, encode_spec, encode_step
from wire.database import DamagedError, EmptyError, StoreError, Writer, explained, open_reader
from wire.errors import plain
from wire.specs import EnvSpec, SpecMismatch
from wire.types import Observation, Source, Step

__all__ = ["EpisodeSummary", "Row", "StepStore", "StoreError"]

# No step is smaller on disk, so a flipped bit in a row's number cannot send the reader beyond what the file may hold.
_MOST = "(SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size) / 100"
_LAST_ROW = f"SELECT coalesce(max(id), 0) FROM steps WHERE id <= {_MOST}"
_LAST_FRAME = f"SELECT coalesce(max(step), 0) FROM frames WHERE step <= {_MOST}"


class EpisodeSummary(NamedTuple):
    """One finished episode."""

    stream: str
    episode: int
    length: int
    episode_return: float
    success: bool
    human_steps: int
    terminated: bool
    truncated: bool
    first_seq: int
    last_seq: int


class StepStore:
    """Steps on disk, each once. Open it with `open` to append or with `read` to look; one thread at a time uses it."""

    def __init__(self, path: Path, db: sqlite3.Connection, writer: Writer | None) -> None:
        self.path = path
        self.repaired = ""
        """What became of the file where `open` found it damaged."""
        self._db = db
        self._writer = writer
        # The row inserted last, while nothing can have been undone since: a query for every step would be a waste.
        self._newest: int | None = None
        self._claims: dict[str, str] = {}
        with explained(path, "read"):
            stored = dict(
                db.execute("SELECT coalesce(CAST(key AS TEXT), ''), coalesce(CAST(value AS TEXT), '') FROM meta")
            )
        # The tables are there before what is in them.
        if not stored and writer is None and db.execute("SELECT count(*) FROM steps").fetchone()[0] == 0:
            raise EmptyError(f"{path} has no spec and no steps: a run is only beginning there; try again in a moment")
        text = stored.pop("spec", "")
        try:
            if stored.pop("spec_crc", text_crc(text)) != text_crc(text):
                raise DecodeError("the spec fails its checksum")
            self.spec: EnvSpec = decode_spec(text)
        except DecodeError as error:
            raise DamagedError(f"{path} is damaged: {error}; restore it from a copy") from None
        self.began = stored.pop(BEGAN, "")
        """When the file was made, as ISO 8601 in UTC; "" where an older version made it."""
        self._reader = RowReader(path, db, self.spec)
        self.info: Mapping[str, str] = MappingProxyType(
            {key: value for key, value in stored.items() if not key.startswith(OWNER)}
        )

    @classmethod
    def open(cls, path: Path, spec: EnvSpec, info: Mapping[str, str] = MappingProxyType({})) -> Self:
        """Create the file, or open it to append; where it is damaged, go on with a new one that holds what is intact.

        The damaged file is then kept beside it, as <path>.damaged-<n>, and the log says so.

        Args:
            path: The file.
            spec: What its steps must be like.
            info: Facts of the run to keep with it; a fact given again replaces the former.

        Raises:
            SpecMismatch: The file holds steps of another spec.
            StoreError: It is no such file, newer than this version, or somebody else is writing it.
        """
        try:
            return cls._open(path, spec, info)
        except DamagedError as error:
            aside = archive_file.rebuild(path, spec, because=error)
        store = cls._open(path, spec, info)
        store.repaired = (
            f"{path} was damaged: its {store.count()} intact steps go on, the damaged file is kept as {aside}"
        )
        return store

    @classmethod
    def _open(cls, path: Path, spec: EnvSpec, info: Mapping[str, str]) -> Self:
        text = encode_spec(spec)
        with contextlib.ExitStack() as undo:
            writer = undo.enter_context(contextlib.closing(Writer(path, KIND, synchronous="FULL")))
            salvage.require_intact(writer)
            with explained(path, "write"):
                writer.begin()
                own = {"spec": text, "spec_crc": text_crc(text), BEGAN: datetime.now(UTC).isoformat(timespec="seconds")}
                writer.db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", own.items())
                facts = [(key, value) for key, value in info.items() if key not in own]
                writer.db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts)
            store = cls(path, writer.db, writer)
            cure = "Choose another run=<dir>, or set task and env as they were"
            spec.require_same(store.spec, ours="this run", theirs=str(path), cure=cure)
            writer.commit()
            undo.pop_all()
        return store

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open a finished or a live file to look only; raises StoreError where it is missing or something else."""
        db = open_reader(path, KIND)
        try:
            return cls(path, db, None)
        except BaseException:
            db.close()
            raise

    def insert(self, stream: str, seq: int, step: Step) -> bool:
        """Add a step, durable after `commit`; False where the stream's `seq` is there already.

        Raises:
            SpecMismatch: The step is not of the file's spec; nothing was changed.
            StoreError: The disk did not take it; everything since the last commit is undone.
        """
        problem = self.spec.step_problem(step)
        if problem is not None:
            raise SpecMismatch(f"step {seq} of stream {stream[:8]} does not fit the archive: {problem}")
        writer = self._writing()
        with explained(self.path, "write"):
            try:
                writer.begin()
                return self._insert(writer.db, stream, seq, step)
            except sqlite3.Error:
                self.rollback()
                raise

    def _insert(self, db: sqlite3.Connection, stream: str, seq: int, step: Step) -> bool:
        # The frames too: those of a row whose own number was damaged are in the way.
        newest = max(self.last_row(), self._one(_LAST_FRAME)) if self._newest is None else self._newest
        row = newest + 1
        vectors, frames = _split(step.observation, self.spec)
        final_vectors, final_frames = _split(step.final_observation or {}, self.spec)
        final = None if step.final_observation is None else final_vectors
        body = encode_step(msgspec.structs.replace(step, observation=vectors, final_observation=final))
        values = step_columns(row, stream, seq, step, body)
        if db.execute(INSERT_STEP, values).rowcount == 0:
            return False
        for place, images in enumerate((frames, final_frames)):
            for name, image in images.items():
                pixels = np.ascontiguousarray(image).data
                crc = frame_crc(row, place, name, pixels)
                db.execute("INSERT INTO frames VALUES (?, ?, ?, ?, ?)", (row, place, name, pixels, crc))
        if step.ended:
            db.execute(INSERT_EPISODE, {"stream": stream, "episode": step.episode, "seq": seq, "t": step.t})
        self._newest = row
        failpoints.passing("after_insert")
        return True

    def commit(self) -> None:
        """Make every inserted step durable; raises StoreError, and undoes them, where the disk did not take them."""
        writer = self._writing()
        try:
            if self._claims:
                with explained(self.path, "write"):
                    writer.begin()
                    writer.db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", self._claims.items())
            writer.commit()
        except StoreError:
            self.rollback()
            raise
        self._claims = {}

    def rollback(self) -> None:
        """Undo everything since the last commit."""
        self._writing().rollback()
        self._newest = None

    def claim(self, stream: str, name: str) -> str:
        """Whose a stream is: who claimed it first, or `name` from the next commit on; "" where it is nobody's yet.

        Args:
            stream: The stream.
            name: Who continues it now; "" claims nothing.
        """
        key = OWNER + stream
        for (owner,) in self._all("SELECT value FROM meta WHERE key = ?", key):
            return owner
        if name:
            self._claims.setdefault(key, name)
        return self._claims.get(key, "")

    def last_seq(self, stream: str) -> int:
        """The newest seq of a stream, 0 where there is none."""
        return self._one("SELECT coalesce(max(seq), 0) FROM steps WHERE stream = ?", stream)

    def last_row(self) -> int:
        """The number of the newest row, 0 where there is none."""
        if self._newest is not None:
            return self._newest
        return self._one(_LAST_ROW)

    def count(self) -> int:
        """How many steps there are."""
        return self._one("SELECT count(*) FROM steps")

    def streams(self) -> list[str]:
        """The streams, in the order in which they first came."""
        return [stream for stream, _ in self._all("SELECT stream, min(id) FROM steps GROUP BY stream ORDER BY min(id)")]

    def episodes(self) -> list[EpisodeSummary]:
        """The finished episodes, in the order in which they ended."""
        rows = self._all("SELECT * FROM episodes ORDER BY rowid")
        try:
            return [msgspec.convert(row, EpisodeSummary, strict=False) for row in rows]
        except msgspec.ValidationError as error:
            raise StoreError(
                f"cannot read the episodes of {self.path}: {plain(error)}; restore it from a copy"
            ) from None

    def first_helper(self, episode: EpisodeSummary) -> Source | None:
        """Who first drove in an episode's stead of the policy; None where nobody did."""
        query = "SELECT source FROM steps WHERE stream = ? AND seq BETWEEN ? AND ? AND source != 0 LIMIT 1"
        found = self._all(query, episode.stream, episode.first_seq, episode.last_seq)
        return next((Source(source) for (source,) in found if source in set(Source)), None)

    def rows(self, after: int = 0, until: int | None = None, *, frames: bool = True) -> Iterator[Row]:
        """The steps after row `after`, up to row `until` or the newest; damaged ones are skipped, counted and named.

        Args:
            after: The last row that is not wanted.
            until: The last one that is; None: the newest.
            frames: Whether observations hold their images, which are most of what there is to read.
        """
        newest = self.last_row() if until is None else min(until, self.last_row())
        return self._reader.rows(after + 1, newest, frames=frames)

    @property
    def damaged(self) -> int:
        """How many rows `rows` has skipped because they were damaged."""
        return self._reader.damaged

    @property
    def damage(self) -> list[str]:
        """One line for each of them, the first hundred."""
        return self._reader.damage

    def find(self, stream: str, seq: int) -> Row | None:
        """The step `seq` of a stream, None where it is not there or damaged."""
        number = self.find_row(stream, seq)
        return None if number is None else next(self.rows(number - 1, number), None)

    def find_row(self, stream: str, seq: int) -> int | None:
        """The number of the row of step `seq` of a stream, None where it is not there."""
        found = self._all("SELECT id FROM steps WHERE stream = ? AND seq = ?", stream, seq)
        return found[0][0] if found else None

    def rows_between(self, stream: str, first_seq: int, last_seq: int) -> tuple[int, int]:
        """The first and the last row of a stretch of a stream; (1, 0) where there is none."""
        query = "SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM steps WHERE stream = ? AND seq BETWEEN ? AND ?"
        ((first, last),) = self._all(query, stream, first_seq, last_seq)
        return first, last

    def forget_after(self, row: int) -> None:
        """Forget every step after row `row`, and the episodes that end there, durable after `commit`.

        For a recorder that takes back what it has just written. What actors have sent is never forgotten.
        """
        writer = self._writing()
        with explained(self.path, "write"):
            try:
                writer.begin()
                last = "SELECT stream, seq FROM steps WHERE id > ?"
                writer.db.execute(f"DELETE FROM episodes WHERE (stream, last_seq) IN ({last})", (row,))
                writer.db.execute("DELETE FROM frames WHERE step > ?", (row,))
                writer.db.execute("DELETE FROM steps WHERE id > ?", (row,))
            except sqlite3.Error:
                self.rollback()
                raise
        self._newest = None

    def close(self) -> None:
        """Close the file; what was not committed is forgotten."""
        if self._writer is None:
            self._db.close()
        else:
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _writing(self) -> Writer:
        if self._writer is None:
            raise StoreError(f"{self.path} was opened to read; open it with StepStore.open to append")
        return self._writer

    def _one(self, query: str, *values: object) -> int:
        with explained(self.path, "read"):
            return self._db.execute(query, values).fetchone()[0]

    def _all(self, query: str, *values: object) -> list[tuple]:
        with explained(self.path, "read"):
            return self._db.execute(query, values).fetchall()


def _split(observation: Observation, spec: EnvSpec) -> tuple[Observation, Observation]:
    """The vectors and the frames of an observation: frames lie apart, so that statistics never touch them."""
    frames = {name: value for name, value in observation.items() if spec.observation[name].is_frame}
    return {name: value for name, value in observation.items() if name not in frames}, frames
