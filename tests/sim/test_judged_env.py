"""A workcell whose success somebody else sees."""

from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from envs.config import EnvConfig
from envs.judge import Judgement, UnseenError
from envs.make import make_env
from rewards.collect import collect_from
from rewards.config import CollectConfig
from rewards.dataset import gather
from rewards.episodes import episodes_of
from wire.labels import SUCCESS, labels_since
from wire.store import StepStore

pytestmark = pytest.mark.sim


class ThirdFrame:
    """Sees a success in the third state of every episode."""

    reward = "third-1"

    def __init__(self, size: int = 16) -> None:
        self.inputs = MappingProxyType({"front": (size, size, 3)})
        self.seen: list[dict[str, np.ndarray]] = []

    def begin_episode(self) -> None:
        self.seen = []

    def judge(self, observation: dict[str, np.ndarray]) -> Judgement:
        self.seen.append(observation)
        return Judgement(len(self.seen) == 3, "third-1")


def run_three(env: Any) -> list[tuple[float, bool, str]]:
    env.reset(seed=0)
    said = []
    for _ in range(3):
        _, reward, terminated, _, info = env.step(np.zeros(4, np.float32))
        said.append((reward, terminated, info["reward_by"]))
    return said


@pytest.mark.parametrize("obs", ["state", "pixels"])
def test_the_judge_decides_in_the_tasks_place_and_sees_what_the_policy_does_not(obs: str):
    env: Any = make_env(EnvConfig(task="reach", obs=obs, image_size=16))
    judge = ThirdFrame()
    env.judged_by(judge)
    assert run_three(env) == [(0.0, False, "third-1"), (0.0, False, "third-1"), (1.0, True, "third-1")]
    assert judge.seen[0]["front"].shape == (16, 16, 3)
    assert judge.seen[0]["front"].max() > 0
    assert (env.wire_spec.reward, env.wire_spec.return_bounds) == ("third-1", (0.0, 1.0))
    assert ("front" in env.wire_spec.observation) == (obs == "pixels")
    env.close()


def test_without_a_judge_the_task_decides_and_says_nothing_of_models():
    env: Any = make_env(EnvConfig(task="reach"))
    assert run_three(env) == [(0.0, False, "")] * 3
    env.close()


def test_cameras_of_another_size_or_name_are_refused_by_name():
    env: Any = make_env(EnvConfig(task="reach", obs="pixels", image_size=16))
    with pytest.raises(UnseenError, match=r"front \(32, 32, 3\)"):
        env.judged_by(ThirdFrame(size=32))
    judge = ThirdFrame()
    judge.inputs = MappingProxyType({"side": (16, 16, 3)})
    with pytest.raises(UnseenError, match="side"):
        env.judged_by(judge)
    env.close()


def test_a_clumsy_script_gathers_both_kinds_and_says_which_is_which(tmp_path):
    config = CollectConfig(out=str(tmp_path / "f.sqlite"), env=EnvConfig(obs="pixels", image_size=16), positives=8)
    env: Any = make_env(config.env)
    found = collect_from(env, config, tmp_path / "f.sqlite")
    env.close()
    assert found["positives"] >= 8
    assert found["negatives"] > 50
    labels = [label for label in labels_since(tmp_path / "f.sqlite")[0] if label.kind == SUCCESS]
    assert len(labels) == found["positives"] + found["negatives"]
    with StepStore.read(tmp_path / "f.sqlite") as store:
        ends = [episode.steps[-1] for episode in episodes_of(store)]
    # It goes on after a success, for more frames of it.
    assert any(step.success for step in ends)
    frames = gather([str(tmp_path / "f.sqlite")], margin=0, per_episode=None, seed=0)
    assert frames.counts()["positives"] == found["positives"]
