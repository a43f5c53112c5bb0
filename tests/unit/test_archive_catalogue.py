"""The promises of the catalogue: every run is found, nothing is read twice, nothing in the way stops it."""

import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest
from archives import SPEC, episode, some_run, write_run
from experience import STREAM

from learner.archive import catalogue
from learner.archive.catalogue import CATALOGUE, NoArchive, list_runs, resolve
from learner.archive.config import Selection
from learner.archive.facts import RunFacts, calibration_name, read_facts
from learner.archive.select import fits, why_not
from wire.labels import REWARD, Label, append_labels, labels_path
from wire.store import StepStore
from wire.types import Source


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    some_run(root / "one")
    some_run(root / "deep" / "two", seed=1, spec=msgspec.structs.replace(SPEC, task="peg", robot="fr3"))
    demos = [episode(SPEC, 0, source=Source.DEMO)]
    write_run(root / "one" / "demos.sqlite", demos, stream="d" * 32, info={"kind": "demonstrations"})
    return root


def names(found: list[RunFacts], root: Path) -> set[str]:
    return {str(Path(each.name).relative_to(root)) for each in found}


def test_runs_and_demonstrations_are_found_and_other_files_are_not(runs: Path):
    sqlite3.connect(runs / "one" / "other.sqlite").execute("CREATE TABLE t (a)").connection.close()
    (runs / "one" / "notes.sqlite").write_text("no database")
    some_run(runs / "one" / "checkpoints" / "x")
    assert names(list_runs([runs]), runs) == {"one", "deep/two", "one/demos.sqlite"}


def test_the_facts_are_those_of_the_file(runs: Path):
    facts = read_facts(runs / "one" / "steps.sqlite")
    assert (facts.task, facts.robot, facts.agent, facts.reward) == ("reach", "arm", "rlpd", "sparse-1")
    assert (facts.steps, facts.episodes, facts.successes, facts.successes_alone) == (17, 4, 3, 2)
    assert (facts.human, facts.human_steps, facts.human_share) == ("person", 1, 1 / 17)
    assert facts.cameras == {"front": (8, 8), "wrist": (8, 8)}
    assert (facts.vectors, facts.action, facts.rate_hz) == ({"state": 3}, "base:x,y,z,gripper", 20)
    assert (facts.kind, facts.state, facts.problem, facts.calibration) == ("run", "finished", "", "none")
    assert facts.mean_return == pytest.approx(0.75)
    assert facts.env_spec() == SPEC
    demos = read_facts(runs / "one" / "demos.sqlite")
    assert (demos.kind, demos.human, demos.human_share) == ("demonstrations", "demonstrator", 1.0)
    assert (demos.successes, demos.successes_alone) == (1, 0)


def test_what_did_not_change_is_not_read_again(runs: Path, monkeypatch: pytest.MonkeyPatch):
    first = list_runs([runs])
    read = []
    monkeypatch.setattr(catalogue, "read_facts", lambda path: read.append(path) or read_facts(path))
    assert list_runs([runs]) == first
    assert read == []
    some_run(runs / "three", seed=3)
    shutil.rmtree(runs / "deep")
    assert names(list_runs([runs]), runs) == {"one", "one/demos.sqlite", "three"}
    assert [path.parent.name for path in read] == ["three"]


def test_a_run_that_grew_is_read_again(runs: Path):
    list_runs([runs])
    with StepStore.open(runs / "one" / "steps.sqlite", SPEC) as store:
        store.insert(STREAM, 18, episode(SPEC, 9)[0])
        store.commit()
        facts = {Path(each.name).name: each for each in list_runs([runs])}["one"]
        assert facts.steps == 18
        assert facts.state == "writing"
    assert {each.state for each in list_runs([runs])} == {"finished"}


def test_labels_that_came_beside_a_run_since_it_was_listed_are_counted(runs: Path):
    list_runs([runs])
    said = [Label(STREAM, seq, 1.0, version="m-1", kind=REWARD) for seq in (1, 2)]
    append_labels(runs / "one" / "steps.sqlite", [*said, Label(STREAM, 4, 0.0, source="person", who="ann")])
    labels = {Path(each.name).name: each.labels for each in list_runs([runs])}
    assert labels == {"one": {"reward m-1": 2, "success person": 1}, "demos.sqlite": {}, "two": {}}


def test_labels_that_cannot_be_read_are_a_problem_and_the_steps_are_told_all_the_same(runs: Path):
    labels_path(runs / "one" / "steps.sqlite").write_text("no database, and long enough to be looked at as one" * 40)
    facts = read_facts(runs / "one" / "steps.sqlite")
    assert "labels.sqlite" in facts.problem
    assert (facts.steps, facts.episodes, facts.labels) == (17, 4, {})


