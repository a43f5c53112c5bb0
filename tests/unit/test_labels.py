"""Labels beside an archive: appended by anybody, never changed, the weightiest word counts."""

import sqlite3
import threading
from pathlib import Path

import pytest
from rewarding import record

from wire.database import StoreError
from wire.labels import Label, append_labels, effective, labels_path, labels_since
from wire.store import StepStore

STREAM = "a" * 32


def test_what_was_appended_is_read_and_asked_for_only_once(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    assert labels_since(archive) == ([], 0)
    first = Label(STREAM, 1, 1.0, 0.97, version="success-1", who="handrail")
    append_labels(archive, [first])
    found, last = labels_since(archive)
    assert found == [first]
    second = Label(STREAM, 1, 0.0, source="person", who="ann")
    append_labels(archive, [second])
    assert labels_since(archive, last)[0] == [second]
    assert labels_since(archive)[0] == [first, second]


def test_a_person_overrules_a_model_and_a_model_the_outcome_whoever_came_last(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    person, model = Label(STREAM, 1, 0.0, source="person"), Label(STREAM, 1, 1.0, version="success-2")
    outcome = Label(STREAM, 2, 0.0, source="outcome")
    append_labels(archive, [person, model, Label(STREAM, 2, 1.0, version="success-1"), outcome])
    counts = effective(labels_since(archive)[0])
    assert counts[STREAM, 1] == person
    assert counts[STREAM, 2].version == "success-1"
    newer = model._replace(seq=2, value=0.0)
    append_labels(archive, [newer])
    assert effective(labels_since(archive)[0])[STREAM, 2] == newer


def test_labels_can_be_appended_while_a_learner_writes_the_archive(tmp_path: Path):
    path = record(tmp_path / "steps.sqlite", 2)
    with StepStore.read(path) as store, StepStore.open(path, store.spec):
        append_labels(path, [Label(STREAM, 1, 1.0)])
    assert len(labels_since(path)[0]) == 1


def test_two_writers_take_turns_and_nothing_is_lost(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"

    def write(source: int) -> None:
        for number in range(5):
            append_labels(archive, [Label(STREAM, 100 * source + number, 1.0)])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(labels_since(archive)[0]) == 10


def test_a_damaged_label_is_left_out(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    append_labels(archive, [Label(STREAM, 1, 1.0), Label(STREAM, 2, 1.0)])
    with sqlite3.connect(labels_path(archive)) as db:
        db.execute("UPDATE labels SET value = 0.0 WHERE seq = 1")
    db.close()
    assert [label.seq for label in labels_since(archive)[0]] == [2]


@pytest.mark.parametrize(
    "label", [Label(STREAM, 1, float("nan")), Label(STREAM, 1, 1.0, float("inf")), Label(STREAM, 1, 1.0, source="cat")]
)
def test_no_nan_and_no_unknown_source_is_ever_written(tmp_path: Path, label: Label):
    with pytest.raises(ValueError, match="label's"):
        append_labels(tmp_path / "steps.sqlite", [label])
    assert not labels_path(tmp_path / "steps.sqlite").exists()


def test_a_file_that_is_none_is_named(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    labels_path(archive).write_text("not a database, and long enough to be looked at as one" * 40)
    with pytest.raises(StoreError, match=r"steps\.labels\.sqlite"):
        labels_since(archive)
