"""How good and how varied a pool of experience is: trajectory quality and state-action coverage.

After "A Dataset Perspective on Offline Reinforcement Learning" (Schweighofer et al., CoLLAs 2022, arXiv 2111.04714).
TQ is the mean return between that of a random policy (0) and that of the best one (1); SACo is the number of different
state-action pairs over that of a reference pool. The paper counts discrete pairs; continuous ones are counted here by
equal bins, five in each dimension unless said otherwise, over the range that the reference covers. Images are not
counted: what tells states apart here are vectors and actions.
"""

from collections.abc import Sequence

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


class Reference:
    """The pool that coverage is measured against: equal bins over its range, and how many of them it fills."""

    def __init__(self, pairs: np.ndarray, bins: int = 5) -> None:
        """Look the pairs over.

        Args:
            pairs: States and actions, (n, d), at least one.
            bins: In each dimension, at most 255.
        """
        self._low, self._span, self._bins = pairs.min(0), np.ptp(pairs, axis=0), bins
        self._span = np.where(self._span > 0, self._span, 1.0)
        self.different = self.count(pairs)
        """How many different pairs the reference holds."""

    def count(self, pairs: np.ndarray) -> int:
        """How many different pairs, (n, d), there are; what lies beyond the reference counts with its border."""
        if not len(pairs):
            return 0
        places = np.floor((pairs - self._low) / self._span * self._bins)
        codes = np.ascontiguousarray(np.clip(places, 0, self._bins - 1).astype(np.uint8))
        return len(np.unique(codes.view(np.dtype((np.void, codes.shape[1])))))

    def coverage(self, pairs: np.ndarray) -> float:
        """SACo: different pairs of a pool over those of the reference."""
        return self.count(pairs) / self.different
