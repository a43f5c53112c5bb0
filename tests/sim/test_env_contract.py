import gymnasium
import numpy as np
import pytest

from envs import testing
from envs.config import EnvConfig
from envs.make import make_env
from envs.register import register
from envs.testing import ContractBrokenError, check_env
from envs.workcell import Outcome

CONFIGS = [
    EnvConfig(task=task, obs=obs, scene=scene)
    for task in ("reach", "pick_cube")
    for obs in ("state", "pixels")
    for scene in ("plain", "varied")
]
CONFIGS += [EnvConfig(task="peg_insert", obs="state"), EnvConfig(task="peg_insert", obs="pixels", scene="varied")]


@pytest.mark.sim
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.task}-{c.obs}-{c.scene}")
def test_the_simulated_cell_keeps_the_contract(config):
    check_env(lambda: make_env(config))


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "MountainCarContinuous-v0", "handrail/Reach-v0"])
def test_a_foreign_environment_keeps_the_contract(env_id):
    if env_id not in gymnasium.registry:
        register()
    check_env(lambda: make_env(EnvConfig(env="gym", id=env_id)))


class Broken:
    """Passes everything on to a sound environment; a test overrides what it breaks."""

    def __init__(self):
        self.env = make_env(EnvConfig(task="reach"))

    def __getattr__(self, name):
        return getattr(self.env, name)


class Aliases(Broken):
    def reset(self, **kwargs):
        self.array = self.env.reset(**kwargs)[0]
        return self.array, {}

    def step(self, action):
        observation, *rest = self.env.step(action)
        for name in observation:
            self.array[name][:] = observation[name]
        return (self.array, *rest)


class Unseeded(Broken):
    def reset(self, *, seed=None):
        return self.env.reset()


class NotANumber(Broken):
    def step(self, action):
        observation, *rest = self.env.step(action)
        observation["proprio"][0] = np.nan
        return (observation, *rest)


class NeverEnds(Broken):
    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        if truncated:
            self.env.reset()
        return observation, reward, terminated, False, info


class Creeps(Broken):
    def hold(self):
        self.env.cell._controller.target = self.env.cell._controller.target + 0.001


class Clumsy(Broken):
    def expert(self, rng):
        class Still:
            def begin_episode(self):
                pass

            def propose(self):
                return np.zeros(4, np.float32)

        return Still()


class WinsForEver(Broken):
    def __init__(self):
        super().__init__()
        self.env.task.evaluate = lambda cell: Outcome(0.0)

    def step(self, action):
        observation, reward, terminated, truncated, _ = self.env.step(action)
        return observation, reward, terminated, truncated, {"success": True}


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Aliases, testing.FRESH_ARRAYS),
        (Unseeded, testing.SEED_DECIDES),
        (NotANumber, testing.OBSERVATION_FITS),
        (NeverEnds, testing.TIME_LIMIT),
        (Creeps, testing.HOLD_IS_STILL),
        (Clumsy, testing.EXPERT_SUCCEEDS),
        (WinsForEver, testing.SUCCESS_ENDS),
    ],
)
def test_the_kit_names_the_law_that_is_broken(broken, law):
    with pytest.raises(ContractBrokenError) as caught:
        check_env(broken)
    assert law in str(caught.value)
