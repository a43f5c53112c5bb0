"""Transitions in memory, a cache of the archive: every observation is stored once and addressed by its slot.

A transition names the slots of its two observations, so neither an episode's end nor a stretch of intervened steps nor
a ring's seam can pair an image with the wrong neighbour. Here are the columns and what batches read of them; what comes
in, and what has to go, is `learner.replay`'s matter.
"""

from typing import Any

import numpy as np

from learner.columns import Observations
from learner.features import FeatureCache
from learner.shaping import Potentials
from wire.specs import EnvSpec
from wire.types import Observation

_SPARE_SLOTS = 256
"""Room for the newest observation of every stream, which belongs to no transition yet."""
_CONSTANT = 1e-4
"""Relative deviation of what does not move but for rounding and the settling of a simulation."""


class Transitions:
    """Room for transitions of one environment, in columns, and for their observations."""

    def __init__(
        self,
        spec: EnvSpec,
        capacity: int,
        *,
        discount: float,
        cache: FeatureCache | None = None,
        keep_on: str = "host",
        shaping: float = 0.0,
    ) -> None:
        """Room for `capacity` transitions; see `learner.replay.Replay`."""
        self.spec = spec
        self.discount = discount
        slots = 2 * capacity + _SPARE_SLOTS
        self._observations = Observations(spec, slots, cache=cache, keep_on=keep_on)
        self._references = np.zeros(slots, np.int32)
        self._begun_at = np.full(slots, -1, np.int64)
        """The transition that begins with the observation of a slot; -1: none."""
        self._free_slots = list(range(slots - 1, -1, -1))
        self._free_rows = list(range(capacity - 1, -1, -1))
        self._potentials = Potentials(slots, scale=shaping, discount=discount) if shaping else None
        # A row each:
        self._here = np.zeros(capacity, np.int64)
        self._next = np.zeros(capacity, np.int64)
        self._action = np.zeros((capacity, *spec.action.shape), np.float32)
        self._reward = np.zeros(capacity, np.float32)
        self._mask = np.zeros(capacity, np.float32)
        self._return_to_go = np.full(capacity, -np.inf, np.float32)
        self._episode = np.zeros(capacity, np.int64)
        """Number of its episode, which counts over all streams."""
        self._t = np.zeros(capacity, np.int32)
        self._takeover_in = np.zeros(capacity, np.int32)
        self._by_policy = np.zeros(capacity, bool)
        self._is_demo = np.zeros(capacity, bool)
        self._is_prior = np.zeros(capacity, bool)
        self._succeeded = np.zeros(capacity, bool)
        self._rewarded = np.zeros(capacity, bool)
        self._scored = np.zeros(capacity, bool)
        """Whether all that is learned from it is known, so that batches may draw it."""

    def __len__(self) -> int:
        """Number of complete transitions."""
        return len(self._here) - len(self._free_rows)

    @property
    def shaped(self) -> bool:
        """Whether differences of potentials are added to rewards."""
        return self._potentials is not None

    def gather(
        self, rows: np.ndarray, rng: np.random.Generator | None = None, *, last: np.ndarray | None = None
    ) -> dict[str, Any]:
        """The transitions with these numbers (any shape): observation, next_observation, action, reward, mask.

        Of frames that are kept as several views, `rng` draws one for each camera and observation; None: the first.
        `last`, of the same shape, names other transitions for the next observations and masks.

        And return_to_go, the discounted return from there to the end; minus infinity while that is unknown.
        And `takeover_in`: 1 for the policy's last transition before somebody took over, 2 for the one before it, and so
        on back to where the policy had begun to drive; 0 for all others. Steps that form no transition, because the
        robot was held, do not count. Rewards are those of the archive, and what shaping adds to them.
        """
        last = rows if last is None else last
        here, after = self._here[rows], self._next[last]
        return {
            "observation": self._observations.take(here, rng),
            "next_observation": self._observations.take(after, rng),
            "action": self._action[rows],
            "reward": self._shaped(rows),
            "mask": self._mask[last],
            "return_to_go": self._shaped_return(rows),
            "takeover_in": self._takeover_in[rows],
        }

    def gather_chunks(
        self, rows: np.ndarray, *, length: int, discount: float, rng: np.random.Generator | None = None
    ) -> dict[str, Any]:
        """Windows of `length` consecutive transitions that begin with these: see `gather`, and learner.agents.qc.

        Actions lie one after the other, (..., length * n); `reward` is the discounted sum; `bootstrap` is what the
        value of `next_observation`, after the window's last transition, counts for; `valid` is 1 for whole windows and
        for those that the task's end cut short, whose missing actions, without effect, are the last one again.
        """
        chain, there = [rows], [np.ones(rows.shape, bool)]
        for _ in range(length - 1):
            following = self._begun_at[self._next[chain[-1]]]
            # A label may have ended the task in mid-episode, and what waits for one has no reward yet.
            goes_on = (following >= 0) & (self._mask[chain[-1]] > 0) & self._scored[following]
            there.append(there[-1] & goes_on)
            chain.append(np.where(there[-1], following, chain[-1]))
        window, present = np.stack(chain, axis=-1), np.stack(there, axis=-1)
        out = self.gather(rows, rng, last=chain[-1])
        discounts = (discount ** np.arange(length)).astype(np.float32)
        return out | {
            "action": self._action[window].reshape(*rows.shape, -1),
            "reward": np.sum(discounts * present * self._shaped(window), axis=-1, dtype=np.float32),
            "bootstrap": (discount ** present.sum(axis=-1) * out["mask"]).astype(np.float32),
            "valid": (present[..., -1] | (out["mask"] == 0)).astype(np.float32),
        }

    def vector_moments(self) -> dict[str, np.ndarray]:
        """Mean and standard deviation of all vectors seen, in alphabetical order of their names, each (n,)."""
        return moments(self.vectors())

    def members(self) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of all transitions that may be drawn, and the episode of each, int64 (n,)."""
        rows = np.setdiff1d(np.arange(len(self._here)), self._free_rows)
        rows = rows[self._scored[rows]]
        return rows, self._episode[rows]

    def rewards(self, rows: np.ndarray) -> np.ndarray:
        """Of these transitions, float32 (n,), without what shaping adds."""
        return self._reward[rows]

    def exemplary(self, rows: np.ndarray) -> np.ndarray:
        """Whether they are of an episode that succeeded, or of a person, bool, of the same shape."""
        return self._succeeded[rows] | self._is_prior[rows]

    def by_human(self, rows: np.ndarray) -> np.ndarray:
        """Whether they are of a demonstrator or of a person who corrected, bool, of the same shape."""
        return self._is_prior[rows]

    def vectors_at(self, rows: np.ndarray) -> np.ndarray:
        """The vectors that these transitions begin with, in alphabetical order of their names, float32 (n, d)."""
        return self._observations.vectors(self._here[rows])

    def vectors(self) -> np.ndarray:
        """The vectors of every observation held, in alphabetical order of their names, float32 (m, d)."""
        return self._observations.vectors(np.flatnonzero(self._references))

    def _store(self, observation: Observation) -> int:
        slot = self._free_slots.pop()
        self._observations.put(slot, observation)
        self._references[slot], self._begun_at[slot] = 1, -1
        if self._potentials is not None:
            self._potentials.forget(slot)
        return slot

    def _release(self, slot: int) -> None:
        self._references[slot] -= 1
        if self._references[slot] == 0:
            self._free_slots.append(slot)

    def _shaped(self, rows: np.ndarray) -> np.ndarray:
        reward = self._reward[rows]
        if self._potentials is None:
            return reward
        return reward + self._potentials.added(self._here[rows], self._next[rows], self._mask[rows])

    def _shaped_return(self, rows: np.ndarray) -> np.ndarray:
        """What shaping adds to an episode's rewards sums up to the potential, taken away, that it began with."""
        found = self._return_to_go[rows]
        return found if self._potentials is None else found - self._potentials.at(self._here[rows])


def moments(values: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and standard deviation (n,) of vectors (m, n), to normalise by.

    An element that never moved counts as of unit scale: divided by next to nothing, the first move of a gripper that
    demonstrations never close would drown out everything else that the networks see. The floor does the same for what
    hardly moved.
    """
    mean, std = values.mean(0), values.std(0)
    constant = std < _CONSTANT * (1.0 + np.abs(mean))
    return {
        "mean": mean.astype(np.float32),
        "std": np.where(constant, 1.0, np.maximum(std, 1e-2)).astype(np.float32),
    }
