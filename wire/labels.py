"""`<archive>.labels.sqlite` beside an archive: what was said about its steps afterwards, appended and never changed.

Beside it, because the archive belongs to one writer while a run lasts, and because a finished run stays as it was. A
label is of the state *after* a step, which is what the step's reward judges.
"""

import contextlib
import math
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from wire.database import Kind, StoreError, Writer, explained, open_reader

SUCCESS = "success"
"""The kind of label that says whether the task is done: 1 or 0."""
REWARD = "reward"
"""The kind of label that gives the reward itself, as a model of that version has it."""
PROGRESS = "progress"
"""The kind of label that says how near the task is to its end: the higher, the nearer. A simulation knows it."""
SCORE, START = "score", "start"
"""The kinds that change no reward: a model's probability of success, of the state after a step as ever, and of the one
that an episode's first step began in, which comes after none."""
SOURCES = ("outcome", "model", "person")
"""Who may label, the weightier last: a person overrules a model, and a model the task's own outcome."""
_KIND = Kind(
    name="Handrail label file (labels.sqlite)",
    application_id=0x48524C42,  # "HRLB"
    format=1,
    schema="""
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY, stream TEXT NOT NULL, seq INTEGER NOT NULL, value REAL NOT NULL, score REAL,
        source TEXT NOT NULL, version TEXT NOT NULL, who TEXT NOT NULL, kind TEXT NOT NULL, crc INTEGER NOT NULL);
    """,
)
_COLUMNS = "stream, seq, value, score, source, version, who, kind"
_INSERT = f"INSERT INTO labels ({_COLUMNS}, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PATIENCE_S = 5.0
_AGAIN_S = 0.02


class Label(NamedTuple):
    """What somebody says of the state after one step."""

    stream: str
    seq: int
    value: float
    """Of kind success: 1 where the task is done, and the episode ends here; else 0."""
    score: float | None = None
    """The calibrated probability behind it, where a model said so."""
    source: str = "model"
    """One of SOURCES."""
    version: str = ""
    """Of the model; empty where a person or the task said so."""
    who: str = ""
    """Name of the person or the program."""
    kind: str = SUCCESS


def labels_path(archive: Path) -> Path:
    """Where the labels of `steps.sqlite` are: `steps.labels.sqlite`."""
    return archive.with_suffix(".labels.sqlite")


def append_labels(archive: Path, labels: Iterable[Label]) -> None:
    """Make labels durable, all of them or none. Several processes may do this; each has the file for a moment only.

    Raises:
        StoreError: The file is something else, or another process has kept it for seconds.
        ValueError: A label's source is unknown, or its value no number.
    """
    rows = [_row(label) for label in labels]
    if not rows:
        return
    path = labels_path(archive)
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            writer = Writer(path, _KIND, synchronous="FULL")
            break
        except StoreError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_AGAIN_S)
    with contextlib.closing(writer), explained(path, "write"):
        writer.begin()
        writer.db.executemany(_INSERT, rows)
        writer.commit()


def labels_since(archive: Path, last: int = 0) -> tuple[list[Label], int]:
    """The labels appended after number `last`, oldest first, and the number of the newest; none where there is no file.

    Damaged ones are left out. Cheap enough to ask every second.

    Raises:
        StoreError: The file is something else or cannot be read.
    """
    path = labels_path(archive)
    if not path.is_file():
        return [], last
    try:
        db = open_reader(path, _KIND)
    except StoreError:
        if path.with_name(f"{path.name}.lock").exists():
            return [], last  # Just being made; there is nothing in it yet.
        raise
    with contextlib.closing(db), explained(path, "read"):
        rows = db.execute(f"SELECT id, crc, {_COLUMNS} FROM labels WHERE id > ? ORDER BY id", (last,)).fetchall()
    found = [Label(*row) for _, crc, *row in rows if crc == _crc(Label(*row)) and row[4] in SOURCES]
    return found, rows[-1][0] if rows else last


def effective(labels: Iterable[Label], kind: str = SUCCESS) -> dict[tuple[str, int], Label]:
    """(stream, seq) -> the label that counts: of the weightiest source, the newest."""
    found: dict[tuple[str, int], Label] = {}
    for label in labels:
        key = label.stream, label.seq
        if label.kind == kind and (key not in found or outranks(label, found[key])):
            found[key] = label
    return found


def outranks(label: Label, other: Label) -> bool:
    """Whether a later label counts in place of an earlier one."""
    return SOURCES.index(label.source) >= SOURCES.index(other.source)


def _row(label: Label) -> tuple[object, ...]:
    if label.source not in SOURCES:
        raise ValueError(f"a label's source must be one of {', '.join(SOURCES)}, got {label.source}")
    if not all(number is None or math.isfinite(number) for number in (label.value, label.score)):
        raise ValueError(f"a label's value and score must be finite, got {label.value} and {label.score}")
    score = None if label.score is None else float(label.score)
    label = label._replace(seq=int(label.seq), value=float(label.value), score=score)
    return (*label, _crc(label))


def _crc(label: Label) -> int:
    return zlib.crc32(repr(tuple(label)).encode())
