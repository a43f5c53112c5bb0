"""From an archive that nobody has rewarded to a policy: the way that the documentation describes."""

from pathlib import Path

import pytest
from front_door import SMALL, Command, read

from envs.config import EnvConfig
from rewards.audit import audit
from rewards.collect import collect
from rewards.config import AuditConfig, CollectConfig, PreferConfig, TrainConfig
from rewards.fit_preference import train_preference
from rewards.prefer import prefer
from rewards.relabel import relabel
from wire.store import StepStore

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
TINY = [word for word in SMALL if not word.startswith(("agent.critics", "agent.utd"))]
LEARN = (
    *("mode=offline", "agent=iql", "archive=pool", "steps=40", *TINY, "agent.batch_size=16", "run=learned"),
    *("learner.evaluate_period=0", "reward=preference:model"),
)


def test_an_unlabelled_archive_becomes_preferences_a_reward_labels_and_a_policy(tmp_path: Path):
    pool, answers, folder = tmp_path / "pool" / "steps.sqlite", tmp_path / "answers.sqlite", tmp_path / "model"
    seen = EnvConfig(task="reach", obs="pixels", image_size=16)
    found = collect(CollectConfig(out=str(pool), env=seen, driver="random", episodes=3, objects=True))
    assert found["episodes"] == 3
    with StepStore.read(pool) as store:
        assert set(store.spec.observation) == {"front", "wrist", "proprio", "object"}
    says: list[str] = []
    script = {"answerer": "script", "pairs": 60, "accuracy": [1.0, 1.0], "abstain": 0.0}
    prefer(PreferConfig(runs=[str(pool)], out=str(answers), **script), says.append)
    assert says[-1].startswith("60 pairs are answered")
    fit = {"iterations": 20, "batch_size": 8, "members": 2}
    model = train_preference(
        TrainConfig(kind="preference", runs=[str(pool)], preferences=str(answers), out=str(folder), **fit)
    )
    assert audit(AuditConfig(model=str(folder), runs=[str(pool)]))["n"] == found["positives"] + found["negatives"]
    steps = relabel(model, str(pool)).steps
    learned = Command(tmp_path, "learner", *LEARN)
    assert learned.ends() == 0, learned.said
    assert read(tmp_path / "learned" / "summary.json")["archive"]["transitions"] == steps
    with StepStore.read(tmp_path / "learned" / "steps.sqlite") as store:
        assert store.spec.reward == model.version
        assert set(store.spec.observation) == {"proprio", "object"}, "a policy of states, though there are frames"
