"""The third-party benchmark; gym-hil lives in an environment of its own: benchmarks/gym_hil/setup.sh."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from envs.config import EnvConfig
from envs.guard import Guard
from envs.make import make_env
from envs.testing import check_env

pytest.importorskip("gym_hil", reason="gym-hil is not installed: see benchmarks/gym_hil/README.md")

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "gym_hil"
CONFIG = EnvConfig(env="gym", id="handrail_gym_hil:handrail_gym_hil/PickCube-v0")
pytestmark = pytest.mark.sim


@pytest.fixture
def env(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    made = make_env(CONFIG)
    yield made
    made.close()


def task(env):
    return env._env.unwrapped


def test_it_keeps_the_contract(env):
    check_env(lambda: make_env(CONFIG))


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_expert_holds_the_cube_when_it_succeeds(env, noise):
    expert, guard = env.expert(np.random.default_rng(0), noise), Guard(env.limits)
    won = 0
    for episode in range(20):
        env.reset(seed=episode)
        ended = False
        while not ended:
            *_, terminated, truncated, info = env.step(guard.apply(expert.propose(), None).action)
            ended = terminated or truncated
        won += info["success"] and task(env).held()
    assert won >= 19


@pytest.mark.parametrize(
    ("cube_m", "end"),
    [
        ((0.40, 0.0, 0.30), (0.0, False, False)),
        ((0.60, 0.0, 0.02), (0.0, True, False)),
        (None, (1.0, True, True)),
    ],
    ids=["flung up", "out of its area", "at the tool"],
)
def test_a_lifted_cube_counts_at_the_tool_only(env, cube_m, end):
    env.reset(seed=0)
    for _ in range(6):
        env.step(np.array([0.0, 0.0, 1.0, -1.0], np.float32))
    above = task(env).tool() + np.array([0.0, 0.0, 0.02])
    task(env)._sim.data.joint("block").qpos[:3] = above if cube_m is None else cube_m
    _, reward, terminated, _, info = env.step(np.array([0.0, 0.0, 0.0, 1.0], np.float32))
    assert (reward, terminated, info["success"]) == end


def test_the_seed_places_the_cube_and_leaves_the_global_generator_alone(env):
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first, _ = env.reset(seed=3)
    again, _ = env.reset(seed=3)
    other, _ = env.reset()
    assert np.array_equal(first["state"], again["state"])
    assert not np.array_equal(first["state"][18:20], other["state"][18:20])
    assert np.array_equal(before, np.random.get_state()[1])


def test_states_need_no_gl_library():
    code = (
        "from envs.config import EnvConfig; from envs.make import make_env; "
        f"make_env(EnvConfig(env='gym', id={CONFIG.id!r})).reset(seed=0)"
    )
    told = {**os.environ, "MUJOCO_GL": "disable", "PYTHONPATH": str(FOLDER)}
    done = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
