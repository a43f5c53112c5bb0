"""The promises of pruning: what it plans it deletes, and nothing else, least of all what nobody has seen yet."""

from pathlib import Path

import pytest
from archives import SPEC, episode, some_run, write_run
from experience import STREAM

from learner.archive.catalogue import list_runs
from learner.archive.config import PruneConfig
from learner.archive.facts import read_facts
from learner.archive.prune import delete, plan
from wire.labels import Label, append_labels
from wire.store import StepStore


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


def test_demonstrations_are_deleted_with_their_labels(tmp_path: Path):
    demos = write_run(tmp_path / "runs" / "demos.sqlite", [episode(SPEC, 0)])
    append_labels(demos, [Label(STREAM, 4, 0.0, source="person")])
    doomed, _ = plan(list_runs([tmp_path / "runs"]), PruneConfig(paths=["x"], max_steps=10))
    assert doomed[0].bytes > demos.stat().st_size
    delete(doomed)
    assert not list((tmp_path / "runs").glob("demos*"))


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
