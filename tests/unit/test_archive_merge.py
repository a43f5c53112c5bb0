"""The promises of merging, filtering and describing: nothing twice, nothing lost, no surprise."""

import json
from pathlib import Path

import msgspec
import pytest
from archives import SPEC, episode, rows_of, some_run, write_run
from experience import STREAM, assert_same_step

from learner.__main__ import facts
from learner.archive.config import DescribeConfig, Selection
from learner.archive.describe import described
from learner.archive.facts import CALIBRATION, calibration_name, read_facts
from learner.archive.merge import merge
from learner.archive.verify import verify_file
from learner.config import LearnerConfig, RlpdConfig
from wire.errors import UserError
from wire.labels import REWARD, SCORE, Label, append_labels, labels_path, labels_since
from wire.specs import SpecMismatch
from wire.store import StepStore, StoreError

OTHER = "f" * 32
PERSON = Label(STREAM, 4, 0.0, source="person", who="ann")
REWARDED = Label(STREAM, 2, 0.5, version="v1", kind=REWARD)
SCORED = Label(OTHER, 1, 0.25, 0.25, version="m-1", kind=SCORE)


def labels_of(run: Path) -> list[Label]:
    return labels_since(run / "steps.sqlite")[0]


def test_a_merged_run_holds_every_step_and_label_of_its_parts_and_whose_they_are(tmp_path: Path):
    one, two = some_run(tmp_path / "one"), some_run(tmp_path / "two", stream=OTHER, seed=1)
    with StepStore.open(one, SPEC) as store:
        store.claim(STREAM, "robot-1")
        store.commit()
    append_labels(one, [PERSON, REWARDED])
    append_labels(two, [SCORED])
    report = merge([one, two], tmp_path / "both")
    assert (report["steps"], report["duplicates"], report["damaged"], report["labels"]) == (34, 0, 0, 3)
    for got, wanted in zip(rows_of(tmp_path / "both"), rows_of(one) + rows_of(two), strict=True):
        assert (got.stream, got.seq) == (wanted.stream, wanted.seq)
        assert_same_step(got.step, wanted.step)
    with StepStore.read(tmp_path / "both" / "steps.sqlite") as store:
        assert store.claim(STREAM, "") == "robot-1"
        assert len(store.episodes()) == 8
        assert json.loads(store.info["merged_from"]) == [str(one.parent), str(two.parent)]
    assert labels_of(tmp_path / "both") == [PERSON, REWARDED, SCORED]
    assert sorted(each.name for each in (tmp_path / "both").iterdir()) == ["steps.labels.sqlite", "steps.sqlite"]


def test_of_chosen_episodes_the_labels_come_along_and_no_others(tmp_path: Path):
    one = some_run(tmp_path / "one")
    of_the_helped = Label(STREAM, 6, 1.0, source="person")
    append_labels(one, [PERSON, of_the_helped, REWARDED])
    merge([one], tmp_path / "alone", Selection(intervention="none"))
    assert labels_of(tmp_path / "alone") == [PERSON, REWARDED]


def test_copies_of_a_label_count_once_and_what_was_taken_back_and_said_again_counts_again(tmp_path: Path):
    one = some_run(tmp_path / "one")
    append_labels(one, [PERSON, PERSON._replace(value=1.0)])
    merge([one], tmp_path / "copy")
    copy = tmp_path / "copy" / "steps.sqlite"
    append_labels(copy, [PERSON])
    merge([one, copy], tmp_path / "both")
    assert labels_of(tmp_path / "both") == [PERSON, PERSON._replace(value=1.0), PERSON]


def test_labels_of_a_run_that_is_gone_are_not_written_over(tmp_path: Path):
    one = some_run(tmp_path / "one")
    append_labels(tmp_path / "out" / "steps.sqlite", [PERSON])
    with pytest.raises(UserError, match="holds a run already"):
        merge([one], tmp_path / "out")
    assert labels_of(tmp_path / "out") == [PERSON]


