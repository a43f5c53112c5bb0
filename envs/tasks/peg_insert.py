"""Insert peg: a square peg that is in the hand has to go into a square socket, with one or two millimetres to spare."""

import numpy as np

from envs.config import CLEARANCES_MM
from envs.experts import Corrector, Expert, StuckCorrector
from envs.tabletop import CENTRE_M, Handling, Table, TabletopCell, View, motion_m, towards, upright
from envs.workcell import Outcome
from wire.specs import ArraySpec
from wire.types import Action

WIDTH_M, LENGTH_M = 0.020, 0.080
RIM_M = 0.030
"""Height of the socket; it has no bottom but the table."""
SEATED_M = 0.010
"""How near to the table the tip must come: one period at full speed does not carry it from above this to the table."""
AREA_M = (0.10, 0.16)
GRASP_M = 0.012
"""How far the hand holds it above its middle."""
GRASP_SPREAD_M = 0.003
"""Of the peg in the hand, at most, along the pads and along the peg."""
DEPTH_M = RIM_M - SEATED_M / 2.0
"""How deep the expert means to bring the tip: never to the table."""
MAX_FORCE_N = 50.0
"""More ends the episode as a failure: less than what makes the guard hold a robot, so that hitting too hard is
something to learn from, not a step that nobody learns from. Leaning on the rim takes 24 N, hitting it at half speed 48.
"""
MAX_PENETRATION_M = 0.001
"""Deeper in a wall than this it is not inserted, whatever its position says: contacts of rigid things give by less."""
FINE_M = 0.005
FADES_BY_EPISODE = 150
_START_M = (CENTRE_M[0], CENTRE_M[1], 0.20)
_PINK, _ORANGE = (0.75, 0.08, 0.50, 1.0), (0.85, 0.45, 0.10, 1.0)


class PegInsert:
    """The peg must stand in the socket, still in the hand, its tip 10 mm above the table, having hit nothing hard."""

    name = "peg_insert"
    reward = "sparse-1"
    return_bounds: tuple[float, float] | None = (0.0, 1.0)
    max_episode_steps = 60
    things: tuple[str, ...] = ("peg", "socket")
    object = ArraySpec(
        shape=(12,),
        dtype="float32",
        unit="rim m [3], tip - rim m [3], tip - tool m [3], (tip - rim) within 5 mm [3]",
    )
    handling = Handling(
        held="peg",
        metres_per_unit=0.010,
        stiffness=1000.0,
        max_pull_m_s2=2.5,
        leash_m=0.005,
        substeps_per_torque=2,
        pad_friction=1.0,
        # Here the tip is 2 to 8 mm above the table, by how the hand holds the peg.
        lowest_m=0.057,
        # From the side: the camera on the hand looks along x, and tells badly how far along x the tip is off.
        front=View(eye_m=(0.47, -0.62, 0.36), looks_at_m=(0.47, 0.0, 0.072), fovy_deg=21.0),
        # A millimetre at the tip is more than a pixel of 128; by the usual lens it is half of one.
        wrist=View(eye_m=(0.095, 0.0, 0.115), looks_at_m=(0.01, 0.0, 0.265), fovy_deg=25.0),
    )

    def __init__(self, clearance_mm: float = CLEARANCES_MM[0]) -> None:
        """Leave `clearance_mm` between peg and socket, both sides together."""
        self.clearance_m = clearance_mm / 1000.0

    def furnish(self, table: Table) -> None:
        """Add the peg and the socket."""
        half_m = (WIDTH_M / 2.0, WIDTH_M / 2.0, LENGTH_M / 2.0)
        table.add_box("peg", half_m=half_m, mass_kg=0.05, friction=0.3, rgba=_PINK)
        opening_m = WIDTH_M + self.clearance_m
        table.add_well("socket", opening_m=opening_m, height_m=RIM_M, wall_m=0.015, friction=0.3, rgba=_ORANGE)

    def object_state(self, cell: TabletopCell) -> np.ndarray:
        """Rim, tip from rim, tip from tool, and the second again on a scale of 5 mm; shape (12,), metres."""
        rim, tip = cell.body_position("socket"), tip_m(cell)
        return np.array([*rim, *(tip - rim), *(tip - cell.tool_position()), *np.tanh((tip - rim) / FINE_M)])

    def reset(self, cell: TabletopCell, rng: np.random.Generator) -> None:
        """Put the socket down anywhere in the area, and the peg into the hand, never quite the same way."""
        xy = np.array(CENTRE_M) + np.array(AREA_M) * rng.uniform(-0.5, 0.5, 2)
        along, up = rng.uniform(-GRASP_SPREAD_M, GRASP_SPREAD_M, 2)
        peg = np.array(_START_M) + np.array([along, 0.0, up - GRASP_M])
        places = {"socket": upright(xy, RIM_M, 0.0), "peg": upright(peg[:2], peg[2], 0.0)}
        cell.restart(places, {"socket": 0.07, "peg": 0.89}, rng)

    def evaluate(self, cell: TabletopCell) -> Outcome:
        """1.0 on success, else 0.0; a failure where it pressed too hard, or lost the peg."""
        if cell.peak_force_n() > MAX_FORCE_N or cell.fingers_touching("peg") < 2:
            return Outcome(reward=0.0, failure=True)
        success = self._inserted(cell)
        return Outcome(reward=float(success), success=success)

    def _inserted(self, cell: TabletopCell) -> bool:
        off = tip_m(cell) - cell.body_position("socket")
        # Contacts give, so a peg that leans on a wall is a little outside of what geometry allows.
        within = bool((np.abs(off[:2]) < self.clearance_m / 2.0 + MAX_PENETRATION_M).all())
        seated = float(off[2]) < SEATED_M - RIM_M
        return within and seated and cell.penetration_m("peg") < MAX_PENETRATION_M

    def expert(self, cell: TabletopCell, rng: np.random.Generator, noise: float = 0.0) -> Expert:
        """A script that inserts it; `noise` is the sigma of Gaussian noise on its motion, in action units."""
        return PegInsertExpert(cell, self.clearance_m, rng, noise)

    def corrector(self, cell: TabletopCell, rng: np.random.Generator) -> Corrector:
        """Somebody who helps a policy that comes no nearer, does not find in, or is about to hit the rim."""
        expert = PegInsertExpert(cell, self.clearance_m, rng)
        return StuckCorrector(
            expert, lambda: -way_m(cell), rng, danger=lambda: self._in_danger(cell), fades_by_episode=FADES_BY_EPISODE
        )

    def _in_danger(self, cell: TabletopCell) -> bool:
        """Whether the next period may bring the tip down on the rim."""
        off = tip_m(cell) - cell.body_position("socket")
        aside = float(np.linalg.norm(off[:2]))
        # An expert comes down a steeper cone than this.
        low = min(1.2 * self.handling.metres_per_unit, 0.8 * PegInsertExpert.STEEPNESS * aside)
        return aside > self.clearance_m and 0.0 < float(off[2]) < low

    def steps_to_go(self, cell: TabletopCell, action: Action) -> float:
        """The action's period, those of the way to the opening, and of that through it; infinity where it hits the rim.

        A peg that is not over the opening after the action needs a period more, at least, to be brought there.
        """
        unit_m = self.handling.metres_per_unit
        off = tip_m(cell) - cell.body_position("socket")
        move = motion_m(action, unit_m)
        then = off + move
        aside = float(np.linalg.norm(then[:2]))
        if off[2] < 0.0 and bool((np.abs(off[:2]) < self.clearance_m).all()):
            # The walls lead it.
            return 1.0 + abs(float(then[2]) + DEPTH_M) / unit_m
        height = max(0.0, float(then[2]))
        if aside < self.clearance_m / 2.0:
            return 1.0 + (aside + DEPTH_M + float(then[2])) / unit_m
        if then[2] < 0.0 and move[2] < -1.5 * PegInsertExpert.CAREFUL * unit_m:
            return np.inf
        return 1.0 + max(1.0, float(np.hypot(aside, height)) / unit_m) + DEPTH_M / unit_m


