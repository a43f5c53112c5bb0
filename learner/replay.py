"""What a learner has experienced, in the order in which it came: what may be drawn, as what, and what has to go.

Which transitions a batch may draw from is a matter of index lists: an intervention is a member of two of them and still
stored once. The transitions themselves, and what batches read of them, are in `learner.transitions`.
"""

import itertools
from collections import deque
from dataclasses import dataclass

import numpy as np

from learner.features import FeatureCache
from learner.index_ring import IndexRing
from learner.returns import returns_to_go
from learner.transitions import Transitions
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.types import UNSCORED, Source, Step


class ReplayFullError(UserError, MemoryError):
    """There is no room for another transition, and nothing that may be forgotten."""


@dataclass
class _Pending:
    """A stream's newest step, whose next observation has not arrived."""

    slot: int
    step: Step
    seq: int


class Replay(Transitions):
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
        super().__init__(spec, capacity, discount=discount, cache=cache, keep_on=keep_on, shaping=shaping)
        self._learn_corrections = learn_corrections
        self.online = IndexRing(capacity)
        self.prior = IndexRing(capacity)
        self.orphans = 0
        """Steps whose next observation never came (an actor died in mid-episode): they form no transition."""
        self.held = 0
        """Transitions left out because the robot was held, or its senses stale, at one of their ends."""
        self.discarded = 0
        """Transitions forgotten because a person threw their episode away."""
        self.demonstrated = 0
        """Transitions of demonstrations that may be drawn."""
        self._seq = np.full(capacity, -1, np.int64)
        self._stream = np.zeros(capacity, np.int32)
        self._streams: dict[str, int] = {}
        self._ended_unclaimed = np.zeros(capacity, bool)
        """Whether a transition ended its episode by no model's word: by a person's, or the task's."""
        self._unscored: deque[int] = deque()
        """Rows whose reward, or potential, nobody knows yet: kept out of both sources until a label says what it is."""
        self._rows: dict[tuple[int, int], int] = {}
        """Number of a stream, and of a step in it -> the transition."""
        self._begun = 0
        self._numbers: dict[str, int] = {}
        """Of every stream's episode under way: it counts episodes over all streams."""
        self._rewards: dict[str, list[float]] = {}
        """Of every stream's episode under way, as far as no step of it is missing."""
        self._pending: dict[str, _Pending] = {}
        self._episodes: dict[str, list[int]] = {}
        """The rows of every stream's episode under way, which may yet be thrown away."""

    @property
    def unscored(self) -> int:
        """How many transitions wait for a reward, or for a potential."""
        return len(self._unscored)

    def relabel(self, stream: str, seq: int, *, success: bool, keep_ends: bool = False) -> bool:
        """Say afterwards whether the state after a step was a success; returns whether its transition is here.

        A success is worth 1 and ends the episode there. What had been called one and is none goes on.

        Args:
            stream: Whose.
            seq: Of the step.
            success: Whether it was one.
            keep_ends: Leave a step as it is that ended its episode by no model's word.
        """
        row = self._row_of(stream, seq)
        if row is None:
            return False
        if keep_ends and self._ended_unclaimed[row]:
            return True
        if success:
            self._mask[row] = 0.0
        elif self._reward[row] > 0:
            self._mask[row] = 1.0
        self._settle(stream, row, 1.0 if success else min(0.0, float(self._reward[row])))
        return True

    def reward(self, stream: str, seq: int, value: float) -> bool:
        """Say afterwards what the reward of a step is; returns whether its transition is here."""
        row = self._row_of(stream, seq)
        if row is None:
            return False
        self._settle(stream, row, value)
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
        self._ended_unclaimed[row] = step.terminated and not step.claimed
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

    def _settle(self, stream: str, row: int, reward: float) -> None:
        """Now that the reward of a transition is known, or known better."""
        if self._reward[row] != np.float32(reward):
            self._forget_returns(stream, row)
        self._reward[row], self._rewarded[row] = reward, True
        self._admit_late(row)

    def _forget_returns(self, stream: str, row: int) -> None:
        """What a transition's episode returns is not, or would not be, the sum of what its rewards are now."""
        if stream in self._pending and self._episode[row] == self._numbers[stream]:
            # It is under way: like one that lacks a step, it has no returns when it ends.
            self._rewards[stream].clear()
        elif self._return_to_go[row] != -np.inf:
            # All of an episode's are known or none, so this looks at all rows once for it and not for each label.
            # Episodes count over all streams.
            self._return_to_go[self._episode == self._episode[row]] = -np.inf

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

    def _admit(self, row: int) -> None:
        """Let batches draw from a transition."""
        self._scored[row] = True
        self.demonstrated += int(self._is_demo[row])
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
        self.demonstrated -= int(np.sum(self._is_demo[rows] & self._scored[rows]))
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
