"""Transitions in memory, a cache of the archive: every observation is stored once and addressed by its slot.

A transition names the slots of its two observations, so neither an episode's end nor a stretch of intervened steps nor
a ring's seam can pair an image with the wrong neighbour. Which transitions a batch may draw from is a matter of index
lists: an intervention is a member of two of them and still stored once.
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from learner.columns import Column, DeviceColumn, HostColumn, fits_on_device
from learner.features import FeatureCache
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.types import Observation, Source, Step

_SPARE_SLOTS = 256
"""Room for the newest observation of every stream, which belongs to no transition yet."""
_CONSTANT = 1e-4
"""Relative deviation of what does not move but for rounding and the settling of a simulation."""


class ReplayFullError(UserError, MemoryError):
    """There is no room for another transition, and nothing that may be forgotten."""


class IndexRing:
    """The newest `capacity` transition numbers of one source of batches, oldest first out."""

    def __init__(self, capacity: int) -> None:
        self._items = np.zeros(capacity, np.int64)
        self._start = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, item: int) -> None:
        """Append; the ring must not be full."""
        self._items[(self._start + self._size) % len(self._items)] = item
        self._size += 1

    def pop(self) -> int:
        """Remove and return the oldest."""
        item = int(self._items[self._start])
        self._start = (self._start + 1) % len(self._items)
        self._size -= 1
        return item

    def remove(self, items: Collection[int]) -> None:
        """Take these members out, wherever they are; the others keep their order."""
        kept = self._items[(self._start + np.arange(self._size)) % len(self._items)]
        kept = kept[~np.isin(kept, list(items))]
        self._items[: len(kept)] = kept
        self._start, self._size = 0, len(kept)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw `n` members with replacement, int64 (n,)."""
        return self._items[(self._start + rng.integers(self._size, size=n)) % len(self._items)]