class PegInsertExpert:
    """Over the socket, down onto it, and in. It looks at the state alone, so it can take over anywhere.

    The arm is compliant: in the socket the walls lead it.
    """

    HOVER_M = 0.020
    STEEPNESS = 5.0
    FREE_M, STEADIEST = 0.08, 0.15
    CAREFUL = 0.4
    """Fastest that it goes down on the rim, in action units."""

    def __init__(self, cell: TabletopCell, clearance_m: float, rng: np.random.Generator, noise: float = 0.0) -> None:
        self._cell = cell
        self._aligned_m = 0.35 * clearance_m
        self._rng, self._noise = rng, noise

    def begin_episode(self) -> None:
        """Forget the last episode; there is nothing to forget."""

    def propose(self) -> Action:
        """The next move, from where the tip is: a target would be nothing that an imitator sees."""
        off = tip_m(self._cell) - self._cell.body_position("socket")
        aside = float(np.linalg.norm(off[:2]))
        inside = off[2] < 0.0 and aside < 3.0 * self._aligned_m
        # Down a cone onto the opening.
        height = 0.0 if aside < self._aligned_m else min(self.HOVER_M, self.STEEPNESS * aside)
        goal_z = -DEPTH_M if inside or height == 0.0 else height
        way = np.array([*-off[:2], goal_z - off[2]])
        if not inside:
            slow_m = self.CAREFUL * PegInsert.handling.metres_per_unit
            way[2] = max(way[2], -max(slow_m, float(off[2]) - slow_m))
        action = towards(way, None, PegInsert.handling.metres_per_unit)
        if self._noise:
            action = action + self._rng.normal(0.0, self._noise * self._unsteadiness(float(off[2])), 3)
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def _unsteadiness(self, height_m: float) -> float:
        """Share of the noise at a height above the rim: nobody waves about where it matters."""
        return float(np.clip(height_m / self.FREE_M, self.STEADIEST, 1.0))


def tip_m(cell: TabletopCell) -> np.ndarray:
    """Middle of the peg's lower end, shape (3,), metres, base frame."""
    return cell.body_position("peg") - cell.body_rotation("peg")[:, 2] * LENGTH_M / 2.0


def way_m(cell: TabletopCell) -> float:
    """Potential of the task, the other way round: metres that the tip has yet to go, over the opening first."""
    off = tip_m(cell) - cell.body_position("socket")
    aside = float(np.linalg.norm(off[:2]))
    return aside + abs(float(off[2]) + DEPTH_M)
