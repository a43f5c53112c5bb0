"""The promises of merging, filtering, pruning and describing: nothing twice, nothing lost, no surprise."""

import json
from pathlib import Path

import msgspec
import pytest
from archives import SPEC, episode, rows_of, some_run, write_run
from experience import STREAM, assert_same_step

from learner.archive.catalogue import list_runs
from learner.archive.config import DescribeConfig, PruneConfig, Selection
from learner.archive.describe import described
from learner.archive.facts import read_facts
from learner.archive.merge import merge
from learner.archive.prune import delete, plan
from learner.archive.verify import verify_file
from wire.errors import UserError
from wire.specs import SpecMismatch
from wire.store import Label, StepStore, StoreError

OTHER = "f" * 32


def test_a_merged_run_holds_every_step_and_label_of_its_parts_and_whose_they_are(tmp_path: Path):
    one, two = some_run(tmp_path / "one"), some_run(tmp_path / "two", stream=OTHER, seed=1)
    with StepStore.open(one, SPEC) as store:
        store.label(Label(STREAM, 2, "reward", 0.5, "v1"))
        store.claim(STREAM, "robot-1")
        store.commit()
    report = merge([one, two], tmp_path / "both")
    assert (report["steps"], report["duplicates"], report["damaged"]) == (34, 0, 0)
    for got, wanted in zip(rows_of(tmp_path / "both"), rows_of(one) + rows_of(two), strict=True):
        assert (got.stream, got.seq) == (wanted.stream, wanted.seq)
        assert_same_step(got.step, wanted.step)
    with StepStore.read(tmp_path / "both" / "steps.sqlite") as store:
        assert store.labels() == [Label(STREAM, 2, "reward", 0.5, "v1")]
        assert store.claim(STREAM, "") == "robot-1"
        assert len(store.episodes()) == 8
        assert json.loads(store.info["merged_from"]) == [str(one.parent), str(two.parent)]


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


def pruned(root: Path, **keys: object) -> tuple[list[str], dict[str, str]]:
    config = PruneConfig(paths=[str(root)], **keys)  # type: ignore[arg-type]
    doomed, kept = plan(list_runs([root]), config)
    return [each.target.name for each in doomed], {Path(run.name).name: why for run, why in kept}


def test_pruning_plans_before_it_deletes_and_deletes_what_it_planned(tmp_path: Path):
    root = tmp_path / "runs"
    some_run(root / "long", 5)
    some_run(root / "short", 1)
    (root / "short" / "success.png").write_bytes(b"x" * 1000)
    config = PruneConfig(paths=[str(root)], max_steps=10)
    doomed, kept = plan(list_runs([root]), config)
    assert [each.target.name for each in doomed] == ["short"]
    assert doomed[0].bytes > 1000
    assert [why for _, why in kept] == ["it has 25 steps, more than max_steps=10"]
    assert (root / "short" / "steps.sqlite").exists()
    gone, stayed = delete(doomed)
    assert ([each.target.name for each in gone], stayed) == (["short"], [])
    assert not (root / "short").exists()
    assert (root / "long" / "steps.sqlite").exists()


def test_a_run_that_was_never_begun_is_pruned(tmp_path: Path):
    root = tmp_path / "runs"
    some_run(root / "one").write_bytes(b"")
    assert pruned(root, max_steps=0) == (["one"], {})


def test_a_run_that_is_being_written_is_never_pruned(tmp_path: Path):
    root = tmp_path / "runs"
    path = some_run(root / "one")
    config = PruneConfig(paths=[str(root)], older_than_days=0)
    before, _ = plan(list_runs([root]), config)
    with StepStore.open(path, SPEC):
        assert pruned(root, older_than_days=0) == ([], {"one": "it is being written"})
        # And if it began between the plan and the deed:
        gone, kept = delete(before)
        assert gone == []
        assert "is being written" in kept[0][1]
    assert path.exists()


def test_a_run_whose_outbox_still_holds_steps_is_not_pruned(tmp_path: Path):
    root = tmp_path / "runs"
    some_run(root / "one")
    (root / "one" / "outbox.json").write_text('{"produced": 20, "unacked": 3}')
    assert pruned(root, max_steps=100)[1] == {"one": "its outbox holds 3 steps that are in no archive yet"}


def test_a_damaged_run_and_a_link_to_elsewhere_are_not_pruned(tmp_path: Path):
    root = tmp_path / "runs"
    some_run(root / "one").write_bytes(b"junk" * 1000)
    some_run(tmp_path / "elsewhere")
    (root / "link").mkdir()
    (root / "link" / "steps.sqlite").symlink_to(tmp_path / "elsewhere" / "steps.sqlite")
    doomed, kept = pruned(root, max_steps=100)
    assert doomed == []
    assert "damaged" in kept["one"]
    assert kept["link"] == "it is a link to elsewhere"


@pytest.mark.parametrize("left", ["checkpoints", "policy.weights"])
def test_what_was_trained_without_steps_of_its_own_is_not_pruned_for_having_none(tmp_path: Path, left: str):
    root = tmp_path / "runs"
    write_run(root / "offline", [])
    write_run(root / "never", [])
    (root / "offline" / left).mkdir()
    doomed, kept = pruned(root, max_steps=0)
    assert doomed == ["never"]
    assert kept["offline"].startswith(f"it holds {left}: ")
    assert pruned(root, older_than_days=0)[0] == ["never", "offline"]


@pytest.mark.parametrize("place", ["demos.sqlite", "recorded/demos.sqlite"])
def test_a_folder_is_not_deleted_over_demonstrations_that_stay(tmp_path: Path, place: str):
    root = tmp_path / "runs"
    write_run(root / "one", [])
    demos = write_run(root / "one" / place, [episode(SPEC, 0)])
    config = PruneConfig(paths=[str(root)], max_steps=0)
    doomed, kept = plan(list_runs([root]), config)
    assert doomed == []
    assert (root / "one" / "steps.sqlite", f"its folder holds {place}, which is kept") in [
        (Path(run.path), why) for run, why in kept
    ]
    # Nor over those that the words of the command line do not choose, and so nobody judged.
    doomed, _ = plan([read_facts(root / "one" / "steps.sqlite")], config)
    assert doomed == []
    assert demos.exists()


def test_a_folder_goes_with_demonstrations_that_go_too(tmp_path: Path):
    root = tmp_path / "runs"
    write_run(root / "one", [])
    write_run(root / "one" / "demos.sqlite", [])
    assert pruned(root, max_steps=0) == (["one"], {})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "prune must be told which runs"),
        ({"success": False}, "prune deletes whole runs"),
        ({"max_steps": -1}, "max_steps must be >= 0, got -1"),
    ],
)
def test_pruning_without_a_clear_order_is_refused(keys: dict, said: str):
    with pytest.raises(ValueError, match=said):
        PruneConfig(paths=["runs"], **keys)


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
