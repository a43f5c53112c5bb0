"""What a trajectory was worth: Monte-Carlo returns-to-go, and how often to draw from it."""

import numpy as np


def returns_to_go(rewards: list[float], *, terminated: bool, discount: float) -> np.ndarray:
    """Discounted return from every step of one whole episode, float32 (n,).

    Where a time limit cut the episode, what would have followed is counted as its worst reward for ever, or as nothing
    where that is positive: the lower bound that Cal-QL wants, and its own rule for rewards of -1 a step (Nakamoto et
    al. 2023, arXiv 2303.05479, whose code gives a failure r / (1 - discount)).
    """
    worst = 0.0 if terminated else min(0.0, *rewards)
    tail = 0.0 if worst == 0.0 else worst / (1.0 - discount) if discount < 1.0 else -np.inf
    found = np.empty(len(rewards), np.float32)
    for t in range(len(rewards) - 1, -1, -1):
        tail = rewards[t] + discount * tail
        found[t] = tail
    return found


def trajectory_weights(scores: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(minmax(score) / temperature) over trajectories, (n,), the largest weight 1.

    Hong et al. 2023, "Harnessing Mixed Offline RL Datasets via Trajectory Weighting" (arXiv 2306.13085), as in their
    JAX code: scaled to 0..1 first, then the softmax. Every transition carries its trajectory's weight, so a long
    trajectory is drawn from more often than a short one of equal score.
    """
    spread = scores.max() - scores.min()
    scaled = (scores - scores.min()) / spread if spread > 0 else np.zeros_like(scores)
    return np.exp((scaled - scaled.max()) / temperature)


def advantages(returns: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Returns less what a linear regression on the first observation (n, d) expects (AW of the paper above), (n,)."""
    design = np.column_stack([starts, np.ones(len(starts))]).astype(np.float64)
    # Elements that never move beside the constant make it singular: the least-norm solution takes those too.
    coefficients, *_ = np.linalg.lstsq(design, returns.astype(np.float64), rcond=None)
    return returns - design @ coefficients
