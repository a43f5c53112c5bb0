"""How good and how varied a pool of experience is: trajectory quality and state-action coverage.

After "A Dataset Perspective on Offline Reinforcement Learning" (Schweighofer et al., CoLLAs 2022, arXiv 2111.04714).
TQ is the mean return between that of a random policy (0) and that of the best one (1); SACo is the number of different
state-action pairs over that of a reference pool. The paper counts discrete pairs; continuous ones are counted here by
equal bins, five in each dimension unless said otherwise, over the range that the reference covers. Images are not
counted: what tells states apart here are vectors and actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOW = 20
"""Episodes in a row whose mean return is the best policy's, where nobody says what that is."""


def trajectory_quality(returns: Sequence[float], random_return: float, best_return: float) -> float:
    """Mean return, 0 as a random policy's, 1 as the best one's.

    Raises:
        ValueError: `best_return` is not above `random_return`, or there is no return at all.
    """
    if not returns:
        raise ValueError("there is no finished episode, so there is no return to judge")
    if best_return <= random_return:
        raise ValueError(
            f"the best return ({best_return:g}) must be above a random policy's ({random_return:g}); "
            "set best_return= or random_return="
        )
    return (float(np.mean(returns)) - random_return) / (best_return - random_return)


def best_mean_return(returns: Sequence[float]) -> float:
    """The highest mean of 20 episodes in a row, or of all where there are fewer."""
    values = np.asarray(returns, np.float64)
    width = min(WINDOW, len(values))
    if width == 0:
        return float("-inf")
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return float(np.max(sums[width:] - sums[:-width]) / width)


@dataclass(frozen=True)
class Bins:
    """Equal bins over a range, in each dimension of a pair."""

    low: np.ndarray
    """(d,)."""
    high: np.ndarray
    count: int

    @classmethod
    def over(cls, pairs: np.ndarray, count: int) -> "Bins":
        """Bins over what these pairs, (n, d), cover."""
        return cls(pairs.min(0), pairs.max(0), count)

    def pairs(self, pairs: np.ndarray) -> np.ndarray:
        """Which bin each pair is in, as one opaque value for each, (n,)."""
        span = np.where(self.high > self.low, self.high - self.low, 1.0)
        places = np.floor((pairs - self.low) / span * self.count)
        codes = np.ascontiguousarray(np.clip(places, 0, self.count - 1).astype(np.uint8))
        return codes.view(np.dtype((np.void, codes.shape[1]))).ravel()


def different(pairs: np.ndarray, bins: Bins) -> int:
    """How many bins the pairs, (n, d), fall into."""
    return len(np.unique(bins.pairs(pairs))) if len(pairs) else 0


def state_action_coverage(pairs: np.ndarray, reference: np.ndarray, count: int = 5) -> float:
    """SACo: different pairs of a pool over those of the reference, both (n, d); above 1 where the pool has more."""
    bins = Bins.over(reference, count)
    return different(pairs, bins) / different(reference, bins)
