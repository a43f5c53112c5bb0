"""From probabilities of single frames to the success of an episode: k of the last n, and the gate."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from rewards.score import Rule
from wire.types import Observation


class Decider:
    """Applies a rule as an episode goes on, one moment at a time."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._recent: deque[bool] = deque(maxlen=rule.n)

    def begin(self) -> None:
        """Forget the last episode."""
        self._recent.clear()

    def see(self, probability: float | None, observation: Observation) -> bool:
        """Whether this moment is a success. None: nobody knows its probability, which counts as no success."""
        gate = self.rule.gate
        open_ = gate is None or gate.passes(observation)
        self._recent.append(probability is not None and probability >= self.rule.threshold and open_)
        return open_ and self._recent[-1] and sum(self._recent) >= self.rule.k


def decide(rule: Rule, probability: np.ndarray, states: Sequence[Observation], *, cut: bool = False) -> np.ndarray:
    """Which moments of one episode are successes, bool (n,).

    Args:
        rule: When.
        probability: Float (n,).
        states: What the gate looks at.
        cut: Somebody else ended the episode as a success: of its last moment no k of n is asked, for it has no sequel.
    """
    decider = Decider(rule)
    found = np.array([decider.see(float(p), state) for p, state in zip(probability, states, strict=True)], bool)
    if cut and len(found):
        gate = rule.gate
        found[-1] |= bool(probability[-1] >= rule.threshold and (gate is None or gate.passes(states[-1])))
    return found
