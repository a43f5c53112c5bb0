"""Where a batch comes from that is no batch of transitions: pairs of segments of past runs, the better one first."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from learner.agents.base import Batch
from learner.replay import Replay
from rewards.preferences import LEFT, NEITHER, Moment, Preference, read_preferences, segment_length
from wire.errors import UserError

_FEWEST = 20
"""Pairs below which a policy would be a guess."""


class SegmentPairs:
    """Pairs of segments, all of one length, of which it is known which was preferred."""

    def __init__(self, replay: Replay, better: np.ndarray, worse: np.ndarray, *, batch_size: int, seed: int) -> None:
        """Draw from these.

        Args:
            replay: What holds their transitions.
            better: Numbers of transitions, int64 (pairs, length).
            worse: Of the other segment of each pair, likewise.
            batch_size: Pairs in a minibatch.
            seed: Equal seeds draw equal batches.
        """
        self._replay, self._rows = replay, np.stack([better, worse], axis=1)
        self._batch_size, self._seed = batch_size, seed

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self._rows)

    def sample(self, block: int, minibatches: int) -> Batch:
        """Stacked minibatches: as those of a mixer, with (minibatches, batch, 2, length) in place of (utd, batch)."""
        rng = np.random.default_rng([self._seed, block])
        drawn = rng.integers(len(self._rows), size=(minibatches, self._batch_size))
        return self._replay.gather(self._rows[drawn], rng)


def open_segments(
    path: Path, replay: Replay, *, batch_size: int, seed: int, say: Callable[[str], None]
) -> SegmentPairs:
    """The pairs of a file of preferences whose segments a replay holds whole; says how many others there are.

    Raises:
        UserError: There is no such file, it compares no segments, or too few of them are here.
    """
    length = segment_length(path)
    known = [each for each in read_preferences(path, length).values() if each.answer != NEITHER]
    found = [rows for each in known if (rows := _rows(replay, each, length)) is not None]
    if len(found) < _FEWEST:
        raise UserError(
            f"{path} says of {len(known)} pairs which is better, and {len(found)} of them are whole in the past runs; "
            f"wanted {_FEWEST} at least: name the runs that were compared in archive=, or ask on with rewards prefer"
        )
    left_out = f"; {len(known) - len(found)} are not whole in the past runs and are left out"
    say(f"{len(found)} preferences of segments of {length} steps{left_out if len(found) < len(known) else ''}")
    better, worse = (np.stack(each) for each in zip(*found, strict=True))
    return SegmentPairs(replay, better, worse, batch_size=batch_size, seed=seed)


def _rows(replay: Replay, preference: Preference, length: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Transitions of the better and of the worse segment of a pair."""
    ends: tuple[Moment, Moment] = preference.pair
    left, right = (replay.rows_before(*end, length) for end in ends)
    if left is None or right is None:
        return None
    return (left, right) if preference.answer == LEFT else (right, left)
