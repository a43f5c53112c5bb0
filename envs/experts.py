"""Who acts in place of a policy: scripted experts, and the corrector that stands in for a person."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from wire.types import Action


class Expert(Protocol):
    """A script that solves its task, from any state, one action at a time."""

    def begin_episode(self) -> None:
        """Forget the last episode."""
        ...

    def propose(self) -> Action:
        """The action for the coming control period, float32, shape (n,), in the environment's own frame; unguarded."""
        ...


class Corrector(Protocol):
    """Somebody who may take over from the policy, one control period at a time."""

    def begin_episode(self, episode: int) -> None:
        """Start episode number `episode`, from 0: help grows rarer with it."""
        ...

    def propose(self) -> Action | None:
        """The action for the coming control period, or None: the policy keeps control. Call it once per period."""
        ...


class NoisyExpert:
    """An expert with an unsteady hand: Gaussian noise on the first `dims` action dimensions."""

    def __init__(self, expert: Expert, rng: np.random.Generator, noise: float, dims: int) -> None:
        self._expert = expert
        self._rng = rng
        self._noise = noise
        self._dims = dims

    def begin_episode(self) -> None:
        """Forget the last episode."""
        self._expert.begin_episode()

    def propose(self) -> Action:
        """The expert's action with noise, clipped to [-1, 1]."""
        action = self._expert.propose().copy()
        action[: self._dims] += self._rng.normal(0.0, self._noise, self._dims)
        return np.clip(action, -1.0, 1.0).astype(np.float32)


class StuckCorrector:
    """Takes over when a potential has stopped rising, drives like the expert for a while, hands back.

    The deterministic human of the tests. Whether it helps in episode k is drawn from its seed and k alone, so that a
    resumed run sees the same helper as one that was never interrupted.
    """

    def __init__(
        self,
        expert: Expert,
        potential: Callable[[], float],
        rng: np.random.Generator,
        *,
        patience: int = 8,
        spell: int = 10,
        least_progress: float = 0.002,
        fades_by_episode: int = 60,
        danger: Callable[[], bool] = lambda: False,
    ) -> None:
        """Watch `potential` (higher is nearer to success) and drive with `expert`.

        Args:
            expert: Who drives.
            potential: How far the task has come, in metres.
            rng: Source of the helper's seed.
            patience: Control periods without progress before it takes over.
            spell: Control periods it then drives.
            least_progress: Rise above the best potential so far that counts, metres.
            danger: Whether it should take over at once.
            fades_by_episode: In episode k it helps with probability 1 - k / fades_by_episode, each time it sees cause.
        """
        self._expert = expert
        self._potential = potential
        self._danger = danger
        self._seed = int(rng.integers(2**63))
        self._patience, self._spell = patience, spell
        self._least_progress, self._fades_by_episode = least_progress, fades_by_episode
        self.begin_episode(0)

    def begin_episode(self, episode: int) -> None:
        """Start episode number `episode`, from 0."""
        self._rng = np.random.default_rng([self._seed, episode])
        self._willingness = max(0.0, 1.0 - episode / self._fades_by_episode)
        self._driving_left = 0
        self._watch_anew()

    def propose(self) -> Action | None:
        """The expert's action while it drives, else None. Call it once per control period."""
        if self._driving_left == 0 and self._sees_cause():
            if self._rng.uniform() < self._willingness:
                self._driving_left = self._spell
                self._expert.begin_episode()
            self._watch_anew()
        if self._driving_left == 0:
            return None
        self._driving_left -= 1
        return self._expert.propose()

    def _watch_anew(self) -> None:
        self._best, self._waited = -np.inf, 0

    def _sees_cause(self) -> bool:
        potential = self._potential()
        if potential > self._best + self._least_progress:
            self._best, self._waited = potential, 0
        else:
            self._waited += 1
        return self._waited >= self._patience or self._danger()
