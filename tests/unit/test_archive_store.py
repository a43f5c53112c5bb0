"""The promises of what an archive's file keeps beside its steps, and of reading it without frames."""

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from archives import SPEC, episode, rows_of, some_run, write_run
from experience import STREAM

from wire import database
from wire.archive_file import rebuild, salvaged_spec
from wire.database import DamagedError, is_being_written
from wire.store import StepStore
from wire.types import Source


def as_made_before(path: Path) -> Path:
    """The file with the table of labels that archives once had, though nothing wrote to it."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "CREATE TABLE labels (id INTEGER PRIMARY KEY, stream TEXT, seq INTEGER, kind TEXT, value REAL, v TEXT)"
        )
        db.execute("INSERT INTO labels VALUES (NULL, ?, 2, 'reward', 0.25, 'v1')", (STREAM,))
    return path


def test_a_file_from_when_labels_had_a_table_in_it_is_read_and_continued(tmp_path: Path):
    path = as_made_before(some_run(tmp_path))
    with StepStore.open(path, SPEC) as store:
        assert store.insert(STREAM, 18, episode(SPEC, 9)[0])
        store.commit()
        store.forget_after(17)
        store.commit()
    assert len(rows_of(path)) == 17


def test_when_a_file_was_begun_is_kept_when_it_is_continued(tmp_path: Path):
    path = some_run(tmp_path)
    with StepStore.read(path) as store:
        began = store.began
    StepStore.open(path, SPEC, {"began": "yesterday"}).close()
    with StepStore.read(path) as store:
        assert store.began == began
        assert began.endswith("+00:00")
        assert "began" not in store.info


def test_without_frames_the_vectors_are_read_and_no_image_is(tmp_path: Path):
    path = some_run(tmp_path)
    with StepStore.read(path) as store:
        bare, whole = list(store.rows(frames=False)), list(store.rows())
    assert [row[:3] for row in bare] == [row[:3] for row in whole]
    assert all(row.step.observation.keys() == {"state"} for row in bare)
    assert all(
        (a.step.observation["state"] == b.step.observation["state"]).all() for a, b in zip(bare, whole, strict=True)
    )


def test_a_damaged_image_does_not_matter_where_no_image_is_read(tmp_path: Path):
    path = some_run(tmp_path)
    db = sqlite3.connect(path)
    with db:
        db.execute("UPDATE frames SET pixels = zeroblob(length(pixels)) WHERE step = 3")
    db.close()
    with StepStore.read(path) as store:
        assert len(list(store.rows(frames=False))) == 17
        assert store.damaged == 0
        assert len(list(store.rows())) == 16
        assert store.damaged == 1


def test_a_step_is_found_by_its_number(tmp_path: Path):
    path = some_run(tmp_path)
    with StepStore.read(path) as store:
        found = store.find(STREAM, 6)
        assert found is not None
        assert (found.seq, found.step.episode, found.step.t) == (6, 1, 1)
        assert store.find(STREAM, 99) is None
        assert store.find_row("other", 1) is None


def test_who_helped_first_is_told(tmp_path: Path):
    path = write_run(tmp_path, [episode(SPEC, 0), episode(SPEC, 1, helped=[2])])
    with StepStore.read(path) as store:
        alone, helped = store.episodes()
        assert (store.first_helper(alone), store.first_helper(helped)) == (None, Source.HUMAN)


def test_facts_outlive_the_damage_of_a_file(tmp_path: Path):
    path = as_made_before(some_run(tmp_path))
    with StepStore.open(path, SPEC, {"calibration": "{}"}) as store:
        began = store.began
    data = bytearray(path.read_bytes())
    data[:100] = bytes(100)
    path.write_bytes(data)
    assert salvaged_spec(path) == SPEC
    rebuild(path, SPEC, because=DamagedError("it is"))
    with StepStore.open(path, SPEC) as store:
        assert store.info["calibration"] == "{}"
        assert store.began == began
    assert len(rows_of(path)) == 17


def test_a_file_without_a_specification_says_so(tmp_path: Path):
    (tmp_path / "junk").write_bytes(b"junk" * 10_000)
    assert salvaged_spec(tmp_path / "junk") is None


def test_a_writer_is_seen_without_touching_its_lock(tmp_path: Path):
    path = some_run(tmp_path)
    assert not is_being_written(path)
    with StepStore.open(path, SPEC):
        assert is_being_written(path)
    assert not is_being_written(path)
    path.with_name("steps.sqlite.lock").write_text("1")  # A killed writer leaves it.
    assert not is_being_written(path)


@pytest.mark.parametrize(("owner", "alive"), [("this", True), ("999999999", False), ("nonsense", False)])
def test_where_locks_are_not_listed_the_process_in_the_lock_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, alive: bool
):
    monkeypatch.setattr(database, "_LOCKS", tmp_path / "none")
    (tmp_path / "steps.sqlite.lock").write_text(str(os.getpid()) if owner == "this" else owner)
    assert is_being_written(tmp_path / "steps.sqlite") is alive
