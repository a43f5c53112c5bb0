"""Learning from past runs through the front door: offline, then online from there, and in rounds."""

from pathlib import Path

import pytest
from front_door import SMALL, Command, read

from wire.store import StepStore

pytestmark = pytest.mark.process
TINY = [word for word in SMALL if not word.startswith(("agent.critics", "agent.utd"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a past run, made by the expert, and what was learned from it offline."""
    folder = tmp_path_factory.mktemp("verbs")
    (folder / "past").mkdir()
    run(folder, *("demos", "record", "--script", "task=reach", "obs=state", "episodes=6", "out=past/steps.sqlite"))
    run(folder, *OFFLINE, "run=learned")
    return folder


OFFLINE = (
    *("learner", "mode=offline", "agent=iql", "archive=past", "steps=200", *TINY),
    *("learner.evaluate_period=100", "evaluate_episodes=2", "agent.batch_size=32"),
)


def run(folder: Path, *words: str) -> str:
    command = Command(folder, *words)
    try:
        assert command.ends() == 0, command.said
    finally:
        if command.process.poll() is None:
            command.kill_rooms()
    return command.said


def test_offline_training_is_judged_on_the_way_and_leaves_a_policy_that_eval_judges(folder):
    lines = (folder / "learned" / "evaluations.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert "success 0." in run(folder, "eval", "run=learned", "episodes=2") or read(folder / "learned" / "eval.json")
    assert read(folder / "learned" / "eval.json")["episodes"] == 2


def test_a_run_goes_on_from_it_with_the_past_beside_its_own_steps_which_alone_are_counted(folder):
    words = ("sim", "agent=rlpd", "init=learned", "archive=past", "demos=none", "human=none", "steps=60", "run=tuned")
    said = run(folder, *words, *TINY, "learner.warmup_steps=20", "eval_episodes=2", "agent.subset=2")
    assert "past runs: 1 of 1" in said
    assert "begins with" in said
    summary = read(folder / "tuned" / "summary.json")
    with StepStore.read(folder / "tuned" / "steps.sqlite") as store:
        assert summary["env_steps"] == store.count() >= 60
    assert summary["archive"]["transitions"] > 0
    assert summary["gradient_steps"] <= 2 * (summary["env_steps"] - 20), "none while the policy was frozen"


def test_rounds_of_collect_and_infer_end_with_the_best_policy(folder):
    words = ("collect-infer", "archive=past", "rounds=2", "candidates=1", "steps=40", "episodes=2", "run=rounds")
    said = run(folder, *words, "evaluate_episodes=2", "agent.batch_size=32", *TINY)
    rounds = read(folder / "rounds" / "rounds.json")
    assert [len(each["candidates"]) for each in rounds] == [1, 1]
    assert all(0 <= low <= high <= 1 for each in rounds for low, high in [each["candidates"][0]["ci95"]])
    with StepStore.read(folder / "rounds" / "collected" / "round-2" / "steps.sqlite") as store:
        assert len(store.episodes()) == 2
    assert (folder / "rounds" / "policy.weights").exists()
    assert "round 2: best is" in said


def test_words_that_cannot_be_are_refused_before_anything_starts(folder):
    for words, said in (
        (("sim", "archive=pst"), "there is no pst; did you mean past?"),
        (("learner", "mode=offline"), "mode=offline learns from past runs, and none are named"),
        (("learner", "mode=ofline", "archive=past"), "did you mean offline?"),
        (("sim", "init=past"), "init= names an earlier run"),
        (("sim", "agent=sac", "archive=past"), "agent.prior_share, which is 0 with agent=sac"),
        (("sim", "agent=bc", "archive=past"), "agent=bc imitates"),
        (("sim", "learner.symmetries=[miror]"), "did you mean mirror?"),
        (("collect-infer",), "there is nothing to begin with"),
    ):
        command = Command(folder, *words)
        assert command.ends() == 2, command.said
        assert said in command.said
        assert "Traceback" not in command.said
