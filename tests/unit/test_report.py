"""The report of a run: from its archive alone, also while it is written, and honest where there is little to say."""

import json
from pathlib import Path

import pytest
from learning import vector_spec
from test_coach import DRIVEN, FAILS, HELPED, WINS, run
from test_replay import step

from learner.console import Snapshot, _panel
from learner.report import compose_report, facts, read_progress, report
from learner.summary import summarise
from wire.errors import UserError
from wire.store import StepStore
from wire.types import Source

SPEC = vector_spec(state=1, actions=1)


def written(path: Path, *episodes: str) -> StepStore:
    """The archive of a run of such episodes, still open to write."""
    store = StepStore.open(path / "steps.sqlite", SPEC)
    seq = 0
    for number, text in enumerate(episodes):
        steps, success = text.rstrip("!"), text.endswith("!")
        for t, who in enumerate(steps):
            seq += 1
            last = t == len(steps) - 1
            source = Source.HUMAN if who == "h" else Source.POLICY
            final = 0.0 if last else None
            store.insert("a" * 32, seq, step(number, t, 0.0, source=source, final=final, success=success and last))
    store.commit()
    return store


def lines(*episodes: str) -> list[str]:
    return compose_report(run(*episodes), SPEC, "a run").splitlines()


def test_the_archive_tells_what_the_steps_told(tmp_path: Path):
    episodes = [HELPED, WINS, DRIVEN, FAILS] * 3
    with written(tmp_path, *episodes):
        progress, spec, damaged = read_progress(tmp_path / "steps.sqlite")
    assert progress == run(*episodes)
    assert (spec, damaged) == (SPEC, 0)


def test_a_run_with_help_says_when_how_long_and_what_came_after():
    text = lines(*[FAILS] * 20, *[HELPED] * 10, *[WINS] * 20)
    assert "- 50 episodes, 260 steps: 0.2 minutes of the robot's time at 20 Hz." in text
    assert "- 10 interventions in 10 of 50 episodes: 20 of 260 steps (8%), 0.0 human minutes." in text
    assert "- The median one lasted 0.1 s, the longest 0.1 s." in text
    assert "- The first began at step 122, the last at step 176; 20 episodes without help followed." in text
    assert "- Share of the steps that the human drove, by quarter of the episodes: 0%, 13%, 17%, 0%." in text
    assert (
        "- Steps 122 to 180, 10 interventions in 10 episodes, 1 s: success alone before it 0 of 20 (0%, interval 0% to "
        "16%), after it 20 of 20 (100%, interval 84% to 100%); more than chance explains." in text
    )
    assert any("Learning went on meanwhile" in line for line in text)


def test_weak_evidence_is_called_so():
    text = "\n".join(lines(*[FAILS, WINS] * 5, HELPED, *[WINS] * 6))
    assert "success alone before it 5 of 10 (50%, interval 24% to 76%), after it 6 of 6" in text
    assert "the intervals overlap, so this is weak evidence" in text
    text = "\n".join(lines(*[HELPED, WINS] * 4, *[DRIVEN, FAILS] * 4))
    assert "succeeded after short corrections in 4 of 4" in text
    assert "after long ones in 0 of 4" in text


def test_the_edges_are_reports_too():
    assert "- No episode has ended yet." in lines()
    assert "- Wait: no episode has ended yet." in lines()
    assert "- Nobody intervened." in lines(*[WINS] * 3)
    (only,) = [line for line in lines(DRIVEN) if line.startswith("- Steps")]
    assert only == "- Steps 1 to 6, 1 intervention in 1 episode, 0 s: nothing before or after it to compare."
    human = "\n".join(lines(*["hhhh!"] * 12))
    assert "- Let go: a person drove 100% of the steps" in human
    assert "nothing before or after it to compare" in human


def test_facts_are_the_numbers_of_the_report():
    found = facts(run(*[FAILS] * 20, *[HELPED] * 10, *[WINS] * 20), SPEC)
    assert found["human_minutes"] == 20 / 20 / 60
    assert (found["interventions"], found["median_intervention_s"]) == (10, 0.1)
    assert found["phases"][0]["after"]["rate"] == 1.0
    assert found["advice"]["do"] == "hands off"
    assert json.loads(json.dumps(facts(run(), SPEC)))["success_alone"]["rate"] is None


def test_a_run_is_reported_while_it_is_written_and_after_a_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "learner_config.json").write_text('{"agent": {"name": "rlpd"}, "seed": 7}')
    (tmp_path / "eval.json").write_text('{"successes": 9, "epis')
    with written(tmp_path, *[HELPED, WINS] * 6, "hh"):
        assert report(tmp_path, tmp_path, None) == 0
    out = capsys.readouterr().out
    assert out.startswith("# toy, rlpd, seed 7\n")
    assert "The final policy" not in out
    text = (tmp_path / "report.md").read_text()
    assert "![Success alone, interventions and human share over the run](report.png)" in text
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "eval.json").write_text('{"successes": 9, "episodes": 10}')
    assert report(tmp_path, tmp_path / "elsewhere", "-") == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 13
    assert "alone on fresh episodes: 9 of 10" in (tmp_path / "elsewhere" / "report.md").read_text()


def test_pictures_are_drawn_of_runs_with_nothing_in_them(tmp_path: Path):
    with written(tmp_path):
        assert report(tmp_path, tmp_path, None) == 0
    assert (tmp_path / "report.png").exists()


def test_a_run_that_is_not_there_is_said_in_one_sentence(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no run in .*gone; check run=<folder>"):
        report(tmp_path / "gone", tmp_path, None)
    with pytest.raises(UserError, match=r"holds no steps yet \(steps.sqlite is missing\)"):
        report(tmp_path, tmp_path, None)


def test_human_minutes_are_in_the_summary_and_on_the_console():
    progress = run(*["hhhp"] * 400)
    assert summarise(progress, SPEC, agent="rlpd", seed=0)["human_minutes"] == 1.0
    from rich.console import Console

    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    now = Snapshot("t", 1, 2, 0.0, 0.0, 0, 1.0, 1, 1, 1.0, "", None, human_minutes=1.0, advice="let go: " + "why " * 40)
    console.print(_panel(now))
    console.file.close()
    text = console.export_text()
    assert "human minutes" in text
    assert "let go: why why" in text
    assert text.count("why") == 40, "a long sentence is folded, not cut"
