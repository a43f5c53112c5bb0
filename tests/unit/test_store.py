"""The promises of the archive file."""

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from experience import EPISODE_LENGTH, STREAM, assert_same_step, make_spec, make_step

from wire import database
from wire.archive_file import KIND
from wire.database import EmptyError, Writer
from wire.specs import SpecMismatch
from wire.store import StepStore, StoreError
from wire.types import Source

SPEC = make_spec()
STEPS = [make_step(SPEC, number) for number in range(12)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "steps.sqlite"


def fill(path: Path, first: int = 0, last: int = len(STEPS)) -> None:
    with StepStore.open(path, SPEC, {"run": "one"}) as store:
        for number in range(first, last):
            assert store.insert(STREAM, number + 1, STEPS[number])
        store.commit()


def edit(path: Path, sql: str, *values: object) -> None:
    db = sqlite3.connect(path)
    with db:
        assert db.execute(sql, values).rowcount != 0
    db.close()


def test_what_was_committed_is_read_again_in_order(path: Path):
    fill(path)
    with StepStore.read(path) as store:
        rows = list(store.rows())
        assert [(row.row, row.stream, row.seq) for row in rows] == [(n + 1, STREAM, n + 1) for n in range(12)]
        for row, step in zip(rows, STEPS, strict=True):
            assert_same_step(row.step, step)
        assert store.spec == SPEC
        assert store.info == {"run": "one"}
        assert (store.count(), store.last_row(), store.last_seq(STREAM), store.last_seq("other")) == (12, 12, 12, 0)
        assert store.streams() == [STREAM]
        assert [row.row for row in store.rows(after=9)] == [10, 11, 12]
        assert [row.row for row in store.rows(after=9, until=11)] == [10, 11]
        assert (store.damaged, store.damage) == (0, [])


def test_a_reopened_file_goes_on_where_it_stopped(path: Path):
    fill(path, 0, 5)
    fill(path, 5, 12)
    with StepStore.read(path) as store:
        assert [row.seq for row in store.rows()] == list(range(1, 13))


def test_facts_given_again_replace_the_former(path: Path):
    fill(path)
    StepStore.open(path, SPEC, {"run": "two", "seed": "1"}).close()
    with StepStore.read(path) as store:
        assert store.info == {"run": "two", "seed": "1"}


def test_what_was_not_committed_is_not_there(path: Path):
    fill(path, 0, 3)
    with StepStore.open(path, SPEC) as store:
        store.insert(STREAM, 4, STEPS[3])
    with StepStore.read(path) as store:
        assert store.count() == 3


def test_a_rolled_back_step_leaves_no_gap_in_the_rows(path: Path):
    with StepStore.open(path, SPEC) as store:
        store.insert(STREAM, 1, STEPS[0])
        store.rollback()
        store.insert(STREAM, 1, STEPS[0])
        store.commit()
        assert [row.row for row in store.rows()] == [1]


def test_a_duplicate_is_not_inserted(path: Path):
    with StepStore.open(path, SPEC) as store:
        assert store.insert(STREAM, 1, STEPS[0])
        assert not store.insert(STREAM, 1, STEPS[1])
        assert store.insert("f" * 32, 1, STEPS[1])
        store.commit()
        assert [row.row for row in store.rows()] == [1, 2]
        assert_same_step(next(store.rows()).step, STEPS[0])


def test_episodes_are_summed_up_when_they_end(path: Path):
    fill(path)
    with StepStore.read(path) as store:
        first, second = store.episodes()
    assert first == (STREAM, 0, EPISODE_LENGTH, 1.0, True, 1, True, False, 1, 5)
    assert second == (STREAM, 1, EPISODE_LENGTH, 1.0, True, 1, True, False, 6, 10)
    assert first.success is True
    assert first.truncated is False


def test_a_reader_follows_a_file_that_is_being_written(path: Path):
    with StepStore.open(path, SPEC) as store, StepStore.read(path) as reader:
        assert list(reader.rows()) == []
        store.insert(STREAM, 1, STEPS[0])
        assert reader.count() == 0
        store.commit()
        assert [row.seq for row in reader.rows()] == [1]
        store.insert(STREAM, 2, STEPS[1])
        store.commit()
        assert [row.seq for row in reader.rows(after=1)] == [2]


def test_a_reader_cannot_write(path: Path):
    fill(path)
    with StepStore.read(path) as reader, pytest.raises(StoreError, match="opened to read"):
        reader.insert(STREAM, 13, STEPS[0])


@pytest.mark.parametrize(
    "bad", [{"reward": float("nan")}, {"action": np.zeros(3, "f4")}, {"observation": {}}, {"t": -1}]
)
def test_a_step_of_another_shape_is_refused_and_changes_nothing(path: Path, bad: dict):
    with StepStore.open(path, SPEC) as store:
        store.insert(STREAM, 1, STEPS[0])
        with pytest.raises(SpecMismatch, match="step 2 of stream 01234567"):
            store.insert(STREAM, 2, msgspec.structs.replace(STEPS[1], **bad))
        store.commit()
        assert store.count() == 1


DAMAGE = {
    "body flipped": "UPDATE steps SET body = zeroblob(length(body)) WHERE id = 7",
    "body of another type": "UPDATE steps SET body = 5 WHERE id = 7",
    "body gone": "UPDATE steps SET body = 'x' WHERE id = 7",
    "stream that is no text": "UPDATE steps SET stream = CAST(x'ff' AS TEXT) WHERE id = 7",
    "frame in no place": "UPDATE frames SET final = 7 WHERE step = 7",
    "row of another seq": "UPDATE steps SET seq = 99 WHERE id = 7",
    "row of another stream": "UPDATE steps SET stream = 'x' WHERE id = 7",
    "row lost": "DELETE FROM steps WHERE id = 7",
    "pixels flipped": "UPDATE frames SET pixels = zeroblob(length(pixels)) WHERE step = 7 AND name = 'wrist'",
    "frame cut short": "UPDATE frames SET pixels = substr(pixels, 2) WHERE step = 7 AND name = 'wrist'",
    "frame lost": "DELETE FROM frames WHERE step = 7 AND name = 'wrist'",
    "frame of another step": "UPDATE frames SET step = 8000 WHERE step = 7 AND name = 'wrist'",
    "frame renamed": "UPDATE frames SET name = 'side' WHERE step = 7 AND name = 'wrist'",
}


@pytest.mark.parametrize("sql", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_row_is_skipped_counted_and_named(path: Path, sql: str):
    fill(path)
    edit(path, sql)
    with StepStore.read(path) as store:
        assert [row.row for row in store.rows()] == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]
        assert store.damaged == 1
        assert store.damage[0].startswith("row 7 of ")


def test_a_damaged_page_costs_only_the_rows_on_it(path: Path):
    spec = make_spec(size=64)
    with StepStore.open(path, spec) as store:
        for number in range(40):
            store.insert(STREAM, number + 1, make_step(spec, number))
        store.commit()
    data = bytearray(path.read_bytes())
    pages = len(data) // database.PAGE_BYTES
    lost = 0
    for page in range(pages // 2, pages, 5):
        start = page * database.PAGE_BYTES
        broken = data[:start] + bytes(database.PAGE_BYTES) + data[start + database.PAGE_BYTES :]
        copy = path.with_name(f"{page}.sqlite")
        copy.write_bytes(broken)
        try:
            with StepStore.read(copy) as store:
                rows = list(store.rows())
        except StoreError:
            lost += 1
            continue
        assert len(rows) + store.damaged == 40
        for row in rows:
            assert_same_step(row.step, make_step(spec, row.seq - 1))
    assert lost <= 1


def test_a_second_writer_is_refused_and_told_which_process_has_the_file(path: Path):
    with StepStore.open(path, SPEC), pytest.raises(StoreError, match=r"written by process \d+; stop that one"):
        StepStore.open(path, SPEC)
    StepStore.open(path, SPEC).close()


def test_a_closed_file_is_one_file_also_after_it_was_read(path: Path):
    fill(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with StepStore.read(path) as store:
        assert len(list(store.rows())) == 12
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_closed_while_somebody_reads_stays_readable_for_him(path: Path):
    with StepStore.open(path, SPEC) as store:
        store.insert(STREAM, 1, STEPS[0])
        store.commit()
        reader = StepStore.read(path)
        assert reader.count() == 1
    assert [row.seq for row in reader.rows()] == [1]
    fill(path, 1, 12)
    assert [row.seq for row in reader.rows()] == list(range(1, 13))
    reader.close()


def test_a_lock_that_its_owner_removes_while_another_opens_it_is_no_lock(path: Path, monkeypatch: pytest.MonkeyPatch):
    path.parent.mkdir()
    first = database.Lock(path)
    flock, waited = database.fcntl.flock, []

    def close_first(fd: int, how: int) -> None:
        if not waited:
            waited.append(fd)
            first.close()
        flock(fd, how)

    monkeypatch.setattr(database.fcntl, "flock", close_first)
    second = database.Lock(path)
    with pytest.raises(StoreError, match="is being written by process"):
        database.Lock(path)
    second.close()


def test_a_disk_without_room_for_the_owners_number_can_still_be_locked(path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(database.os, "pwrite", full)
        store = StepStore.open(path, SPEC)
    with pytest.raises(StoreError, match="written by process another, of unknown number; stop"):
        StepStore.open(path, SPEC)
    store.close()
    StepStore.open(path, SPEC).close()


def test_the_lock_of_a_killed_writer_is_gone(path: Path):
    code = (
        "import sys, os, signal; from pathlib import Path; from wire.store import StepStore;"
        "from experience import make_spec;"
        "store = StepStore.open(Path(sys.argv[1]), make_spec()); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False, env={"PYTHONPATH": ":".join(sys.path)}, timeout=60)
    assert path.exists()
    StepStore.open(path, SPEC).close()


def test_a_file_of_another_spec_is_refused_with_every_difference(path: Path):
    fill(path)
    with pytest.raises(
        SpecMismatch, match=r"task: pick here, reach there.*state.*\(9,\).*\(3,\).*[Cc]hoose another run="
    ):
        StepStore.open(path, make_spec(task="pick", state=9))
    StepStore.open(path, SPEC).close()


def test_a_foreign_database_is_refused_and_left_alone(path: Path):
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE mine (x)")
    db.close()
    before = path.read_bytes()
    for opened in (lambda: StepStore.open(path, SPEC), lambda: StepStore.read(path)):
        with pytest.raises(StoreError, match="not a Handrail archive"):
            opened()
    assert path.read_bytes() == before


def test_a_file_in_which_nothing_was_begun_is_empty_to_a_reader_and_free_to_a_writer(path: Path):
    path.parent.mkdir()
    path.touch()
    with pytest.raises(EmptyError, match=r"is empty: a .* is only beginning there, .*; try again in a moment"):
        StepStore.read(path)
    fill(path)
    with StepStore.read(path) as store:
        assert store.count() == 12


def test_a_run_whose_tables_are_there_and_nothing_else_is_said_to_begin(tmp_path: Path):
    path = tmp_path / "steps.sqlite"
    beginning = pytest.raises(EmptyError, match="a run is only beginning there; try again in a moment")
    with contextlib.closing(Writer(path, KIND, synchronous="FULL")), beginning:
        StepStore.read(path)


def test_a_file_that_is_no_database_is_refused(path: Path):
    path.parent.mkdir()
    path.write_text("these are my notes, not a database" * 100)
    for opened in (lambda: StepStore.open(path, SPEC), lambda: StepStore.read(path)):
        with pytest.raises(StoreError, match="move it away"):
            opened()


def test_a_newer_format_is_refused_with_both_numbers(path: Path):
    fill(path)
    edit(path, "PRAGMA user_version = 2")
    with pytest.raises(StoreError, match=r"has format 2, .* up to format 1; update"):
        StepStore.open(path, SPEC)


def test_a_fact_that_lost_its_name_costs_nothing_else(path: Path):
    fill(path)
    edit(path, "INSERT INTO meta VALUES (NULL, 'x')")
    with StepStore.read(path) as store:
        assert len(list(store.rows())) == 12
    StepStore.open(path, SPEC).close()


def test_a_missing_file_is_named(path: Path):
    with pytest.raises(StoreError, match=f"no Handrail archive .* at {path}"):
        StepStore.read(path)


def test_a_finished_file_is_readable_where_nothing_may_be_written(path: Path, tmp_path: Path):
    fill(path)
    copy = tmp_path / "steps.sqlite"
    copy.write_bytes(path.read_bytes())
    copy.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with StepStore.read(copy) as store:
            assert store.count() == 12
    finally:
        tmp_path.chmod(0o755)


def test_a_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch):
    class Everything:
        def __contains__(self, _: str) -> bool:
            return True

    monkeypatch.setattr(database, "_NETWORK_FILE_SYSTEMS", Everything())
    with pytest.raises(StoreError, match=r"network file system .* local disk"):
        StepStore.open(path, SPEC)


def test_a_commit_waits_for_the_platter(path: Path):
    with StepStore.open(path, SPEC) as store:
        assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_full_disk_loses_only_what_was_not_committed_and_goes_on_after(path: Path):
    with StepStore.open(path, SPEC) as store:
        store.insert(STREAM, 1, STEPS[0])
        store.commit()
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="full; make room"):
            any(not store.insert(STREAM, seq, STEPS[1]) for seq in range(2, 10_000))
        assert store.last_seq(STREAM) == 1
        store._db.execute("PRAGMA max_page_count = 1000000")
        assert store.insert(STREAM, 2, STEPS[1])
        store.commit()
        assert [row.seq for row in store.rows()] == [1, 2]


def test_a_stream_is_whose_it_was_first_also_after_a_restart_and_a_failed_commit(tmp_path: Path):
    path = tmp_path / "steps.sqlite"
    with StepStore.open(path, SPEC) as store:
        assert store.claim(STREAM, "") == ""
        assert store.claim(STREAM, "robot-1") == "robot-1"
        store.insert(STREAM, 1, make_step(SPEC, 0))
        store.rollback()
        assert store.claim(STREAM, "robot-2") == "robot-1"
        store.commit()
    with StepStore.open(path, SPEC, {"agent": "rlpd"}) as store:
        assert store.claim(STREAM, "robot-2") == "robot-1"
        assert store.claim(STREAM, "") == "robot-1"
        assert store.claim("f" * 32, "robot-2") == "robot-2"
        store.commit()
        assert "robot-1" not in store.info.values()


@pytest.mark.timeout(60, method="thread")
@pytest.mark.parametrize("number", [5000, 2**40, 2**62, 2**63 - 1])
def test_a_row_with_a_flipped_number_costs_that_row_and_no_more_time_than_the_file_is_long(path: Path, number: int):
    fill(path)
    edit(path, "UPDATE steps SET id = ? WHERE id = 12", number)
    with StepStore.read(path) as store:
        assert [row.row for row in store.rows()] == list(range(1, 12))
        assert store.damaged <= 1
    with StepStore.open(path, SPEC) as store:
        assert store.insert(STREAM, 13, make_step(SPEC, 12))
        store.commit()
        assert [row.seq for row in store.rows()] == [*range(1, 12), 13]


PROGRAMS = {
    "a view that never ends": "ALTER TABLE steps RENAME TO mine; CREATE VIEW steps AS WITH RECURSIVE n(id) AS "
    "(SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, '' AS stream, 1 AS seq, x'' AS body, 0 AS crc FROM n",
    "a column that is computed": "ALTER TABLE steps ADD COLUMN big AS (printf('%.*c', 900000000, 'x'))",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON steps BEGIN DELETE FROM steps; END",
    "a virtual table": "CREATE VIRTUAL TABLE v USING fts5(x)",
}


@pytest.mark.parametrize("sql", PROGRAMS.values(), ids=PROGRAMS.keys())
@pytest.mark.timeout(60, method="thread")
def test_a_file_that_would_run_what_a_stranger_wrote_into_it_is_refused(path: Path, sql: str):
    fill(path)
    db = sqlite3.connect(path)
    db.executescript(sql)
    db.close()
    for opened in (lambda: StepStore.open(path, SPEC), lambda: StepStore.read(path)):
        with pytest.raises(StoreError, match="tampered with"):
            opened().count()


def test_rows_without_frames_are_the_same_but_for_their_images(tmp_path: Path):
    spec = make_spec()
    with StepStore.open(tmp_path / "s", spec) as store:
        for number in range(7):
            store.insert(STREAM, number + 1, make_step(spec, number))
        store.commit()
        bare = list(store.rows(frames=False))
        assert [row[:3] for row in bare] == [row[:3] for row in store.rows()]
        assert bare[4].step.observation.keys() == {"state"}
        assert bare[4].step.final_observation is not None
        assert (bare[1].step.source, bare[4].step.success) == (Source.HUMAN, True)


def test_rows_without_frames_leave_out_what_is_damaged(tmp_path: Path):
    spec = make_spec()
    with StepStore.open(tmp_path / "s", spec) as store:
        for number in range(3):
            store.insert(STREAM, number + 1, make_step(spec, number))
        store.commit()
    with contextlib.closing(sqlite3.connect(tmp_path / "s")) as db, db:
        db.execute("UPDATE steps SET crc = crc + 1 WHERE id = 2")
    with StepStore.read(tmp_path / "s") as store:
        assert [row.row for row in store.rows(frames=False)] == [1, 3]
        assert store.damaged == 1


def test_what_is_taken_back_is_gone_with_its_frames_and_the_numbers_go_on_without_a_gap(tmp_path: Path):
    spec = make_spec()
    with StepStore.open(tmp_path / "s", spec) as store:
        for number in range(10):
            store.insert(STREAM, number + 1, make_step(spec, number))
        store.commit()
        assert store.rows_between(STREAM, 6, 10) == (6, 10)
        assert store.rows_between("f" * 32, 6, 10) == (1, 0)
        store.forget_after(5)
        store.commit()
        assert (store.last_row(), store.last_seq(STREAM), len(store.episodes())) == (5, 5, 1)
        for number in range(5, 10):
            assert store.insert(STREAM, number + 1, make_step(spec, number))
        store.commit()
        assert [row.row for row in store.rows()] == list(range(1, 11))
        assert len(store.episodes()) == 2