@pytest.mark.parametrize("junk", [b"no database at all", b"", b"SQLite format 3\x00" + b"\x00" * 200])
def test_a_damaged_catalogue_is_built_anew(runs: Path, junk: bytes):
    first = list_runs([runs])
    (runs / CATALOGUE).write_bytes(junk)
    assert list_runs([runs]) == first
    assert list_runs([runs]) == first


def test_a_moved_folder_keeps_its_catalogue_and_gets_its_new_names(runs: Path, tmp_path: Path):
    list_runs([runs])
    runs.rename(tmp_path / "moved")
    assert names(list_runs([tmp_path / "moved"]), tmp_path / "moved") == {"one", "deep/two", "one/demos.sqlite"}


def test_a_catalogue_that_somebody_else_writes_is_not_waited_for(runs: Path):
    from wire.database import Writer

    writer = Writer(runs / CATALOGUE, catalogue._KIND, synchronous="NORMAL")
    assert len(list_runs([runs])) == 3
    writer.close()


@pytest.mark.parametrize("damage", ["cut", "header", "page"])
def test_a_damaged_run_is_listed_with_its_problem_and_the_others_as_ever(runs: Path, damage: str):
    path = runs / "one" / "steps.sqlite"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 3]
    elif damage == "header":
        data[:100] = bytes(100)
    elif damage == "page":
        data[16 << 10 :] = bytes(len(data) - (16 << 10))
    path.write_bytes(data)
    found = {Path(each.name).name: each for each in list_runs([runs])}
    assert found["one"].problem
    assert found["two"].problem == ""


def test_a_run_that_was_never_begun_is_empty_and_not_damaged(runs: Path):
    (runs / "one" / "steps.sqlite").write_bytes(b"")
    for _ in range(2):
        facts = {Path(each.name).name: each for each in list_runs([runs])}["one"]
        assert (facts.state, facts.problem, facts.steps, facts.task) == ("empty", "", 0, "")


def test_paths_that_hold_nothing_are_named(tmp_path: Path):
    with pytest.raises(NoArchive, match=r"there is nothing at .*gone"):
        list_runs([tmp_path / "gone"])
    with pytest.raises(NoArchive, match=r"holds no steps\.sqlite"):
        resolve(tmp_path)
    assert list_runs([tmp_path]) == []


def test_a_folder_that_cannot_be_written_is_listed_all_the_same(runs: Path, monkeypatch: pytest.MonkeyPatch):
    from wire.database import StoreError

    def refuse(*_: object, **__: object) -> None:
        raise StoreError("the disk is read-only")

    monkeypatch.setattr(catalogue, "Writer", refuse)
    assert len(list_runs([runs])) == 3
    assert not (runs / CATALOGUE).exists()


def test_each_reason_for_leaving_a_run_out_is_plain(runs: Path):
    facts = read_facts(runs / "one" / "steps.sqlite")
    assert why_not(facts, Selection(task="reach", robot="arm", reward="sparse-1"), None) == ""
    assert why_not(facts, Selection(task="peg"), None) == "task is reach, wanted peg"
    assert why_not(facts, Selection(calibration="0a0b0c0d"), None) == "calibration is none, wanted 0a0b0c0d"
    other = msgspec.structs.replace(SPEC, rate_hz=10.0)
    assert why_not(facts, Selection(), other) == "rate_hz: 20.0 here, 10.0 there"


def test_episodes_are_chosen_by_success_help_and_return(runs: Path):
    with StepStore.read(runs / "one" / "steps.sqlite") as store:
        plain, helped, _, failed = store.episodes()
    assert fits(plain, Selection(success=True, intervention="none"), "run")
    assert not fits(helped, Selection(intervention="none"), "run")
    assert fits(helped, Selection(intervention="some"), "run")
    assert not fits(helped, Selection(intervention="only"), "run")
    assert fits(plain, Selection(intervention="only"), "demonstrations")
    assert not fits(failed, Selection(success=True), "run")
    assert not fits(failed, Selection(min_return=0.5), "run")


def test_calibrations_that_are_equal_have_one_name_and_digits_may_stand_for_what_they_are_of():
    digits = calibration_name('{"front":1}')
    assert digits == calibration_name('{"front":1}') != calibration_name('{"front":2}')
    assert calibration_name(digits) == digits
    assert (calibration_name("cell-1"), calibration_name("")) == ("cell-1", "")


def test_what_an_older_version_remembered_of_an_unchanged_file_is_read_anew(
    runs: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(catalogue, "_READ_AS", 1)
    monkeypatch.setattr(catalogue, "read_facts", lambda path: RunFacts(name=str(path), path=str(path), task="old"))
    assert {each.task for each in list_runs([runs])} == {"old"}
    monkeypatch.undo()
    assert "old" not in {each.task for each in list_runs([runs])}
