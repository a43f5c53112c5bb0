"""`handrail_corrupted:Corrupted-v0`: pick_cube, lifted and put back in turns, judged by somebody who is often wrong.

The rates are read from the environment, so that demonstrations, training and evaluation of one run may differ in them:
HANDRAIL_FP and HANDRAIL_FN, shares in 0..1 of what is no success and of what is one; HANDRAIL_ERRORS, frames (each is
drawn for itself) or places (a false success depends on where the tool is, so that it can be found and repeated);
HANDRAIL_RESET_EVERY, as env.reset_every.
"""

import os
from typing import Any

import gymnasium
import numpy as np

from envs.config import EnvConfig
from envs.judge import Judgement
from envs.make import make_env
from envs.workcell import GuardedEnv
from wire.types import Observation

ERRORS = ("frames", "places")
CELL_M = 0.03
"""Edge of the cubes of space of which some are places of false success."""
VERSION = "corrupted-1"


class WrongJudge:
    """Says what the task says, but for a share of false and of missed successes."""

    reward = "corrupted-1"
    inputs: dict[str, tuple[int, ...]] = {"goal": (4,)}

    def __init__(self, env: Any, false_positive: float, false_negative: float, errors: str, seed: int) -> None:
        if errors not in ERRORS:
            raise ValueError(f"HANDRAIL_ERRORS must be one of {', '.join(ERRORS)}, got {errors}")
        self._env, self._errors, self._seed = env, errors, seed
        self._false_positive, self._false_negative = false_positive, false_negative
        self._rng = np.random.default_rng(seed)

    def begin_episode(self) -> None:
        """Forget the last episode; there is nothing to forget."""

    def judge(self, observation: Observation) -> Judgement:
        """The state's success, as it seems."""
        if self._env.task.evaluate(self._env.cell).success:
            return Judgement(self._rng.random() >= self._false_negative, VERSION)
        return Judgement(self._draw() < self._false_positive, VERSION)

    def _draw(self) -> float:
        if self._errors == "frames":
            return self._rng.random()
        # The same number whenever the tool is in this cube.
        cube = np.floor(self._env.cell.tool_position() / CELL_M).astype(np.int64) + 1000
        return float(np.random.default_rng([self._seed, *cube.tolist()]).random())


def make(**_: Any) -> gymnasium.Env[Any, Any]:
    """The environment, as the variables have it."""
    told = os.environ
    env: Any = make_env(EnvConfig(reset_every=int(told.get("HANDRAIL_RESET_EVERY", "1"))))
    rates = [float(told.get(name, "0")) for name in ("HANDRAIL_FP", "HANDRAIL_FN")]
    env.judged_by(WrongJudge(env, *rates, told.get("HANDRAIL_ERRORS", "frames"), int(told.get("HANDRAIL_SEED", "0"))))
    made = GuardedEnv(env)
    made.metadata = env.metadata
    return made


gymnasium.register(id="Corrupted-v0", entry_point="handrail_corrupted:make")
