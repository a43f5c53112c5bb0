"""The nearest pair of observation and action in a data set, for PRDC (Ran et al. 2023, arXiv 2306.06569)."""

import numpy as np
from scipy.spatial import KDTree

from wire.errors import UserError
from wire.specs import EnvSpec


class Neighbours:
    """A k-d tree over (observation_weight * normalised vectors, action)."""

    def __init__(self, vectors: np.ndarray, actions: np.ndarray, *, observation_weight: float) -> None:
        """Build the tree.

        Args:
            vectors: Of the data's observations, normalised, (n, d).
            actions: Of the data, (n, a).
            observation_weight: How much observations count against actions: the paper's beta.
        """
        self._weight = observation_weight
        self._actions = np.asarray(actions, np.float32)
        self._tree = KDTree(np.hstack([observation_weight * vectors, actions]))

    def nearest_action(self, vectors: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Of each (vectors (m, d), action (m, a)), the data's nearest action, float32 (m, a)."""
        points = np.hstack([self._weight * np.asarray(vectors), np.asarray(actions)])
        _, index = self._tree.query(points)
        return self._actions[index]


def require_vectors(spec: EnvSpec) -> None:
    """Raise UserError where there are cameras: a distance between pictures says nothing of what they show."""
    cameras = [name for name, array in spec.observation.items() if array.is_frame]
    if cameras:
        raise UserError(
            f"agent.neighbours looks for near observations among vectors, and this run observes {', '.join(cameras)}; "
            "set obs=state, or agent.neighbours=false"
        )
