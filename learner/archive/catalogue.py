"""All runs of a folder. What was read once is kept in `catalogue.sqlite` there, which can be deleted at any time."""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from learner.archive.facts import ARCHIVE, RunFacts, read_facts, run_name
from wire.archive_file import KIND as ARCHIVE_KIND
from wire.database import DamagedError, Kind, StoreError, Writer, is_being_written, open_reader
from wire.errors import UserError
from wire.labels import labels_path
from wire.salvage import remove

log = logging.getLogger(__name__)

CATALOGUE = "catalogue.sqlite"
_KIND = Kind(
    name="Handrail catalogue (catalogue.sqlite)",
    application_id=0x48524C43,  # "HRLC"
    format=1,
    schema="CREATE TABLE runs (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, facts TEXT NOT NULL);",
)
_NO_ARCHIVES = {"outbox.sqlite", CATALOGUE}
_SKIPPED = {"checkpoints", "recordings", "node_modules"}
_READ_AS = 2
"""Raised whenever other facts are read of the same file: what was remembered before is then read anew."""
_APPLICATION_ID = slice(68, 72)
"""Where SQLite keeps it in a file's header."""

_Known = dict[str, tuple[str, str]]


class NoArchive(UserError):
    """There is nothing at a path that could be listed; the text says what was looked for."""


def find_files(root: Path) -> Iterator[Path]:
    """Every archive file in a folder and those below it: steps.sqlite and files of demonstrations."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        # A run's own folder holds checkpoints and videos, but no further runs.
        folders[:] = (
            [] if ARCHIVE in files else sorted(name for name in folders if name not in _SKIPPED and name[:1] != ".")
        )
        yield from (file for name in sorted(files) if is_archive(file := here / name))


def resolve(path: Path) -> Path:
    """The archive file that a path of the command line means; raises NoArchive where it means none, or several."""
    if path.is_file():
        return path
    if (path / ARCHIVE).is_file():
        return path / ARCHIVE
    raise NoArchive(_nothing(path))


def list_runs(paths: Sequence[Path]) -> list[RunFacts]:
    """The facts of every archive at these paths, which may be files, runs, or folders of them.

    Raises:
        NoArchive: There is nothing at one of them.
    """
    found: dict[str, RunFacts] = {}
    for path in paths:
        if path.is_file() or (path / ARCHIVE).is_file():
            files = [resolve(path)]
            facts = [read_facts(each) for each in files]
        elif path.is_dir():
            facts = list(_catalogued(path))
        else:
            raise NoArchive(_nothing(path))
        found |= {each.path: each for each in facts}
    return list(found.values())


def _catalogued(root: Path) -> Iterator[RunFacts]:
    known, fresh = _load(root / CATALOGUE), {}
    for path in find_files(root):
        key, stamp = str(path.relative_to(root)), _stamp(path)
        facts = _remembered(known, key, stamp, path)
        if facts is None:
            facts = read_facts(path)
            fresh[key] = stamp, msgspec.json.encode(facts).decode()
        else:
            known.pop(key)
        yield facts
    if fresh or known:
        _save(root / CATALOGUE, fresh, gone=known.keys() - fresh.keys())


def _remembered(known: _Known, key: str, stamp: str, path: Path) -> RunFacts | None:
    """The facts that were read when the file was as it is now; None where they must be read anew."""
    if key not in known or known[key][0] != stamp:
        return None
    try:
        facts = msgspec.json.decode(known[key][1], type=RunFacts)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    # The folder may have been moved, and a writer may have come without having written.
    state = "writing" if is_being_written(path) else "empty" if facts.state == "empty" else "finished"
    return msgspec.structs.replace(facts, path=str(path), name=run_name(path), state=state)


def _stamp(path: Path) -> str:
    """Changes whenever the file, the labels beside it, or the log in which the newest of either lie, does."""
    parts = [_READ_AS]
    for file in (f"{each}{suffix}" for each in (path, labels_path(path)) for suffix in ("", "-wal")):
        with contextlib.suppress(OSError):
            stat = Path(file).stat()
            parts += [stat.st_mtime_ns, stat.st_size, stat.st_ino]
    return " ".join(map(str, parts))


def _load(path: Path) -> _Known:
    """What the catalogue knows; nothing where there is none, or where it cannot be read."""
    if not path.is_file():
        return {}
    try:
        with contextlib.closing(open_reader(path, _KIND)) as db:
            return {key: (stamp, facts) for key, stamp, facts in db.execute("SELECT path, stamp, facts FROM runs")}
    except (StoreError, sqlite3.Error) as error:
        log.warning("the catalogue is built anew: %s", error)
        return {}


def _save(path: Path, fresh: _Known, gone: set[str]) -> None:
    """Remember what was read; where that is not possible the next listing takes longer, and that is all."""
    try:
        _write(path, fresh, gone)
    except DamagedError:
        remove(path)
        with contextlib.suppress(StoreError):
            _write(path, fresh, set())
    except StoreError as error:
        log.info("the catalogue is not kept: %s", error)


def _write(path: Path, fresh: _Known, gone: set[str]) -> None:
    with contextlib.closing(Writer(path, _KIND, synchronous="NORMAL")) as writer:
        try:
            writer.begin()
            writer.db.executemany("DELETE FROM runs WHERE path = ?", [(key,) for key in gone])
            rows = [(key, *values) for key, values in fresh.items()]
            writer.db.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", rows)
        except sqlite3.DatabaseError as error:
            raise DamagedError(str(error)) from error
        writer.commit()


def is_archive(path: Path) -> bool:
    """Whether a file is one of steps: by its usual name, or by what its header says."""
    if path.name == ARCHIVE:
        return True
    if path.suffix != ".sqlite" or path.name in _NO_ARCHIVES:
        return False
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError:
        return False
    return header[_APPLICATION_ID] == ARCHIVE_KIND.application_id.to_bytes(4, "big")


def _nothing(path: Path) -> str:
    if not path.exists():
        return f"there is nothing at {path}; name a run's folder, a file of demonstrations, or a folder of runs"
    return f"{path} holds no {ARCHIVE}; name a run's folder or a file of demonstrations"
