"""The tables of `steps.sqlite`, their checksums, and what of a damaged file goes into a new one."""

import contextlib
import zlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from wire import pages, salvage
from wire.codec import DecodeError, decode_spec, decode_step
from wire.database import PAGE_BYTES, DamagedError, Kind, Writer
from wire.pages import Values
from wire.specs import EnvSpec
from wire.types import Source, Step

KIND = Kind(
    name="Handrail archive (steps.sqlite)",
    application_id=0x48524C53,  # "HRLS"
    format=1,
    schema="""
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE episodes (
        stream TEXT NOT NULL, episode INTEGER NOT NULL, length INTEGER NOT NULL, episode_return REAL NOT NULL,
        success INTEGER NOT NULL, human_steps INTEGER NOT NULL, terminated INTEGER NOT NULL,
        truncated INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
        PRIMARY KEY (stream, episode));
    CREATE TABLE steps (
        id INTEGER PRIMARY KEY, stream TEXT NOT NULL, seq INTEGER NOT NULL, episode INTEGER NOT NULL,
        t INTEGER NOT NULL, source INTEGER NOT NULL, reward REAL NOT NULL, terminated INTEGER NOT NULL,
        truncated INTEGER NOT NULL, success INTEGER NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL,
        UNIQUE (stream, seq));
    CREATE TABLE frames (
        step INTEGER NOT NULL, final INTEGER NOT NULL, name TEXT NOT NULL, pixels BLOB NOT NULL,
        crc INTEGER NOT NULL, PRIMARY KEY (step, final, name));
    """,
)
INSERT_STEP = f"INSERT INTO steps VALUES ({', '.join('?' * 12)}) ON CONFLICT (stream, seq) DO NOTHING"
BEGAN = "began"
"""The key under which `meta` says when the file was made."""
OWNER = "owner of "
"""Before the stream's id it is the key under which `meta` names who alone may continue the stream."""
_INSERT_WHOLE_STEP = f"INSERT OR IGNORE INTO steps VALUES ({', '.join('?' * 12)})"
# A stream's steps lie next to each other and t counts them, so an episode's are found without reading the others.
_HUMAN = (int(Source.HUMAN), int(Source.SCRIPT))
INSERT_EPISODE = f"""
    INSERT OR REPLACE INTO episodes
    SELECT stream, episode, count(*), total(reward), max(success), sum(source IN {_HUMAN}),
           max(terminated), max(truncated), min(seq), max(seq)
    FROM steps WHERE stream = :stream AND seq BETWEEN :seq - :t AND :seq AND episode = :episode
"""


def step_crc(row: int, stream: str, seq: int, body: bytes) -> int:
    """Of a step without its frames, and of its place."""
    return zlib.crc32(body, zlib.crc32(f"{row}:{stream}:{seq}".encode()))


def frame_crc(row: int, final: int, name: str, pixels: bytes | memoryview) -> int:
    """Of a frame, and of its place."""
    return zlib.crc32(pixels, zlib.crc32(f"{row}:{final}:{name}".encode()))


def text_crc(text: str) -> str:
    """Of the spec's text."""
    return str(zlib.crc32(text.encode()))


def step_columns(row: int, stream: str, seq: int, step: Step, body: bytes) -> Values:
    """The row of table steps: what SQL asks about, then `body`, the record of the step without its frames."""
    outcome = (float(step.reward), bool(step.terminated), bool(step.truncated), bool(step.success))
    place = (row, stream, seq, int(step.episode), int(step.t), int(step.source))
    return (*place, *outcome, body, step_crc(row, stream, seq, body))


def salvaged_spec(path: Path) -> EnvSpec | None:
    """The specification in a damaged file, None where it is not intact."""
    texts, sums = [], set()
    for _, values in pages.read_rows(path, PAGE_BYTES):
        match values:
            case ("spec", str(text)):
                texts.append(text)
            case ("spec_crc", str(crc)):
                sums.add(crc)
    for text in texts:
        if text_crc(text) in sums:
            with contextlib.suppress(DecodeError):
                return decode_spec(text)
    return None


def rebuild(path: Path, spec: EnvSpec, *, because: DamagedError) -> Path:
    """Put a new file, which holds what is intact, in the place of a damaged one; returns where that is kept.

    Raises:
        DamagedError: Nothing of the file is intact, or none of it fits `spec`: it stays where it is.
    """
    return salvage.rebuild(path, KIND, partial(_refill, spec=spec), because=because)


def _refill(writer: Writer, rows: Iterable[tuple[int, Values]], *, spec: EnvSpec) -> int:
    """Copy every intact step and frame under its own row number, and sum the episodes up anew."""
    db, facts = writer.db, {}
    for row, values in rows:
        match values:
            case (str(key), str(value)):
                facts.setdefault(key, value)
            case (None, str(stream), int(seq), _, _, _, _, _, _, _, bytes(body), int(crc)):
                step = intact(row, stream, seq, body, crc, spec)
                if step is not None:
                    db.execute(_INSERT_WHOLE_STEP, step_columns(row, stream, seq, step, body))
            case (int(step), int(final), str(name), bytes(pixels), int(crc)) if crc == frame_crc(
                step, final, name, pixels
            ):
                db.execute("INSERT OR IGNORE INTO frames VALUES (?, ?, ?, ?, ?)", values)
    theirs = facts.get("spec", "")
    if text_crc(theirs) == facts.get("spec_crc") and decode_spec(theirs) != spec:
        return 0
    kept = [(key, value) for key, value in facts.items() if key not in ("spec", "spec_crc")]
    db.executemany("INSERT INTO meta VALUES (?, ?)", kept)
    db.execute("DELETE FROM frames WHERE step NOT IN (SELECT id FROM steps)")
    ends = "SELECT stream, seq, t, episode FROM steps WHERE terminated OR truncated ORDER BY id"
    for stream, seq, t, episode in db.execute(ends).fetchall():
        db.execute(INSERT_EPISODE, {"stream": stream, "seq": seq, "t": t, "episode": episode})
    return db.execute("SELECT count(*) FROM steps").fetchone()[0]


def intact(row: int, stream: str, seq: int, body: bytes, crc: int, spec: EnvSpec) -> Step | None:
    """The step in a row, without its frames, if its checksums and its vectors are right."""
    if crc != step_crc(row, stream, seq, body):
        return None
    try:
        step = decode_step(body)
    except DecodeError:
        return None
    vectors = {name: array for name, array in spec.observation.items() if not array.is_frame}
    if step.observation.keys() != vectors.keys() or spec.action_problem(step.action) is not None:
        return None
    problems = [array.problem(name, step.observation[name]) for name, array in vectors.items()]
    return None if any(problems) else step
