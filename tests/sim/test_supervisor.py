"""What the value-triggered supervisor thinks of real tasks: its estimate is what its decisions stand on."""

import numpy as np
import pytest

from actor.human.make import scripted
from envs.config import TASKS, EnvConfig
from envs.make import make_env
from envs.workcell import GuardedEnv


@pytest.mark.sim
@pytest.mark.parametrize("task", TASKS)
def test_the_estimate_falls_by_one_a_period_while_the_expert_acts(task):
    env = GuardedEnv(make_env(EnvConfig(task=task)))
    inner = env.unwrapped
    expert, estimate = inner.expert(np.random.default_rng(0)), inner.estimator()
    errors, drops = [], []
    for seed in range(10):
        env.reset(seed=seed)
        seen, ended = [], False
        while not ended:
            action = expert.propose()
            seen.append(estimate(action))
            _, _, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
        errors.append(seen[0] - len(seen))
        drops += list(-np.diff(seen))
    assert np.abs(errors).mean() < 4.0
    assert np.mean(drops) == pytest.approx(1.0, abs=0.3)
    env.close()


@pytest.mark.sim
@pytest.mark.parametrize("task", TASKS)
def test_it_leaves_an_expert_alone_and_not_a_policy_that_goes_away(task):
    env = GuardedEnv(make_env(EnvConfig(task=task)))
    inner = env.unwrapped

    def share_helped(of):
        judge, expert = scripted("value", inner, seed=0), inner.expert(np.random.default_rng(0))
        helped = steps = 0
        for seed in range(6):
            env.reset(seed=seed)
            judge.begin_episode(seed)
            for _ in range(10):
                wanted = of(expert.propose())
                judge.hear(wanted)
                correction = judge.propose()
                helped, steps = helped + (correction is not None), steps + 1
                _, _, terminated, truncated, _ = env.step(wanted if correction is None else correction)
                if terminated or truncated:
                    break
        return helped / steps

    def away(action):
        return (action * ([-1.0] * 3 + [1.0] * (len(action) - 3))).astype(np.float32)

    assert share_helped(lambda action: action) < 0.35
    assert share_helped(away) > 0.85
    env.close()
