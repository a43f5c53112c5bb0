"""The rows of an archive as they are read: intact ones whole, damaged ones skipped, counted and named."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from wire.archive_file import frame_crc, intact, step_crc
from wire.codec import DecodeError, decode_step
from wire.database import StoreError
from wire.errors import plain
from wire.specs import EnvSpec
from wire.types import Observation, Step

_CHUNK = 32
_VECTOR_CHUNK = 1024
_DAMAGE_LINES = 100


class Row(NamedTuple):
    """One archived step; `row` counts from 1 in the order of insertion, without gaps."""

    row: int
    stream: str
    seq: int
    step: Step


class RowReader:
    """Reads steps by their row numbers from a connection that somebody else owns."""

    def __init__(self, path: Path, db: sqlite3.Connection, spec: EnvSpec) -> None:
        self.damaged = 0
        """How many rows were skipped because they were damaged."""
        self.damage: list[str] = []
        """One line for each of them, the first hundred."""
        self._path = path
        self._db = db
        self._spec = spec
        self._missing = 0

    def rows(self, first: int, newest: int, *, frames: bool) -> Iterator[Row]:
        """The intact rows from `first` to `newest`; without `frames`, observations lack the cameras' images."""
        # Read in chunks: one long read would keep the writer of a live file from ever shortening its log.
        chunk = _CHUNK if frames else _VECTOR_CHUNK
        while first <= newest:
            last = min(first + chunk - 1, newest)
            rows = self._read(first, last, frames=frames)
            yield from rows
            first = last + 1 if rows else self._next(last, newest)

    def _next(self, row: int, newest: int) -> int:
        """The number of the first row after `row`, past those that are missing; `row` + 1 where it cannot be read."""
        try:
            query = "SELECT coalesce(min(id), ?) FROM steps WHERE id > ?"
            following: int = self._db.execute(query, (newest + 1, row)).fetchone()[0]
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            return row + 1
        # A damaged index may give a number that is not above `row` at all: never go back.
        following = max(following, row + 1)
        self._missing += min(following, newest + 1) - row - 1
        return following

    def _read(self, first: int, last: int, *, frames: bool) -> list[Row]:
        """The intact rows from `first` to `last`; a damaged page costs the rows on it, found by halving."""
        between = "BETWEEN ? AND ?"
        try:
            steps = self._db.execute(
                f"SELECT id, stream, seq, CAST(body AS BLOB), crc FROM steps WHERE id {between}", (first, last)
            )
            found = {row: rest for row, *rest in steps}
            images = self._images(first, last) if frames else {}
        except sqlite3.OperationalError as error:
            raise StoreError(f"cannot read {self._path}: {error}; check the disk") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if first < last:
                middle = (first + last) // 2
                return self._read(first, middle, frames=frames) + self._read(middle + 1, last, frames=frames)
            self._note(first, str(error))
            return []
        rows = []
        for row in range(first, last + 1):
            try:
                stream, seq, body, crc = found[row]
                rows.append(
                    Row(
                        row,
                        stream,
                        seq,
                        self._join(row, stream, seq, body, crc, images.get(row, ()) if frames else None),
                    )
                )
                self._note_missing(row)
            except KeyError:
                self._missing += 1
            except (ValueError, TypeError, IndexError) as error:
                self._note(row, str(error))
        return rows

    def _images(self, first: int, last: int) -> dict[int, list[tuple]]:
        """What lies in the table of frames under these rows: (final, name, pixels, crc)."""
        images: dict[int, list[tuple]] = {}
        query = "SELECT step, final, name, CAST(pixels AS BLOB), crc FROM frames WHERE step BETWEEN ? AND ?"
        for row, *image in self._db.execute(query, (first, last)):
            images.setdefault(row, []).append(tuple(image))
        return images

    def _join(self, row: int, stream: str, seq: int, body: bytes, crc: int, images: Sequence[tuple] | None) -> Step:
        """The step, with its frames back in place if any are given; raises DecodeError where anything is damaged."""
        if images is None:
            return self._bare(row, stream, seq, body, crc)
        if crc != step_crc(row, stream, seq, body):
            raise DecodeError(f"step {seq} of stream {stream[:8]} fails its checksum")
        step = decode_step(body)
        parts: tuple[Observation, Observation] = (dict(step.observation), dict(step.final_observation or {}))
        for final, name, pixels, stored_crc in images:
            if stored_crc != frame_crc(row, final, name, pixels) or name not in self._spec.observation:
                raise DecodeError(f"frame {plain(name)} of step {seq} of stream {stream[:8]} fails its checksum")
            parts[final][name] = np.frombuffer(pixels, np.uint8).reshape(self._spec.observation[name].shape)
        step = msgspec.structs.replace(
            step, observation=parts[0], final_observation=None if step.final_observation is None else parts[1]
        )
        problem = self._spec.step_problem(step)
        if problem is not None:
            raise DecodeError(f"step {seq} of stream {stream[:8]} is not whole: {problem}")
        return step

    def _bare(self, row: int, stream: str, seq: int, body: bytes, crc: int) -> Step:
        """The step without its frames; raises DecodeError where it is damaged."""
        step = intact(row, stream, seq, body, crc, self._spec)
        if step is None:
            raise DecodeError(f"step {seq} of stream {stream[:8]} fails its checksum, or is not of the file's spec")
        return step

    def _note_missing(self, row: int) -> None:
        """Count the rows that are missing before this intact one: a damaged one's number says nothing."""
        missing, self._missing = self._missing, 0
        self.damaged += missing
        for lost in range(row - missing, row)[: max(0, _DAMAGE_LINES - len(self.damage))]:
            self.damage.append(f"row {lost} of {self._path}: it is missing")

    def _note(self, row: int, problem: str) -> None:
        self.damaged += 1
        if len(self.damage) < _DAMAGE_LINES:
            self.damage.append(f"row {row} of {self._path}: {problem}")
