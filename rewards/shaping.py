"""Dense reward that changes no optimal policy: the difference of a potential (Ng, Harada and Russell 1999).

r'(s, s') = r + discount * phi(s') - phi(s), with phi = 0 where the episode has ended. Every value is then V(s) - phi(s)
for every policy, so the best action stays the best. Any other dense reward made of a classifier's probability, such as
the probability itself, pays a policy for staying near success without reaching it.
"""

import numpy as np

LIMIT = 10.0
"""Log-odds beyond this say no more than certainty: without a bound one confident frame would drown the reward."""


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Of probabilities, float64, shape as given; certainty is infinite, and bounded as a potential."""
    p = np.asarray(probability, np.float64)
    with np.errstate(divide="ignore"):
        return np.log(p) - np.log1p(-p)


def potential(log_odds: np.ndarray, scale: float) -> np.ndarray:
    """Log-odds of success as a potential, float64 as shaped: within [-scale, scale], 0 at even odds."""
    return scale * np.clip(np.asarray(log_odds, np.float64) / LIMIT, -1.0, 1.0)


def shaping(phi: np.ndarray, phi_next: np.ndarray, terminated: np.ndarray, discount: float) -> np.ndarray:
    """What to add to the rewards of transitions.

    Args:
        phi: Potential of the states that the steps began in, float (n,).
        phi_next: Of those that they led to.
        terminated: Bool (n,): the task ended there. A time limit is no end: value follows, and so does the potential.
        discount: The agent's own; with another one the optimal policy may change.

    Raises:
        ValueError: The discount is none, or a potential is not finite.
    """
    if not 0 <= discount <= 1:
        raise ValueError(f"discount must be in 0..1, got {discount}")
    if not (np.isfinite(phi).all() and np.isfinite(phi_next).all()):
        raise ValueError("a potential is not finite; train the model anew")
    return discount * np.where(terminated, 0.0, phi_next) - phi
