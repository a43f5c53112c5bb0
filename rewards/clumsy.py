"""A script that succeeds often enough and fails in instructive ways: what a classifier must learn to tell apart."""

import numpy as np

from envs.experts import Expert
from wire.types import Action

MODES = ("steady", "shaky", "dropping", "empty", "wandering")
"""Does it well; with an unsteady hand; lets go on the way; goes through the motions elsewhere; moves at random."""
_NOISE = {"steady": 0.15, "shaky": 0.6, "dropping": 0.3}


class Clumsy:
    """Drives like `expert` as a mode of MODES has it; each episode draws a mode. The last action is the gripper's."""

    def __init__(self, expert: Expert, rng: np.random.Generator) -> None:
        self._expert = expert
        self._rng = rng
        self.mode = MODES[0]

    def begin_episode(self, mode: str | None = None) -> None:
        """Draw a mode, or take this one."""
        rng = self._rng
        self.mode = mode or str(rng.choice(MODES, p=(0.35, 0.15, 0.2, 0.15, 0.15)))
        self._expert.begin_episode()
        self._t = 0
        self._slip, self._drift = 0, np.zeros(3)
        self._aside = rng.uniform(-1.0, 1.0, 2)
        self._down = int(rng.integers(6, 12))
        self._lift = int(rng.integers(2, 8))

    def propose(self) -> Action:
        """The next action, float32 (n,) in [-1, 1], unguarded."""
        self._t += 1
        if self.mode == "empty":
            return self._empty()
        if self.mode == "wandering":
            return self._wander()
        action = self._expert.propose().copy()
        action[:3] += self._rng.normal(0.0, _NOISE[self.mode], 3)
        if self.mode == "dropping":
            closed = action[-1] < 0
            if self._slip == 0 and closed and self._rng.uniform() < 0.12:
                self._slip = int(self._rng.integers(2, 6))
            if self._slip:
                self._slip -= 1
                action[-1] = 1.0
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def _empty(self) -> Action:
        """Sideways and down, shut, up again and stay: the look of a success but for the thing itself."""
        away, shut = self._down, self._down + 4
        if self._t <= away:
            move, gripper = np.array([*(0.5 * self._aside), -0.7]), 1.0
        else:
            move, gripper = np.array([0.0, 0.0, 1.0 if shut < self._t <= shut + self._lift else 0.0]), -1.0
        move = move + self._rng.normal(0.0, 0.15, 3)
        return np.clip([*move, gripper], -1.0, 1.0).astype(np.float32)

    def _wander(self) -> Action:
        self._drift = np.clip(0.8 * self._drift + self._rng.normal(0.0, 0.5, 3), -1.0, 1.0)
        shut = np.sin(0.3 * self._t + 6.0 * self._aside[0]) > 0
        return np.array([*self._drift, -1.0 if shut else 1.0], np.float32)
