"""What of a write-ahead log is damage, and what a process leaves that is killed."""

import contextlib
import shutil
import sqlite3
import struct

import pytest

from wire.database import PAGE_BYTES
from wire.pages import _checksum, is_log_damaged

HEADER, FRAME = 32, 24 + PAGE_BYTES


@pytest.fixture
def logged(tmp_path):
    """A file whose log holds six commits, and then the copy that a killed process leaves."""
    live, left = tmp_path / "live.sqlite", tmp_path / "left.sqlite"
    db = sqlite3.connect(live, isolation_level=None)
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE t (x)")
    for number in range(6):
        db.execute("INSERT INTO t VALUES (?)", (number,))
    for suffix in ("", "-wal"):
        shutil.copy(f"{live}{suffix}", f"{left}{suffix}")
    db.close()
    return left


def log_of(path):
    return path.with_name(path.name + "-wal")


def rewritten(path, change):
    data = bytearray(log_of(path).read_bytes())
    change(data)
    log_of(path).write_bytes(data)
    return is_log_damaged(path, PAGE_BYTES)


def begun_anew(data):
    """As SQLite begins a log anew: the next salt, a sound header, and not a frame of its own yet."""
    first = struct.unpack(">I", data[16:20])[0]
    data[16:24] = struct.pack(">II", (first + 1) % 2**32, 0x1234567)
    data[24:HEADER] = struct.pack(">II", *_checksum((0, 0), bytes(data[:24]), ">u4" if data[3] == 0x83 else "<u4"))


def rows(path):
    """How many rows SQLite finds; none where the table itself is among what it passes over."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        there = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return db.execute("SELECT count(*) FROM t").fetchone()[0] if there else 0


def test_a_log_that_was_only_cut_is_not_damaged(logged):
    assert not is_log_damaged(logged, PAGE_BYTES)
    assert not rewritten(logged, lambda data: data.__delitem__(slice(-100, None)))


def test_a_process_killed_between_the_header_and_the_first_frame_of_a_new_log_has_damaged_nothing(logged):
    assert not rewritten(logged, begun_anew)


@pytest.mark.parametrize("frame", [0, 2])
@pytest.mark.parametrize("place", [9, 17, 500], ids=["salt", "checksum", "page"])
def test_a_flipped_bit_before_another_commit_is_damage(logged, frame, place):
    def flip(data):
        data[HEADER + frame * FRAME + place] ^= 4

    before = rows(logged.with_name("live.sqlite"))
    assert rewritten(logged, flip)
    assert rows(logged) < before, "SQLite passes over what follows in silence, which is why this is checked"


@pytest.mark.parametrize("place", [5, 18, 26])
def test_a_flipped_bit_in_the_header_is_damage(logged, place):
    assert rewritten(logged, lambda data: data.__setitem__(place, data[place] ^ 4))
