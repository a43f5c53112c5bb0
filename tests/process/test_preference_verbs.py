"""From an archive that nobody has rewarded to a policy: every command of the way, as the documentation has them."""

from pathlib import Path

import pytest
from front_door import SMALL, Command, read

from wire.labels import REWARD, labels_since

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
TINY = [word for word in SMALL if not word.startswith(("agent.critics", "agent.utd"))]


def test_an_unlabelled_archive_becomes_preferences_a_reward_labels_and_a_policy(tmp_path: Path):
    def run(*words: str) -> str:
        command = Command(tmp_path, tmp_path / "cache", *words)
        assert command.ends() == 0, command.said
        return command.said

    collect = ("task=reach", "driver=random", "episodes=4", "objects=true", "env.image_size=16")
    run("rewards", "collect", *collect, "out=pool/steps.sqlite")
    said = run(
        "rewards", "prefer", "runs=[pool]", "out=a.sqlite", "answerer=script", "pairs=60", "accuracy=[1,1]", "abstain=0"
    )
    assert "60 pairs are answered in a.sqlite" in said
    fit = ("iterations=20", "batch_size=8", "members=2")
    run("rewards", "train", "kind=preference", "runs=[pool]", "preferences=a.sqlite", "out=m", *fit)
    early = Command(tmp_path, tmp_path / "cache", "learner", *LEARN)
    assert early.ends() == 2, early.said
    assert "has not given its steps their rewards: handrail rewards relabel" in early.said
    assert "spearman" in run("rewards", "audit", "model=m", "runs=[pool]")
    run("rewards", "relabel", "model=m", "runs=[pool]")
    version = read(tmp_path / "m" / "model.json")["version"]
    labels = [label for label in labels_since(tmp_path / "pool" / "steps.sqlite")[0] if label.kind == REWARD]
    assert {label.version for label in labels} == {version}
    run("learner", *LEARN)
    assert read(tmp_path / "learned" / "summary.json")["archive"]["transitions"] == len(labels)
    run("eval", "run=learned", "episodes=1")
    online = Command(tmp_path, tmp_path / "cache", "sim", "task=reach", "obs=pixels", "reward=preference:m", "run=x")
    assert online.ends() == 2
    assert "gives rewards to steps of past runs" in online.said


LEARN = (
    *("mode=offline", "agent=iql", "archive=pool", "steps=40", *TINY, "agent.batch_size=16", "run=learned"),
    *("learner.evaluate_period=0", "reward=preference:m"),
)
