"""Fuzz the reading of archives, checksums made right. Under Atheris: `python tests/fuzz/fuzz_store.py`."""

import contextlib
import random
import shutil
import sqlite3
import tempfile
import zlib
from pathlib import Path

import fuzz_codec
from fuzzing import corpus, main

from wire.database import StoreError
from wire.store import StepStore

_MEMORY = Path("/dev/shm")
_FIELDS = ("id", "stream", "seq", "body", "crc", "episode", "reward")
_ODD = (None, -1, 0, 1, 7, 2**31, 2**62, 2**63 - 1, -(2**63), float("inf"), "", "text", b"", b"\xff", "\x1b[2J")


class Reader:
    """Reads files that it is given as bytes, from memory where there is such a folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="handrail-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))

    def read(self, data: bytes) -> tuple[int, int]:
        """How many rows of the file are intact, and how many are damaged; raises StoreError."""
        path = self._folder / "steps.sqlite"
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(data)
        with StepStore.read(path) as store:
            intact = 0
            for row in store.rows():
                assert store.spec.step_problem(row.step) is None
                intact += 1
            store.count()
            store.streams()
            with contextlib.suppress(StoreError):
                store.episodes()
            assert len(store.damage) <= store.damaged
            return intact, store.damaged

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder)


_READER = Reader()


def one(data: bytes) -> None:
    """Bytes are an archive, of which every row handed out is whole, or a StoreError."""
    with contextlib.suppress(StoreError):
        _READER.read(data)


class StoreMutator:
    """Mutants of archive files: damaged pages, and tables in which somebody wrote something else."""

    def __init__(self, golden: bytes, seed: int) -> None:
        self._random = random.Random(seed)
        self._golden = golden
        self._steps = fuzz_codec.mutator(seed)

    def mutant(self) -> bytes:
        """The next one."""
        return self.mutate(self._golden)

    def mutate(self, frame: bytes) -> bytes:
        """A mutant of this file."""
        if self._random.random() < 0.5:
            return self._rewritten()
        return self._damaged(frame)

    def _damaged(self, data: bytes) -> bytes:
        """Bytes flipped, pages swapped, zeroed or torn off, numbers in the headers of file and pages changed."""
        changed = bytearray(data)
        page = int.from_bytes(data[16:18], "big") or 512
        pages = max(1, len(data) // page)
        for _ in range(self._random.randint(1, 4)):
            start = page * self._random.randrange(pages)
            match self._random.randrange(6):
                case 0:
                    changed[start : start + page] = data[page * self._random.randrange(pages) :][:page]
                case 1:
                    changed[start : start + page] = bytes(page)
                case 2:
                    del changed[start + self._random.randrange(page) :]
                case 3:
                    at = min(len(changed), start + (100 if start == 0 else 0) + self._random.randrange(24))
                    changed[at : at + 1] = self._random.randbytes(1)
                case _ if changed:
                    changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _rewritten(self) -> bytes:
        """The golden file with one row changed through SQLite, its checksum made right where that is possible."""
        with contextlib.closing(sqlite3.connect(":memory:")) as db:
            # Memory knows no write-ahead log: say that the file has none, and put the mark back after.
            db.deserialize(_with_mark(self._golden, b"\x01\x01"))
            step = self._random.randint(1, 6)
            with contextlib.suppress(sqlite3.Error):
                self._rewrite(db, step)
            db.commit()
            return _with_mark(db.serialize(), self._golden[18:20])

    def _rewrite(self, db: sqlite3.Connection, step: int) -> None:
        """One thing in one row is another; what a table's own rules forbid is not done."""
        odd = self._random.choice(_ODD)
        match self._random.randrange(6):
            case 0 | 1:
                self._write_body(db, step)
            case 2:
                db.execute(f"UPDATE steps SET {self._random.choice(_FIELDS)} = ? WHERE id = ?", (odd, step))
            case 3:
                field = self._random.choice(("step", "final", "name", "pixels", "crc"))
                db.execute(f"UPDATE OR REPLACE frames SET {field} = ? WHERE step = ?", (odd, step))
            case 4:
                db.execute("UPDATE meta SET value = ? WHERE key = ?", (odd, self._random.choice(("spec", "run"))))
            case 5:
                field = self._random.choice(("length", "episode_return", "success", "terminated", "last_seq"))
                db.execute(f"UPDATE episodes SET {field} = ?", (odd,))

    def _write_body(self, db: sqlite3.Connection, step: int) -> None:
        """Another body in a row, and frames of another size: whoever wrote them knew how the checksums are made."""
        stream, seq = db.execute("SELECT stream, seq FROM steps WHERE id = ?", (step,)).fetchone()
        body = self._steps.mutant()
        crc = zlib.crc32(body, zlib.crc32(f"{step}:{stream}:{seq}".encode()))
        db.execute("UPDATE steps SET body = ?, crc = ? WHERE id = ?", (body, crc, step))
        if self._random.random() < 0.5:
            odd = (("front", b""), ("front", b"x" * 13), ("state", bytes(12)), ("no", b""))
            name, pixels = self._random.choice(odd)
            final = self._random.choice((0, 1, 2, -1))
            crc = zlib.crc32(pixels, zlib.crc32(f"{step}:{final}:{name}".encode()))
            db.execute("INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?, ?)", (step, final, name, pixels, crc))


def _with_mark(data: bytes, mark: bytes) -> bytes:
    return data[:18] + mark + data[20:]


def mutator(seed: int) -> StoreMutator:
    """Mutants of the golden archive."""
    return StoreMutator(corpus("store")["golden"], seed)


if __name__ == "__main__":
    main("store", one, mutator(0))
