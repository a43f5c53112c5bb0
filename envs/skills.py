"""Scripted people of several skills: what experiments put at the place of a person.

A habit changes what a task's corrector does, and needs nothing but that corrector. A supervisor decides by itself when
to take over. Each is decided by its seed and the number of the episode alone, as the corrector is.
"""

from collections.abc import Callable

import numpy as np

from envs.experts import Corrector, Expert
from wire.types import Action

NOISE = 0.3
"""Of the noisy: standard deviation, in action units."""
SELDOM, SHORT = 1.0 / 3.0, 3
"""Of the lazy: share of the calls that they answer, and for how many control periods."""
WRONG = 0.2
"""Share of the calls in which the wrong do the opposite."""
THRESHOLD, SURE, DOUBT, HOLD, DISCOUNT = 0.95, 0.95, 0.05, 4, 0.9
"""Of the supervisor, as in RLIF (arXiv 2311.12996): it takes over with probability SURE where the policy's action is
worth less than THRESHOLD of its own, else with probability DOUBT, and drives for HOLD control periods."""
CHANCE = 0.1
"""Of RLIF's control arm: probability of a takeover in any control period."""


class Habit:
    """A corrector with a habit. A call is a stretch of control periods in which the corrector wants to drive."""

    def __init__(self, corrector: Corrector, rng: np.random.Generator, moving: np.ndarray) -> None:
        """Change what `corrector` does; `moving` says which dimensions of the action are motion: bools, shape (n,)."""
        self._corrector = corrector
        self._moving = moving
        self._seed = int(rng.integers(2**63))
        self.begin_episode(0)

    def begin_episode(self, episode: int) -> None:
        """Start episode number `episode`."""
        self._corrector.begin_episode(episode)
        self._rng = np.random.default_rng([self._seed, episode])
        self._calls = self._driven = 0

    def propose(self) -> Action | None:
        """What this person does; None where they leave the policy alone. Call it once per control period."""
        action = self._corrector.propose()
        if action is None:
            self._driven = 0
            return None
        if self._driven == 0:
            self._calls += 1
            self._begin_call()
        self._driven += 1
        return self._instead(action)

    def _begin_call(self) -> None:
        """Draw what decides about the whole call."""

    def _instead(self, action: Action) -> Action | None:
        raise NotImplementedError


class Noisy(Habit):
    """Knows what to do and has an unsteady hand: Gaussian noise on every motion."""

    def _instead(self, action: Action) -> Action:
        noise = self._moving * self._rng.normal(0.0, NOISE, action.shape)
        return np.clip(action + noise, -1.0, 1.0).astype(np.float32)


class Late(Habit):
    """Looks up only when called again: the first call of an episode, the third and so on pass unanswered."""

    def _instead(self, action: Action) -> Action | None:
        return action if self._calls % 2 == 0 else None


class Lazy(Habit):
    """Answers few calls, and lets go soon."""

    def _begin_call(self) -> None:
        self._answers = self._rng.uniform() < SELDOM

    def _instead(self, action: Action) -> Action | None:
        return action if self._answers and self._driven <= SHORT else None


class Wrong(Habit):
    """Does, in one call out of five, the opposite of what is right, for all of the call; the gripper stays right."""

    def _begin_call(self) -> None:
        self._errs = self._rng.uniform() < WRONG

    def _instead(self, action: Action) -> Action:
        return np.where(self._moving & self._errs, -action, action).astype(np.float32)


class Supervisor:
    """Takes over by what the policy's action is worth (the supervisor of RLIF), or, its control arm, by chance.

    The value of an action is DISCOUNT to the power of the control periods that the task will still take after it: the
    optimal value of a sparse reward of 1 at success, where the estimate is right. What it values is what the policy
    wants in this very period, before it is done. Its help does not fade.
    """

    def __init__(
        self, expert: Expert, rng: np.random.Generator, steps_to_go: Callable[[Action], float] | None = None
    ) -> None:
        """Drive with `expert`; without `steps_to_go`, the task's estimate after an action, take over by chance.

        The expert is asked in periods in which it does not drive, too, so it must look at the state alone.
        """
        self._expert = expert
        self._steps_to_go = steps_to_go
        self._seed = int(rng.integers(2**63))
        self._wanted: Action | None = None
        self.begin_episode(0)

    def begin_episode(self, episode: int) -> None:
        """Start episode number `episode`."""
        self._rng = np.random.default_rng([self._seed, episode])
        self._left = 0
        self._expert.begin_episode()

    def hear(self, wanted: Action | None) -> None:
        """Hear what the policy wants in the coming control period; None: it wants nothing."""
        self._wanted = wanted

    def propose(self) -> Action | None:
        """The expert's action while it drives, else None. Call it once per control period."""
        if self._left == 0 and self._rng.uniform() < self._inclination():
            self._left = HOLD
        if self._left == 0:
            return None
        self._left -= 1
        return self._expert.propose()

    def _inclination(self) -> float:
        """The probability of a takeover now."""
        if self._steps_to_go is None:
            return CHANCE
        if self._wanted is None or not np.isfinite(self._wanted).all():
            return DOUBT
        worth = DISCOUNT ** self._steps_to_go(self._wanted)
        return SURE if worth < THRESHOLD * DISCOUNT ** self._steps_to_go(self._expert.propose()) else DOUBT


HABITS: dict[str, type[Habit]] = {"noisy": Noisy, "late": Late, "lazy": Lazy, "wrong": Wrong}