def test_a_merge_that_fails_leaves_no_labels(tmp_path: Path):
    one, two = some_run(tmp_path / "one"), some_run(tmp_path / "two", stream=OTHER)
    append_labels(one, [PERSON])
    labels_path(two).write_text("no database, and long enough to be looked at as one" * 40)
    with pytest.raises(StoreError, match=r"steps\.labels\.sqlite"):
        merge([one, two], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_a_step_that_is_in_several_files_is_there_once(tmp_path: Path):
    one = some_run(tmp_path / "one")
    merge([one], tmp_path / "copy")
    report = merge([one, tmp_path / "copy" / "steps.sqlite"], tmp_path / "both")
    assert (report["steps"], report["duplicates"]) == (17, 17)


def test_parts_of_a_stream_come_together_in_its_order_whatever_the_order_of_the_files(tmp_path: Path):
    one = some_run(tmp_path / "one")
    merge([one], tmp_path / "good", Selection(intervention="some"))
    merge([one], tmp_path / "rest", Selection(intervention="none"))
    merge([tmp_path / "good" / "steps.sqlite", tmp_path / "rest" / "steps.sqlite"], tmp_path / "again")
    got = rows_of(tmp_path / "again")
    assert [row.seq for row in got] == list(range(1, 18))
    for ours, theirs in zip(got, rows_of(one), strict=True):
        assert_same_step(ours.step, theirs.step)


def test_two_different_steps_of_one_number_are_refused_and_nothing_is_left(tmp_path: Path):
    one, two = some_run(tmp_path / "one"), some_run(tmp_path / "two", seed=1)
    with pytest.raises(UserError, match=r"step 1 of stream 01234567 .* differs"):
        merge([one, two], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_runs_of_two_specifications_are_refused(tmp_path: Path):
    one = some_run(tmp_path / "one")
    two = some_run(tmp_path / "two", stream=OTHER, spec=msgspec.structs.replace(SPEC, reward="sparse-2"))
    with pytest.raises(SpecMismatch, match=r"reward: sparse-1 here, sparse-2 there.*filter <folder> like="):
        merge([one, two], tmp_path / "both")


def test_a_run_is_never_written_over(tmp_path: Path):
    one = some_run(tmp_path / "one")
    with pytest.raises(UserError, match="holds a run already"):
        merge([one], tmp_path / "one")


@pytest.mark.parametrize("damage", ["row", "header"])
def test_of_a_damaged_run_the_intact_steps_are_merged_and_the_loss_is_counted(tmp_path: Path, damage: str):
    one = some_run(tmp_path / "one")
    data = bytearray(one.read_bytes())
    if damage == "header":
        data[:100] = bytes(100)
        one.write_bytes(data)
    else:
        import sqlite3

        db = sqlite3.connect(one)
        with db:
            db.execute("UPDATE steps SET body = zeroblob(length(body)) WHERE id = 6")
        db.close()
    report = merge([one], tmp_path / "new")
    assert report["remarks"]
    assert report["damaged"] == (1 if damage == "row" else 0)
    assert report["steps"] == (16 if damage == "row" else 17)
    verified = verify_file(one)
    assert not verified["intact"]
    assert verified["damaged"] == report["damaged"]


def test_of_an_intact_run_every_step_is_verified(tmp_path: Path):
    report = verify_file(some_run(tmp_path / "one"))
    assert report["intact"]
    assert (report["steps"], report["episodes"], report["damage"]) == (17, 4, [])


def test_a_calibration_is_kept_with_its_run_and_found_by_its_digest(tmp_path: Path):
    path = some_run(tmp_path / "one")
    (tmp_path / "cameras.yaml").write_text("front: {fx: 60.0, fy: 61.0}\n")
    (tmp_path / "cameras.json").write_text('{"front": {"fy": 61.0, "fx": 60.0}}')
    described(path, DescribeConfig(paths=["x"], calibration=str(tmp_path / "cameras.yaml"), note="bent wrist camera"))
    first = read_facts(path)
    described(path, DescribeConfig(paths=["x"], calibration=str(tmp_path / "cameras.json")))
    second = read_facts(path)
    assert first.calibration == second.calibration != "none"
    assert second.note == "bent wrist camera"


def test_a_calibration_that_the_learner_named_is_listed_and_merged_under_its_name(tmp_path: Path):
    info = facts(LearnerConfig(run="runs/one", agent=RlpdConfig(), camera_calibration="cell-1"))
    one = some_run(tmp_path / "one", info=info)
    before = some_run(tmp_path / "two", stream=OTHER, info={"camera_calibration": "cell-1"})
    assert read_facts(one).calibration == read_facts(before).calibration == "cell-1"
    assert merge([one, before], tmp_path / "both")["remarks"] == []
    assert read_facts(tmp_path / "both" / "steps.sqlite").calibration == "cell-1"


@pytest.mark.parametrize("theirs", ["cell-2", ""])
def test_where_cameras_are_not_calibrated_alike_a_merge_keeps_no_calibration_and_says_so(tmp_path: Path, theirs: str):
    one = some_run(tmp_path / "one", info={CALIBRATION: "cell-1"})
    two = some_run(tmp_path / "two", stream=OTHER, info={"agent": "rlpd", CALIBRATION: theirs})
    remarks = merge([one, two], tmp_path / "both")["remarks"]
    assert remarks == ["their cameras are not calibrated alike; the new run keeps no calibration"]
    assert read_facts(tmp_path / "both" / "steps.sqlite").calibration == "none"


def test_of_a_calibration_and_its_digits_a_merge_keeps_the_calibration(tmp_path: Path):
    kept = '{"front":{"fx":60.0}}'
    one = some_run(tmp_path / "one", info={CALIBRATION: calibration_name(kept)})
    two = some_run(tmp_path / "two", stream=OTHER, info={CALIBRATION: kept})
    merge([one, two], tmp_path / "both")
    with StepStore.read(tmp_path / "both" / "steps.sqlite") as store:
        assert store.info[CALIBRATION] == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fornt: 1", "calibrates fornt, the run has front, wrist; did you mean front"),
        ("[1, 2]", "must map cameras to their calibration, got a list"),
        ("{a: [", "is no calibration in JSON or YAML"),
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str):
    path = some_run(tmp_path / "one")
    (tmp_path / "cameras.yaml").write_text(text)
    with pytest.raises(UserError, match=said):
        described(path, DescribeConfig(paths=["x"], calibration=str(tmp_path / "cameras.yaml")))


def test_a_run_that_is_being_written_is_not_described(tmp_path: Path):
    path = write_run(tmp_path / "one", [episode(SPEC, 0)])
    with StepStore.open(path, SPEC), pytest.raises(StoreError, match="is being written by process"):
        described(path, DescribeConfig(paths=["x"], note="now"))
