"""Transitions in memory, a cache of the archive: every observation is stored once and addressed by its slot.

A transition names the slots of its two observations, so neither an episode's end nor a stretch of intervened steps nor
a ring's seam can pair an image with the wrong neighbour. Which transitions a batch may draw from is a matter of index
lists: an intervention is a member of two of them and still stored once.
"""

import itertools
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from learner.columns import Observations
from learner.features import FeatureCache
from learner.index_ring import IndexRing
from learner.returns import returns_to_go
from learner.shaping import Potentials
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.types import UNSCORED, Observation, Source, Step

_SPARE_SLOTS = 256
"""Room for the newest observation of every stream, which belongs to no transition yet."""
_CONSTANT = 1e-4
"""Relative deviation of what does not move but for rounding and the settling of a simulation."""


class ReplayFullError(UserError, MemoryError):
    """There is no room for another transition, and nothing that may be forgotten."""


@dataclass
class _Pending:
    """A stream's newest step, whose next observation has not arrived."""

    slot: int
    step: Step
    seq: int


class Replay:
    """Transitions of one environment, in columns.

    `online` holds what this run's actors did, `prior` demonstrations and interventions (HIL-SERL: an intervention goes
    to both). When the capacity is reached the oldest online transition makes room; prior ones stay.
    """

    def __init__(
        self,
        spec: EnvSpec,
        capacity: int,
        *,
        learn_corrections: bool = True,
        discount: float = 0.97,
        cache: FeatureCache | None = None,
        keep_on: str = "host",
        shaping: float = 0.0,
    ) -> None:
        """Room for `capacity` transitions.

        Args:
            spec: Of the environment.
            capacity: Transitions.
            learn_corrections: False: only demonstrations are prior data.
            discount: Of returns to go.
            cache: What turns every frame into features as it comes in; they are kept in the frame's place.
            keep_on: Where frames, or their features, are kept: see learner.columns.
            shaping: Scale of the potentials whose differences are added to rewards; 0: none are.
        """
        self.spec = spec
        self.discount = discount
        self._learn_corrections = learn_corrections
        self.online = IndexRing(capacity)
        self.prior = IndexRing(capacity)
        self.orphans = 0
        """Steps whose next observation never came (an actor died in mid-episode): they form no transition."""
        self.held = 0
        """Transitions left out because the robot was held, or its senses stale, at one of their ends."""
        self.discarded = 0
        """Transitions forgotten because a person threw their episode away."""
        slots = 2 * capacity + _SPARE_SLOTS
        self._observations = Observations(spec, slots, cache=cache, keep_on=keep_on)
        self._references = np.zeros(slots, np.int32)
        self._begun_at = np.full(slots, -1, np.int64)
        """The transition that begins with the observation of a slot; -1: none."""
        self._free_slots = list(range(slots - 1, -1, -1))
        self._free_rows = list(range(capacity - 1, -1, -1))
        self._here = np.zeros(capacity, np.int64)
        self._next = np.zeros(capacity, np.int64)
        self._action = np.zeros((capacity, *spec.action.shape), np.float32)
        self._reward = np.zeros(capacity, np.float32)
        self._mask = np.zeros(capacity, np.float32)
        self._is_prior = np.zeros(capacity, bool)
        self._is_demo = np.zeros(capacity, bool)
        self._seq = np.full(capacity, -1, np.int64)
        self._stream = np.zeros(capacity, np.int32)
        self._streams: dict[str, int] = {}
        self._rewarded = np.zeros(capacity, bool)
        self._scored = np.zeros(capacity, bool)
        self._unscored: deque[int] = deque()
        """Rows whose reward, or potential, nobody knows yet: kept out of both sources until a label says what it is."""
        self._rows: dict[tuple[int, int], int] = {}
        """Number of a stream, and of a step in it -> the transition."""
        self._potentials = Potentials(slots, scale=shaping, discount=discount) if shaping else None
        self._by_policy = np.zeros(capacity, bool)
        self._takeover_in = np.zeros(capacity, np.int32)
        self._t = np.zeros(capacity, np.int32)
        self._return_to_go = np.full(capacity, -np.inf, np.float32)
        self._episode = np.zeros(capacity, np.int64)
        self._succeeded = np.zeros(capacity, bool)
        self._begun = 0
        self._numbers: dict[str, int] = {}
        """Of every stream's episode under way: it counts episodes over all streams."""
        self._rewards: dict[str, list[float]] = {}
        """Of every stream's episode under way, as far as no step of it is missing."""
        self._pending: dict[str, _Pending] = {}
        self._episodes: dict[str, list[int]] = {}
        """The rows of every stream's episode under way, which may yet be thrown away."""

    def __len__(self) -> int:
        """Number of complete transitions."""
        return len(self._here) - len(self._free_rows)

    @property
    def unscored(self) -> int:
        """How many transitions wait for a reward, or for a potential."""
        return len(self._unscored)

    @property
    def shaped(self) -> bool:
        """Whether differences of potentials are added to rewards."""
        return self._potentials is not None

    def relabel(self, stream: str, seq: int, *, success: bool) -> bool:
        """Say afterwards whether the state after a step was a success; returns whether its transition is here.

        A success is worth 1 and ends the episode there. What had been called one and is none goes on.
        """
        row = self._row_of(stream, seq)
        if row is None:
            return False
        if success:
            self._mask[row] = 0.0
        elif self._reward[row] > 0:
            self._mask[row] = 1.0
        self._settle(row, 1.0 if success else min(0.0, float(self._reward[row])))
        return True

    def reward(self, stream: str, seq: int, value: float) -> bool:
        """Say afterwards what the reward of a step is; returns whether its transition is here."""
        row = self._row_of(stream, seq)
        if row is None:
            return False
        self._settle(row, value)
        return True

    def judge(self, stream: str, seq: int, probability: float, *, before: bool = False) -> bool:
        """Say what a model takes the probability of success to be in the state after a step, or `before` it.

        Returns:
            Whether the state is here. Without shaping nothing is done with it.
        """
        row, slot = self._row_of(stream, seq), None
        if row is not None:
            slot = self._here[row] if before else self._next[row]
        elif not before:
            # The step made no transition, because the robot was held; the next one may begin in the same state.
            following = self._row_of(stream, seq + 1)
            slot = self._here[following] if following is not None and self._t[following] > 0 else None
        if slot is None or self._potentials is None:
            return slot is not None
        self._potentials.put(int(slot), probability)
        for touched in (row, self._begun_at[slot]):
            if touched is not None and touched >= 0:
                self._admit_late(int(touched))
        return True

    def add(self, stream: str, step: Step, seq: int = -1) -> None:
        """Take in a stream's next step, in the order of its sequence numbers.

        Args:
            stream: Whose.
            step: The step.
            seq: Its number, by which a label may name it later; -1: none will.
        """
        slot = self._store(step.observation)
        pending = self._pending.pop(stream, None)
        if pending is None or pending.step.episode != step.episode:
            self._episodes[stream] = []
            self._begun += 1
            self._numbers[stream] = self._begun
        self._note_reward(stream, step)
        if pending is not None:
            if (step.episode, step.t) != (pending.step.episode, pending.step.t + 1):
                self.orphans += 1
            elif pending.step.held or step.held:
                # The second's observation is the first's next one, and may be why the robot was held.
                self.held += 1
            else:
                self._complete(stream, pending, slot)
            if step.intervened and not pending.step.intervened:
                self._mark_takeover(self._episodes[stream])
            self._release(pending.slot)
        arrived = _Pending(slot, step, seq)
        if not step.ended:
            self._pending[stream] = arrived
            return
        if step.final_observation is None:
            self.orphans += 1
        elif step.held:
            self.held += 1
        else:
            final = self._store(step.final_observation)
            self._complete(stream, arrived, final)
            self._release(final)
        self._release(slot)
        rows = self._episodes.pop(stream, [])
        self._note_returns(stream, rows, step)
        if step.discarded:
            self._discard(rows)

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

    def rows_before(self, stream: str, seq: int, length: int) -> np.ndarray | None:
        """The numbers of `length` transitions in a row, int64 (length,), of which the last is that of this step.

        None where one of them is not here: the run is another, the robot was held, or the episode began later.
        """
        found: list[int] = []
        while len(found) < length:
            row = self._row_of(stream, seq - len(found))
            if row is None or (found and self._next[row] != self._here[found[-1]]):
                return None
            found.append(row)
        return np.array(found[::-1], np.int64)

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

    def _complete(self, stream: str, pending: _Pending, next_slot: int) -> None:
        if not self._free_rows:
            self._evict()
        row, step = self._free_rows.pop(), pending.step
        self._here[row], self._next[row] = pending.slot, next_slot
        self._begun_at[pending.slot] = row
        self._references[[pending.slot, next_slot]] += 1
        self._action[row], self._reward[row] = step.action, step.reward
        # A time limit is no end of the task: value follows, so it must not mask the bootstrap.
        self._mask[row] = 0.0 if step.terminated else 1.0
        self._t[row], self._episode[row], self._return_to_go[row] = step.t, self._numbers[stream], -np.inf
        self._succeeded[row] = False
        self._is_prior[row] = step.source is Source.DEMO or (step.intervened and self._learn_corrections)
        self._by_policy[row], self._takeover_in[row] = step.source is Source.POLICY, 0
        self._is_demo[row] = step.source is Source.DEMO
        self._seq[row], self._stream[row] = pending.seq, self._streams.setdefault(stream, len(self._streams))
        self._episodes.setdefault(stream, []).append(row)
        if pending.seq >= 0:
            self._rows[int(self._stream[row]), pending.seq] = row
        self._scored[row], self._rewarded[row] = False, step.reward_by != UNSCORED
        if self._is_settled(row):
            self._admit(row)
        else:
            self._unscored.append(row)

    def _settle(self, row: int, reward: float) -> None:
        """Now that the reward of a transition is known, or known better."""
        if self._reward[row] != np.float32(reward) and self._return_to_go[row] != -np.inf:
            # All of an episode's are known or none, so this looks at all rows once for it and not for each label.
            # What the episode returns was summed from what the reward is no more. Episodes count over all streams.
            self._return_to_go[self._episode == self._episode[row]] = -np.inf
        self._reward[row], self._rewarded[row] = reward, True
        self._admit_late(row)

    def _row_of(self, stream: str, seq: int) -> int | None:
        number = self._streams.get(stream)
        return None if number is None else self._rows.get((number, seq))

    def _is_settled(self, row: int) -> bool:
        """Whether all that is learned from a transition is known of it."""
        potentials = self._potentials
        return bool(self._rewarded[row]) and (
            potentials is None or potentials.known(int(self._here[row]), int(self._next[row]))
        )

    def _admit_late(self, row: int) -> None:
        """Let batches draw from a transition that waited, if that was the last it had to wait for."""
        if not self._scored[row] and self._is_settled(row):
            self._unscored.remove(row)
            self._admit(row)

    def _shaped(self, rows: np.ndarray) -> np.ndarray:
        reward = self._reward[rows]
        if self._potentials is None:
            return reward
        return reward + self._potentials.added(self._here[rows], self._next[rows], self._mask[rows])

    def _shaped_return(self, rows: np.ndarray) -> np.ndarray:
        """What shaping adds to an episode's rewards sums up to the potential, taken away, that it began with."""
        found = self._return_to_go[rows]
        return found if self._potentials is None else found - self._potentials.at(self._here[rows])

    def _admit(self, row: int) -> None:
        """Let batches draw from a transition."""
        self._scored[row] = True
        if not self._is_demo[row]:
            self.online.push(row)
        if self._is_prior[row]:
            self.prior.push(row)

    def _mark_takeover(self, rows: list[int]) -> None:
        """Number the transitions in which the policy drove last, backwards from the takeover that ended them."""
        driven = itertools.takewhile(
            lambda row: self._by_policy[row] and not self._takeover_in[row],
            reversed(rows),
        )
        for distance, row in enumerate(driven, start=1):
            self._takeover_in[row] = distance

    def _note_reward(self, stream: str, step: Step) -> None:
        rewards = self._rewards.setdefault(stream, [])
        if step.t == 0:
            rewards.clear()
        if len(rewards) == step.t:
            rewards.append(step.reward)

    def _note_returns(self, stream: str, rows: list[int], last: Step) -> None:
        """Now that the episode is over its returns are known, unless one of its steps is missing."""
        rewards = self._rewards.pop(stream, [])
        self._succeeded[rows] = last.success
        if rows and len(rewards) == last.t + 1:
            found = returns_to_go(rewards, terminated=last.terminated, discount=self.discount)
            self._return_to_go[rows] = found[self._t[rows]]

    def _discard(self, rows: list[int]) -> None:
        """Forget an episode. What was learned from it while it was under way stays learned."""
        self.discarded += len(rows)
        for ring in (self.online, self.prior):
            ring.remove(rows)
        self._unscored = deque(row for row in self._unscored if row not in rows)
        for row in rows:
            self._forget(row)

    def _forget(self, row: int) -> None:
        self._begun_at[self._here[row]] = -1
        self._rows.pop((int(self._stream[row]), int(self._seq[row])), None)
        self._seq[row] = -1
        for slot in (self._here[row], self._next[row]):
            self._release(int(slot))
        self._free_rows.append(row)

    def _forget_early(self, row: int) -> None:
        """Forget a transition whose episode may still be under way."""
        for rows in self._episodes.values():
            if row in rows:
                rows.remove(row)
        self._forget(row)

    def _evict(self) -> None:
        """Forget the oldest online transition; an intervention leaves the online list only, for it is prior too.

        What waits for a reward may take half of the room; beyond that, or where there is nothing else, its oldest goes.
        """
        while len(self.online) or self._unscored:
            waiting = len(self._unscored)
            if waiting and (waiting > len(self._here) // 2 or not len(self.online)):
                self._forget_early(self._unscored.popleft())
                return
            row = self.online.pop()
            if not self._is_prior[row]:
                self._forget_early(row)
                return
        raise ReplayFullError(
            f"the replay's {len(self._here)} transitions are all demonstrations and interventions; "
            "raise learner.capacity"
        )


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
