"""Pick cube without resets: lift it, put it back somewhere else, lift it again; a person only every so many attempts.

After RoboFuME (Yang et al. 2024, arXiv 2310.15145): one policy, and the observation `goal` says which of the two it
shall do. Departure: the two do not take turns whatever came of them. The cube is to be put back once it was lifted;
until then, and after it was put back or dropped, it is to be lifted: what lies on the table is never to be put there.
"""

import numpy as np

from envs.experts import Corrector, Expert, NoisyExpert, StuckCorrector
from envs.tabletop import CENTRE_M, LIMITS, METRES_PER_UNIT, TabletopCell, motion_m, towards
from envs.tasks.pick_cube import AREA_M, HALF_M, PickCube, PickCubeExpert, lift_m, progress_m
from envs.workcell import Outcome
from wire.specs import ArraySpec
from wire.types import Action

NEAR_M = 0.04
"""How near to its place the cube is put back."""
LYING_M = 0.005
"""Lower than this above where it lay, a cube lies on the table."""
_HOME_M = np.array([*CENTRE_M, 0.20])
_ARRIVED_M = 0.005
_LONGEST = 30
"""Control periods of one part of the arm's way home, at most."""
_OPENING = 4
"""Control periods that fingers take to open."""
_MARGIN_M = 0.01


class PickAndReturn(PickCube):
    """`pick_cube` and its way back: what was lifted has to lie, free of the hand, within 4 cm of a place in the area.

    Between two attempts the arm goes home by itself, having put down what it may hold; what it has lifted, it keeps.
    """

    goal = ArraySpec(shape=(4,), dtype="float32", unit="lift, put back, place - tool m [2]")

    def __init__(self, reset_every: int) -> None:
        """A reset before every `reset_every`th attempt, and where the cube is out of reach; 0: there only."""
        self._reset_every = reset_every
        self.resets = 0
        self._attempts = 0
        self._back = self._succeeded = False
        self._place_m = np.array(CENTRE_M)

    def reset(self, cell: TabletopCell, rng: np.random.Generator) -> None:
        """Begin the next attempt, where the last one ended if that is possible; `rng` draws where to put it back."""
        if self._person_is_needed(cell):
            super().reset(cell, rng)
            self.resets, self._attempts, self._back = self.resets + 1, 0, False
        elif self._succeeded and not self._back:
            self._back = True
            self._place_m = np.array(CENTRE_M) + np.array(AREA_M) * rng.uniform(-0.5, 0.5, 2)
        else:
            _go_home(cell)
            self._back = False
        self._attempts += 1
        self._succeeded = False

    def ended(self, *, success: bool) -> None:
        """Take in how an attempt ended, whoever judged it: what comes next depends on it."""
        self._succeeded = success

    def goal_state(self, cell: TabletopCell) -> np.ndarray:
        """What is wanted: to lift, or to put back, and then how far the place is from the tool; shape (4,)."""
        if not self._back:
            return np.array([1.0, 0.0, 0.0, 0.0])
        return np.array([0.0, 1.0, *(self._place_m - cell.tool_position()[:2])])

    def evaluate(self, cell: TabletopCell) -> Outcome:
        """1.0 on success, else 0.0."""
        if not self._back:
            return super().evaluate(cell)
        success = self._off_m(cell) < NEAR_M and lift_m(cell) < LYING_M and cell.fingers_touching("cube") == 0
        return Outcome(reward=float(success), success=success)

    def expert(self, cell: TabletopCell, rng: np.random.Generator, noise: float = 0.0) -> Expert:
        """A script that does what is wanted; `noise` is the sigma of its Gaussian noise on xyz, in action units."""
        expert = _Expert(self, cell)
        return NoisyExpert(expert, rng, noise, dims=3) if noise else expert

    def corrector(self, cell: TabletopCell, rng: np.random.Generator) -> Corrector:
        """Somebody who helps a policy that comes no nearer to what is wanted."""
        return StuckCorrector(_Expert(self, cell), lambda: self._progress_m(cell), rng)

    def steps_to_go(self, cell: TabletopCell, action: Action) -> float:
        """The action's period, and those of the straight way to the place, down, and of opening the hand."""
        if not self._back:
            return super().steps_to_go(cell, action)
        way_m = max(self._off_m(cell), lift_m(cell)) - float(np.linalg.norm(motion_m(action)))
        dropped = cell.fingers_touching("cube") < 2 and self._off_m(cell) > NEAR_M
        return 1.0 + max(0.0, way_m) / METRES_PER_UNIT + _OPENING + dropped * super().steps_to_go(cell, action)

    def propose(self, cell: TabletopCell, picker: PickCubeExpert) -> Action:
        """The script's next move; `picker` is the one that lifts."""
        held, lift = cell.fingers_touching("cube") == 2, lift_m(cell)
        way = np.array([*(self._place_m - cell.body_position("cube")[:2]), 0.0])
        aside = float(np.linalg.norm(way))
        if not self._back or (aside > NEAR_M and not held):
            return picker.propose()
        if aside < NEAR_M / 2.0 or not held:
            if lift < 2.0 * LYING_M or not held:
                return towards(np.zeros(3), gripper=1.0)
            return towards(np.array([0.0, 0.0, -lift]), gripper=-1.0)
        # Down a cone onto the place, and not along the table, where it would rub.
        way[2] = min(0.06, LYING_M + 2.0 * (aside - NEAR_M / 2.0)) - lift
        return towards(way, gripper=-1.0)

    def _person_is_needed(self, cell: TabletopCell) -> bool:
        if self.resets == 0 or 0 < self._reset_every <= self._attempts:
            return True
        low, high = LIMITS.workspace_low_m, LIMITS.workspace_high_m
        assert low is not None
        assert high is not None
        cube = cell.body_position("cube")
        inside = (cube[:2] > np.array(low[:2]) + _MARGIN_M) & (cube[:2] < np.array(high[:2]) - _MARGIN_M)
        return not inside.all() or float(cube[2]) < HALF_M / 2.0

    def _off_m(self, cell: TabletopCell) -> float:
        return float(np.linalg.norm(cell.body_position("cube")[:2] - self._place_m))

    def _progress_m(self, cell: TabletopCell) -> float:
        """Potential of what is wanted, metres."""
        if not self._back:
            return progress_m(cell)
        if cell.fingers_touching("cube") < 2 and self._off_m(cell) > NEAR_M:
            return progress_m(cell) - 1.0
        return -self._off_m(cell) - max(0.0, lift_m(cell))


