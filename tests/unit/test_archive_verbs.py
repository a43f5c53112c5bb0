"""Every word of `handrail archive` gets one answer; every sub-verb says what it did, to people and to programs."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from archives import SPEC, episode, some_run, write_run

from handrail import archive, cli
from handrail.archive import from_words
from learner.archive.config import VERBS
from learner.archive.verbs import RUN
from wire.errors import UserError
from wire.store import StepStore

WRONG = {
    "lits": "handrail archive takes list, show, stats, filter, verify, merge, prune, describe, import, export, got "
    "lits; did you mean list?",
    "list tsak=reach": "handrail archive list has no key tsak; did you mean task?; see handrail archive list --help",
    "list --jsn": "handrail archive list takes key=value, paths and --json, got --jsn",
    "list limit=ten": "limit must be a whole number, got ten",
    "list limit=0": "limit must be >= 1, got 0",
    "list sort=siez": "sort must be one of name, began, steps, success, size, got siez; did you mean size?",
    "filter success=maybe": "success must be true or false, got maybe",
    "filter intervention=smoe": "intervention must be one of none, some, only, got smoe; did you mean some?",
    "show": "show takes one path, got none; see handrail archive show --help",
    "show a b": "show takes one path, got a b; see handrail archive show --help",
    "show a picture=x.jpg": "picture must be auto, none or a .png file, got x.jpg",
    "stats bins=1": "bins must be 2 to 255, got 1",
    "merge a": "out must be given: handrail archive merge ... out=...; see handrail archive merge --help",
    "merge out=x": "merge takes runs: handrail archive merge <run> <run> out=<dir>",
    "prune": "prune takes a folder of runs: handrail archive prune runs max_steps=0",
    "prune runs": "prune must be told which runs: e.g. max_steps=0, older_than_days=30 or task=reach",
    "describe a": "describe takes calibration=<file>, agent=<name> or note=<text>",
    "import a out=x": "format must be given: handrail archive import ... format=...; see handrail archive import "
    "--help",
    "import a format=lerobt out=x": "format must be one of lerobot, minari, robomimic, hilserl, mcap, got lerobt; did "
    "you mean lerobot?",
    "import a format=lerobot out=x rename=ab": "rename takes theirs:ours pairs, got ab",
    "import a format=lerobot out=x action=/a": "action= and topics= go with format=mcap",
    "import a format=lerobot out=x image_size=8": "image_size must be 16 to 512 pixels, got 8",
    "export a format=hdf5 out=x": "format must be one of lerobot, minari, mcap, got hdf5",
    "export a format=lerobot out=x quality=99": "quality must be 0 to 51, got 99",
    "export a format=lerobot out=x codec=h265": "codec must be one of h264, png, got h265; did you mean h264?",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_word_gets_its_answer(line: str):
    with pytest.raises(UserError) as error:
        cli.run(["archive", *line.split()])
    assert str(error.value) == WRONG[line]


@pytest.mark.parametrize("verb", VERBS)
def test_every_sub_verb_explains_its_keys(verb: str, capsys: pytest.CaptureFixture):
    assert cli.run(["archive", verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"handrail archive {verb}" in said
    assert "keys:" in said


def test_help_names_every_sub_verb(capsys: pytest.CaptureFixture):
    assert cli.run(["archive"]) == 0
    assert all(f"\n  {verb} " in capsys.readouterr().out or verb in archive.USAGE for verb in VERBS)


def test_every_sub_verb_can_be_run():
    assert RUN.keys() == VERBS.keys()


def carried_out(words: str, capsys: pytest.CaptureFixture) -> Any:
    """What a command line prints; with --json the document."""
    verb, *rest = words.split()
    config = from_words(verb, rest)
    # As it reaches the room: through a file of JSON.
    values = json.loads(msgspec.json.encode(config))
    capsys.readouterr()
    code = RUN[verb](VERBS[verb](**values))
    said = capsys.readouterr().out
    assert code == 0, said
    return json.loads(said) if "--json" in rest else said


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    some_run(Path("runs/a"))
    some_run(Path("runs/b"), n=1, stream="b" * 32, seed=4)
    write_run(Path("runs/peg"), [episode(SPEC, 0)], spec=msgspec.structs.replace(SPEC, task="peg"), stream="c" * 32)
    return tmp_path / "runs"


def test_runs_are_listed_for_people_and_for_programs(runs: Path, capsys: pytest.CaptureFixture):
    said = carried_out("list sort=name", capsys)
    assert [line.split()[0] for line in said.splitlines()[1:4]] == ["runs/a", "runs/b", "runs/peg"]
    assert "3 runs, 30 steps" in said
    document = carried_out("list task=reach sort=steps limit=1 --json", capsys)
    (run,) = document["runs"]
    assert (run["name"], run["steps"], run["spec"]["task"]) == ("runs/a", 17, "reach")
    assert run["success_rate"] == 0.75


def test_a_run_is_shown_with_its_picture(runs: Path, capsys: pytest.CaptureFixture):
    said = carried_out("show runs/a", capsys)
    assert "17, 0 of them in episodes without an end" in said
    assert "picture: runs/a/overview.png" in said
    assert (runs / "a" / "overview.png").read_bytes()[:4] == b"\x89PNG"
    document = carried_out("show runs/a picture=none episodes=2 --json", capsys)
    assert document["picture"] is None
    assert len(document["last_episodes"]) == 2


def test_a_run_that_is_being_written_is_shown_as_far_as_it_is(runs: Path, capsys: pytest.CaptureFixture):
    with StepStore.open(runs / "a" / "steps.sqlite", SPEC) as store:
        for seq, step in enumerate(episode(SPEC, 9)[:2], start=18):
            store.insert("0123456789abcdef" * 2, seq, step)
        store.commit()
        document = carried_out("show runs/a --json", capsys)
        assert (document["state"], document["steps"], document["episode_steps"]) == ("writing", 19, 17)
        assert carried_out("verify runs/a --json", capsys)["runs"][0]["unfinished_steps"] == 2


def test_runs_that_fit_are_named_and_so_is_why_the_others_do_not(runs: Path, capsys: pytest.CaptureFixture):
    said = carried_out("filter like=runs/a success=true", capsys)
    assert "runs/a: 3 of 4 episodes, 12 steps" in said
    assert "left out: runs/peg: task: peg here, reach there" in said
    document = carried_out("filter task=reach success=true out=runs/good --json", capsys)
    assert (document["steps"], document["episodes"]) == (16, 4)
    assert carried_out("list runs/good --json", capsys)["runs"][0]["success_rate"] == 1.0


def test_where_no_run_fits_the_reasons_are_given(runs: Path):
    with pytest.raises(UserError, match=r"none of the 3 runs fits: runs/a: task is reach, wanted lift"):
        RUN["merge"](from_words("merge", ["runs", "task=lift", "out=x"]))


def test_damage_is_named_and_verify_ends_with_1(runs: Path, capsys: pytest.CaptureFixture):
    import sqlite3

    db = sqlite3.connect(runs / "a" / "steps.sqlite")
    with db:
        db.execute("UPDATE steps SET body = zeroblob(length(body)) WHERE id = 6")
    db.close()
    assert RUN["verify"](from_words("verify", ["runs"])) == 1
    said = capsys.readouterr().out
    assert "runs/a: 16 steps in 3 episodes are intact; 1 are damaged" in said
    assert "row 6 of runs/a/steps.sqlite: step 6 of stream 01234567 fails its checksum" in said
    assert "runs/b: 9 steps in 2 episodes are intact" in said


def test_the_report_is_printed_with_reasons(runs: Path, capsys: pytest.CaptureFixture):
    said = carried_out("stats runs task=reach", capsys)
    assert "trajectory quality (TQ)" in said
    assert "Mix: online" in said
    assert "Old data for fine-tuning: keep it." in said
    assert "picture: runs/stats.png" in said
    assert carried_out("stats runs/a --json picture=none", capsys)["pool"]["episodes"] == 4


def test_nothing_is_deleted_before_it_is_asked_for_twice(runs: Path, capsys: pytest.CaptureFixture):
    said = carried_out("prune runs task=peg", capsys)
    assert "would delete runs/peg with everything in it: 4 steps" in said
    assert "Nothing was deleted. Add yes=true to do it." in said
    assert (runs / "peg").is_dir()
    document = carried_out("prune runs task=peg yes=true --json", capsys)
    assert (document["deleted"], [run["deletes"] for run in document["runs"]]) == (True, ["runs/peg"])
    assert not (runs / "peg").exists()
    assert (runs / "a").is_dir()


def test_exports_and_imports_say_what_they_did(runs: Path, capsys: pytest.CaptureFixture):
    said = carried_out("export runs/a format=minari out=out", capsys)
    assert said == "17 steps in 4 episodes are in out\n"
    document = carried_out("import out format=minari out=runs/back --json", capsys)
    assert (document["steps"], document["exact"], document["name"]) == (17, True, "runs/back")
    said = carried_out("describe runs/back note=copy", capsys)
    assert "note=copy" in said