@dataclass
class _Pending:
    """A stream's newest step, whose next observation has not arrived."""

    slot: int
    step: Step


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
        cache: FeatureCache | None = None,
        keep_on: str = "host",
    ) -> None:
        """Room for `capacity` transitions.

        Args:
            spec: Of the environment.
            capacity: Transitions.
            learn_corrections: False: only demonstrations are prior data.
            cache: What turns every frame into features as it comes in; they are kept in the frame's place.
            keep_on: Where frames, or their features, are kept: host, device, or auto: on the device where they fit.
        """
        self.spec = spec
        self._cache = cache
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
        self._views = 1 if cache is None else cache.views
        self._columns: dict[str, Column] = {
            name: HostColumn(slots, array.shape, array.dtype)
            for name, array in spec.observation.items()
            if not array.is_frame
        }
        self._columns |= self._frame_columns(slots, keep_on)
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
        self._by_policy = np.zeros(capacity, bool)
        self._takeover_in = np.zeros(capacity, np.int32)
        self._pending: dict[str, _Pending] = {}
        self._episodes: dict[str, list[int]] = {}
        """The rows of every stream's episode under way, which may yet be thrown away."""

    def __len__(self) -> int:
        """Number of complete transitions."""
        return len(self._here) - len(self._free_rows)

    def add(self, stream: str, step: Step) -> None:
        """Take in a stream's next step, in the order of its sequence numbers."""
        slot = self._store(step.observation)
        pending = self._pending.pop(stream, None)
        if pending is None or pending.step.episode != step.episode:
            self._episodes[stream] = []
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
        arrived = _Pending(slot, step)
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
        if step.discarded:
            self._discard(rows)

    def gather(
        self, rows: np.ndarray, rng: np.random.Generator | None = None, *, last: np.ndarray | None = None
    ) -> dict[str, Any]:
        """The transitions with these numbers (any shape): observation, next_observation, action, reward, mask.

        Of frames that are kept as several views, `rng` draws one for each camera and observation; None: the first.
        `last`, of the same shape, names other transitions for the next observations and masks.

        And `takeover_in`: 1 for the policy's last transition before somebody took over, 2 for the one before it, and so
        on back to where the policy had begun to drive; 0 for all others. Steps that form no transition, because the
        robot was held, do not count. Rewards are those of the archive.
        """
        last = rows if last is None else last
        here, after = self._here[rows], self._next[last]
        return {
            "observation": self._seen(here, rng),
            "next_observation": self._seen(after, rng),
            "action": self._action[rows],
            "reward": self._reward[rows],
            "mask": self._mask[last],
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
            there.append(there[-1] & (following >= 0))
            chain.append(np.where(there[-1], following, chain[-1]))
        window, present = np.stack(chain, axis=-1), np.stack(there, axis=-1)
        out = self.gather(rows, rng, last=chain[-1])
        discounts = (discount ** np.arange(length)).astype(np.float32)
        return out | {
            "action": self._action[window].reshape(*rows.shape, -1),
            "reward": np.sum(discounts * present * self._reward[window], axis=-1, dtype=np.float32),
            "bootstrap": (discount ** present.sum(axis=-1) * out["mask"]).astype(np.float32),
            "valid": (present[..., -1] | (out["mask"] == 0)).astype(np.float32),
        }

    def vector_moments(self) -> dict[str, np.ndarray]:
        """Mean and standard deviation of all vectors seen, in alphabetical order of their names, each (n,).

        An element that never moved counts as of unit scale: divided by next to nothing, the first move of a gripper
        that demonstrations never close would drown out everything else that the networks see. The floor does the same
        for what hardly moved.
        """
        rows = np.flatnonzero(self._references)
        names = [name for name, array in sorted(self.spec.observation.items()) if not array.is_frame]
        seen = [self._columns[name].take(rows) for name in names]
        values = np.concatenate(seen, axis=1) if seen else np.zeros((len(rows), 0), np.float32)
        mean, std = values.mean(0), values.std(0)
        constant = std < _CONSTANT * (1.0 + np.abs(mean))
        return {
            "mean": mean.astype(np.float32),
            "std": np.where(constant, 1.0, np.maximum(std, 1e-2)).astype(np.float32),
        }

    def _frame_columns(self, slots: int, keep_on: str) -> dict[str, Column]:
        shapes = {name: (array.shape, array.dtype) for name, array in self.spec.observation.items() if array.is_frame}
        if self._cache is not None:
            shapes = dict.fromkeys(shapes, (self._cache.shape, "float16"))
        rows = slots * self._views
        size = sum(rows * int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in shapes.values())
        on_device = keep_on == "device" or (keep_on == "auto" and fits_on_device(size))
        kind = DeviceColumn if on_device else HostColumn
        return {name: kind(rows, shape, dtype) for name, (shape, dtype) in shapes.items()}

    def _seen(self, slots: np.ndarray, rng: np.random.Generator | None) -> dict[str, Any]:
        """The observations in these slots, of each camera any of the views."""
        out = {}
        for name, column in self._columns.items():
            rows = slots
            if self.spec.observation[name].is_frame and self._views > 1:
                rows = slots * self._views + (0 if rng is None else rng.integers(self._views, size=slots.shape))
            out[name] = column.take(rows)
        return out

    def _store(self, observation: Observation) -> int:
        slot = self._free_slots.pop()
        features = {} if self._cache is None else self._cache(observation)
        for name, column in self._columns.items():
            if name in features:
                column.put(slot * self._views, features[name])
            else:
                column.put(slot, observation[name][None])
        self._references[slot], self._begun_at[slot] = 1, -1
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
        self._is_prior[row] = step.source is Source.DEMO or (step.intervened and self._learn_corrections)
        self._by_policy[row], self._takeover_in[row] = step.source is Source.POLICY, 0
        self._episodes.setdefault(stream, []).append(row)
        if step.source is not Source.DEMO:
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

    def _discard(self, rows: list[int]) -> None:
        """Forget an episode. What was learned from it while it was under way stays learned."""
        self.discarded += len(rows)
        for ring in (self.online, self.prior):
            ring.remove(rows)
        for row in rows:
            self._forget(row)

    def _forget(self, row: int) -> None:
        self._begun_at[self._here[row]] = -1
        for slot in (self._here[row], self._next[row]):
            self._release(int(slot))
        self._free_rows.append(row)

    def _evict(self) -> None:
        """Forget the oldest online transition; an intervention leaves the online list only, for it is prior too."""
        while len(self.online):
            row = self.online.pop()
            if not self._is_prior[row]:
                for rows in self._episodes.values():
                    if row in rows:
                        rows.remove(row)
                self._forget(row)
                return
        raise ReplayFullError(
            f"the replay's {len(self._here)} transitions are all demonstrations and interventions; "
            "raise learner.capacity"
        )