class _Expert:
    """Lifts, or puts back, as the task wants it now."""

    def __init__(self, task: PickAndReturn, cell: TabletopCell) -> None:
        self._task, self._cell, self._picker = task, cell, PickCubeExpert(cell)

    def begin_episode(self) -> None:
        """Forget the last episode; there is nothing to forget."""

    def propose(self) -> Action:
        """The next move."""
        return self._task.propose(self._cell, self._picker)


def _go_home(cell: TabletopCell) -> None:
    """Put down what the hand holds, open it, and go up and home, as any arm can by itself."""
    tool = cell.tool_position()
    if cell.fingers_touching("cube") == 2:
        tool[2] -= lift_m(cell)
        _go(cell, tool, gripper=-1.0)
    for _ in range(_OPENING):
        _go(cell, cell.target_position(), gripper=1.0, at_least=1)
    _go(cell, np.array([*cell.tool_position()[:2], _HOME_M[2]]), gripper=1.0)
    _go(cell, _HOME_M, gripper=1.0)


def _go(cell: TabletopCell, goal_m: np.ndarray, gripper: float, at_least: int = 0) -> None:
    for period in range(_LONGEST):
        way = goal_m - cell.target_position()
        if period >= at_least and float(np.linalg.norm(way)) < _ARRIVED_M:
            return
        cell.command(towards(way, gripper))
        cell.advance()
