"""Pick cube: grasp a cube that lies anywhere in a 20 x 30 cm area, at any yaw, and lift it by 10 cm."""

import numpy as np

from envs.experts import Corrector, Expert, NoisyExpert, StuckCorrector
from envs.tabletop import CENTRE_M, METRES_PER_UNIT, Handling, Table, TabletopCell, motion_m, towards, upright
from envs.workcell import Outcome
from wire.specs import ArraySpec
from wire.types import Action

HALF_M = 0.02
AREA_M = (0.20, 0.30)
LIFT_M = 0.10
_RED = (0.80, 0.10, 0.08, 1.0)


class PickCube:
    """Both fingers must touch the cube while it is 10 cm above where it lay."""

    name = "pick_cube"
    reward = "sparse-1"
    return_bounds: tuple[float, float] | None = (0.0, 1.0)
    max_episode_steps = 50
    things: tuple[str, ...] = ("cube",)
    handling = Handling()
    object = ArraySpec(shape=(8,), dtype="float32", unit="cube m [3], cube - tool m [3], cos and sin of 4 yaw")
    object_signs = (1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0)
    """Of `object` in a mirror, y -> -y; and which of its elements are an x and a y on the table (see envs.symmetry)."""
    object_moves = ((0,), (1,))

    def furnish(self, table: Table) -> None:
        """Add the cube."""
        table.add_box("cube", half_m=(HALF_M, HALF_M, HALF_M), mass_kg=0.1, friction=0.5, rgba=_RED)

    def object_state(self, cell: TabletopCell) -> np.ndarray:
        """Where the cube is, where it lies from the tool, and its yaw, shape (8,), metres, base frame.

        A cube looks the same after a quarter turn, so its yaw is given as an angle on a four times faster clock.
        """
        cube = cell.body_position("cube")
        axes = cell.body_rotation("cube")
        # The most level axis: it tells the yaw whichever face the cube lies on.
        level = axes[:, np.argmin(np.abs(axes[2]))]
        yaw = np.arctan2(level[1], level[0])
        return np.array([*cube, *(cube - cell.tool_position()), np.cos(4 * yaw), np.sin(4 * yaw)])

    def reset(self, cell: TabletopCell, rng: np.random.Generator) -> None:
        """Put the cube down anywhere in the area, at any yaw."""
        xy = np.array(CENTRE_M) + np.array(AREA_M) * rng.uniform(-0.5, 0.5, 2)
        cell.restart({"cube": upright(xy, HALF_M, rng.uniform(0.0, np.pi / 2))}, {"cube": 0.0}, rng)

    def evaluate(self, cell: TabletopCell) -> Outcome:
        """1.0 on success, else 0.0."""
        success = lift_m(cell) >= LIFT_M and cell.fingers_touching("cube") == 2
        return Outcome(reward=float(success), success=success)

    def expert(self, cell: TabletopCell, rng: np.random.Generator, noise: float = 0.0) -> Expert:
        """A script that picks the cube up; `noise` is the sigma of its Gaussian noise on xyz, in action units."""
        expert = PickCubeExpert(cell)
        return NoisyExpert(expert, rng, noise, dims=3) if noise else expert

    def corrector(self, cell: TabletopCell, rng: np.random.Generator) -> Corrector:
        """Somebody who helps a policy that comes no nearer to the cube, or does not lift it."""
        return StuckCorrector(PickCubeExpert(cell), lambda: progress_m(cell), rng)

    def steps_to_go(self, cell: TabletopCell, action: Action) -> float:
        """The action's period, and those of the straight way to the cube, of closing or opening, and of the lift.

        Fingers take three periods from open to shut, and a hand that opens lets the cube fall.
        """
        move, closing = motion_m(action), float(action[3]) < 0.0
        cube = cell.body_position("cube")
        lift, shut = LIFT_M / METRES_PER_UNIT, 3.0
        if cell.fingers_touching("cube") == 2 and closing:
            return 1.0 + max(0.0, LIFT_M - lift_m(cell) - move[2]) / METRES_PER_UNIT
        way_m = float(np.linalg.norm(cube - cell.tool_position() - move))
        if way_m < PickCubeExpert.ALIGNED_M:
            return 1.0 + lift + shut - closing
        # Fingers that shut beside the cube have to open again; those that are shut have to anyway.
        opening = 2.0 if closing else shut * (1.0 - cell.finger_width() / 0.08)
        return 1.0 + max(way_m / METRES_PER_UNIT, opening) + shut * closing + shut + lift


class PickCubeExpert:
    """Open, come down over the cube, close, lift. It looks at the state alone, so it can take over anywhere."""

    ALIGNED_M = 0.010
    GRASP_M = 0.006
    HOVER_M = 0.045

    def __init__(self, cell: TabletopCell) -> None:
        self._cell = cell

    def begin_episode(self) -> None:
        """Forget the last episode; there is nothing to forget."""

    def propose(self) -> Action:
        """The next move; the gripper is either open or shut."""
        cell = self._cell
        cube = cell.body_position("cube")
        if cell.fingers_touching("cube") == 2:
            return towards(np.array([0.0, 0.0, METRES_PER_UNIT]), gripper=-1.0)
        offset = cube - cell.tool_position()
        aside = float(np.linalg.norm(offset[:2]))
        ready = cell.finger_width() > 0.07
        # Fingers that are closing already go on, though a shaky hand has strayed by now.
        slack = 1.0 if ready else 2.0
        if aside < slack * self.ALIGNED_M and abs(offset[2]) < slack * self.GRASP_M:
            return towards(cube - cell.target_position(), gripper=-1.0)
        # Down a cone onto the cube: from the side its fingers would push it away.
        height = min(self.HOVER_M, max(0.0, 2.0 * (aside - self.ALIGNED_M))) if ready else self.HOVER_M
        goal = cube + np.array([0.0, 0.0, height])
        return towards(goal - cell.target_position(), gripper=1.0)


def lift_m(cell: TabletopCell) -> float:
    """How far the cube is above where it lay."""
    return float(cell.body_position("cube")[2]) - HALF_M


def progress_m(cell: TabletopCell) -> float:
    """Potential of the task, metres: nearer to the cube is better, lifted by both fingers is better still."""
    near = -float(np.linalg.norm(cell.body_position("cube") - cell.tool_position()))
    return near + (2.0 * max(0.0, lift_m(cell)) if cell.fingers_touching("cube") == 2 else 0.0)
