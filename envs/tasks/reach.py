"""Reach: bring the tool to a marker in the air. The task to debug a machine with: seconds to learn."""

import numpy as np

from envs.experts import Corrector, Expert, NoisyExpert, StuckCorrector
from envs.tabletop import METRES_PER_UNIT, Handling, Table, TabletopCell, motion_m, towards, upright
from envs.workcell import Outcome
from wire.specs import ArraySpec
from wire.types import Action, Observation

TOLERANCE_M = 0.02
_LOW_M, _HIGH_M = np.array([0.37, -0.15, 0.03]), np.array([0.57, 0.15, 0.11])


class Reach:
    """The tool centre point must come within 2 cm of the marker."""

    name = "reach"
    reward = "sparse-1"
    return_bounds: tuple[float, float] | None = (0.0, 1.0)
    max_episode_steps = 30
    things: tuple[str, ...] = ("marker",)
    handling = Handling()
    object = ArraySpec(shape=(6,), dtype="float32", unit="marker m [3], marker - tool m [3]")
    object_signs = (1.0, -1.0, 1.0, 1.0, -1.0, 1.0)
    """Of `object` in a mirror, y -> -y; and which of its elements are an x and a y on the table (see envs.symmetry)."""
    object_moves = ((0,), (1,))
    judged_by: tuple[str, ...] = ("object",)

    def furnish(self, table: Table) -> None:
        """Add the marker."""
        table.add_marker("marker", radius_m=0.015, rgba=(0.9, 0.1, 0.6, 1.0))

    def object_state(self, cell: TabletopCell) -> np.ndarray:
        """Marker position and where it lies from the tool, shape (6,), metres, base frame."""
        marker = cell.body_position("marker")
        return np.concatenate([marker, marker - cell.tool_position()])

    def reset(self, cell: TabletopCell, rng: np.random.Generator) -> None:
        """Put the marker somewhere in a box of 20 x 30 x 8 cm below the tool, in sight of the front camera."""
        marker = rng.uniform(_LOW_M, _HIGH_M)
        cell.restart({"marker": upright(marker[:2], marker[2], 0.0)}, {"marker": 0.90}, rng)

    def evaluate(self, cell: TabletopCell) -> Outcome:
        """1.0 on success, else 0.0."""
        return _outcome(distance_m(cell))

    def judge(self, observation: Observation) -> Outcome:
        """The same, from a stored observation: see envs.relabel."""
        return _outcome(float(np.linalg.norm(observation["object"][3:])))

    def expert(self, cell: TabletopCell, rng: np.random.Generator, noise: float = 0.0) -> Expert:
        """A script that reaches the marker; `noise` is the sigma of its Gaussian noise, in action units."""
        expert = ReachExpert(cell)
        return NoisyExpert(expert, rng, noise, dims=3) if noise else expert

    def corrector(self, cell: TabletopCell, rng: np.random.Generator) -> Corrector:
        """Somebody who helps a policy that comes no nearer."""
        return StuckCorrector(ReachExpert(cell), lambda: -distance_m(cell), rng)

    def steps_to_go(self, cell: TabletopCell, action: Action) -> float:
        """The action's period, and those of the straight way from where it leads to."""
        left_m = float(np.linalg.norm(cell.body_position("marker") - cell.tool_position() - motion_m(action)))
        return 1.0 + max(0.0, left_m - TOLERANCE_M) / METRES_PER_UNIT


class ReachExpert:
    """Goes straight to the marker."""

    def __init__(self, cell: TabletopCell) -> None:
        self._cell = cell

    def begin_episode(self) -> None:
        """Forget the last episode; there is nothing to forget."""

    def propose(self) -> Action:
        """The longest step towards the marker that the speed limit allows; the gripper stays open.

        From where the tool is, not from its target: the arm lags behind that, and a script that waits for it would show
        an imitator, who does not see the target, that nothing need be done 3 cm before the marker.
        """
        return towards(self._cell.body_position("marker") - self._cell.tool_position(), gripper=1.0)


def _outcome(distance_m: float) -> Outcome:
    success = distance_m < TOLERANCE_M
    return Outcome(reward=float(success), success=success)


def distance_m(cell: TabletopCell) -> float:
    """How far the tool is from the marker."""
    return float(np.linalg.norm(cell.body_position("marker") - cell.tool_position()))
