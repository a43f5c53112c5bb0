"""A written reward in the simulation: tested on what scripts do there, and then the reward of every step."""

import math
from pathlib import Path

import numpy as np
import pytest

from actor.config import ActorConfig, DemosConfig
from actor.judging import rewarded
from envs.config import EnvConfig
from envs.judge import UnseenError
from envs.make import make_env
from envs.workcell import WorkcellEnv
from rewards.audit import audit
from rewards.config import AuditConfig
from rewards.models import load_model
from rewards.score import ModelError
from rewards.vlm.config import VlmConfig
from rewards.written.config import WriteConfig
from rewards.written.write import write
from wire.types import Source, Step

pytestmark = pytest.mark.sim
NEARER = """
import numpy as np


def reward(object):
    return -np.tanh(np.linalg.norm(object[3:]) / 0.2)
"""
REACH = EnvConfig(task="reach", obs="state")


@pytest.fixture(scope="module")
def nearer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward for reaching, by a person, tested on a clumsy script's episodes."""
    folder = tmp_path_factory.mktemp("nearer")
    (folder / "mine.py").write_text(NEARER)
    told = WriteConfig(out=str(folder / "model"), source=str(folder / "mine.py"), env=REACH, episodes=24)
    write(told, lambda line: None)
    return folder / "model"


def test_a_scripts_episodes_test_it_and_say_how_well_it_ranks_states(nearer: Path, tmp_path: Path):
    figures = audit(AuditConfig(model=str(nearer), runs=[str(nearer / "episodes.sqlite")]))
    assert figures["spearman"] > 0.95
    (tmp_path / "away.py").write_text(NEARER.replace("return -np.tanh", "return np.tanh").replace("0.2)", "0.2) - 1"))
    told = WriteConfig(
        out=str(nearer.parent / "other"),
        source=str(tmp_path / "away.py"),
        runs=[str(nearer / "episodes.sqlite")],
        vlm=VlmConfig(),
    )
    with pytest.raises(ModelError, match=r"AUC of the return 0\.0"):
        write(told, lambda line: None)
    # Episodes that an earlier call has left are of that task, or are not used.
    (nearer.parent / "other").mkdir(exist_ok=True)
    (nearer.parent / "other" / "episodes.sqlite").write_bytes((nearer / "episodes.sqlite").read_bytes())
    with pytest.raises(ModelError, match="holds 24 episodes of reach, wanted 60 of pick_cube"):
        write(WriteConfig(out=str(nearer.parent / "other"), source=str(tmp_path / "away.py")), lambda line: None)


def test_it_rewards_every_step_and_leaves_success_to_the_task(nearer: Path):
    env = make_env(REACH)
    assert isinstance(env, WorkcellEnv)
    version = load_model(nearer).version
    with rewarded(env, str(nearer)):
        assert (env.wire_spec.reward, env.wire_spec.return_bounds) == (version, None)
        env.reset(seed=1)
        expert = env.expert(np.random.default_rng(0))
        expert.begin_episode()
        ended, rewards = False, []
        while not ended:
            observation, reward, terminated, truncated, info = env.step(expert.propose())
            assert reward == pytest.approx(-math.tanh(np.linalg.norm(observation["object"][3:]) / 0.2))
            assert info["reward_by"] == version
            rewards.append(reward)
            ended = terminated or truncated
    assert info["success"]
    assert rewards == sorted(rewards), "the script only ever comes nearer"
    step = Step(
        episode=0,
        t=0,
        observation={},
        action=np.zeros(4, np.float32),
        source=Source.POLICY,
        reward=-0.1,
        terminated=True,
        truncated=False,
        reward_by=version,
    )
    assert not step.claimed, "the task's success needs nobody's confirmation"
    env.close()


def test_what_it_cannot_look_at_and_robots_are_refused(nearer: Path):
    env = make_env(EnvConfig(task="reach", obs="proprio"))
    with pytest.raises(UnseenError, match=r"looks at object \(6,\).*set obs="), rewarded(env, str(nearer)):  # type: ignore[arg-type]
        pass
    env.close()
    for env in (EnvConfig(env="ros"), EnvConfig(realtime=True)):
        with pytest.raises(ValueError, match="a written reward is for simulated tasks"):
            ActorConfig(env=env, rewarder=str(nearer), pace="clock")
    assert DemosConfig(env=REACH, out="d.sqlite", rewarder=str(nearer)).rewarder == str(nearer)
