"""A gripper above a table: what every body of this kind of cell shares, so that one task code serves them all.

The tool points down and is moved by small translations in the base frame; the gripper is commanded beside it.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from envs.guard import GuardLimits
from envs.workcell import Workcell
from wire.specs import ArraySpec
from wire.types import Action

RATE_HZ = 10.0
PERIOD_S = 1.0 / RATE_HZ
METRES_PER_UNIT = 0.025
CENTRE_M = (0.47, 0.0)
"""Middle of the work area on the table, base frame; the table top is z = 0."""
LIMITS = GuardLimits(
    low=(-1.0,) * 4,
    high=(1.0,) * 4,
    hold=(0.0, 0.0, 0.0, None),
    metres_per_unit=METRES_PER_UNIT,
    rate_hz=RATE_HZ,
    # At the lowest target the finger tips are 3.5 mm above the table.
    workspace_low_m=(0.30, -0.22, 0.018),
    workspace_high_m=(0.64, 0.22, 0.32),
    max_speed_m_s=0.25,
    # Full speed may be reversed within one control period: the next action means what it says.
    max_acceleration_m_s2=5.0,
)
TOOL_ROTATION = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
"""How the tool is turned, always: its axes as columns in the base frame. z points down, x away from the base."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Where a camera stands and what it takes in; metres in the frame that it is fixed to."""

    eye_m: tuple[float, float, float]
    looks_at_m: tuple[float, float, float]
    fovy_deg: float
    """Vertical field of view, as its lens or a crop makes it."""


@dataclass(frozen=True, kw_only=True)
class Handling:
    """How a task wants the arm driven and the cameras placed; the defaults are made for picking things up."""

    metres_per_unit: float = METRES_PER_UNIT
    """Motion of the tool in one control period per unit of the action."""
    held: str | None = None
    """The thing that is in the hand from the start; the hand stays shut then, and the action has no gripper."""
    stiffness: float = 600.0
    """Of position and orientation, 1/s^2, in the space of tool accelerations; damping is critical."""
    max_pull_m_s2: float | None = None
    """Largest acceleration that the controller asks of the tool. Where something is in the way the arm presses with
    this times the inertia that it has there, some 10 kg downwards, and no more. None: as hard as its motors can."""
    leash_m: float | None = None
    """Farthest that the target gets ahead of a tool that is kept from following. None: any."""
    substeps_per_torque: int = 5
    """Of 2 ms. At every substep torques cost three times as much as at every fifth, and track no better in the air."""
    pad_friction: float = 0.5
    """Friction of geoms mixes by maximum: at 0.5 most cubes turn flush in the grip, at 1.0 their edges stick."""
    lowest_m: float | None = None
    """Lowest target of the tool, where the task's things forbid what the arm alone could do."""
    front: View = View(eye_m=(1.02, 0.0, 0.50), looks_at_m=(0.47, 0.0, 0.075), fovy_deg=38.0)
    """Of the camera that stands beside the arm, in the base frame."""
    wrist: View = View(eye_m=(0.095, 0.0, 0.115), looks_at_m=(0.0, 0.0, 0.26), fovy_deg=78.0)
    """Of the camera on the hand, in the hand's frame."""

    @property
    def action(self) -> ArraySpec:
        """Of an action: a translation, and the gripper where the hand is not shut for good."""
        units = [f"{self.metres_per_unit:g} m"] * 3 + ["0.04 m"] * (self.held is None)
        return ArraySpec(shape=(len(units),), dtype="float32", unit=", ".join(units), low=-1.0, high=1.0)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Of the action's dimensions."""
        return ("x", "y", "z", "gripper")[: self.action.shape[0]]

    def narrow(self, limits: GuardLimits) -> GuardLimits:
        """A cell's limits for this task's actions."""
        dims, low_m = self.action.shape[0], limits.workspace_low_m
        if self.lowest_m is not None and low_m is not None:
            low_m = (low_m[0], low_m[1], max(low_m[2], self.lowest_m))
        return replace(
            limits,
            low=limits.low[:dims],
            high=limits.high[:dims],
            hold=limits.hold[:dims],
            metres_per_unit=self.metres_per_unit,
            workspace_low_m=low_m,
        )

    def draw_in(self, target_m: np.ndarray, tool_m: np.ndarray) -> np.ndarray:
        """A target no farther from the tool than the leash: it would only have to be taken back again, step by step."""
        return target_m if self.leash_m is None else tool_m + shorten(target_m - tool_m, self.leash_m)


def shorten(vector: np.ndarray, longest: float) -> np.ndarray:
    """The vector, or one of the same direction and the length `longest`."""
    return vector * min(1.0, longest / max(float(np.linalg.norm(vector)), 1e-12))


def proprio_spec(joints: int) -> ArraySpec:
    """Layout of `proprio`: what a real arm reports at every control period, raw; the learner normalises.

    With seven joints:

        0:7   joint positions, radians, as the robot's own driver reports them
        7     distance between the finger pads, metres (0 to 0.08)
        8:11  tool centre point x, y, z, metres, base frame
        11    last commanded gripper action, in [-1, 1]; the fingers need some 0.3 s to follow it

    There are no velocities: under this controller they repeat the last action, with noise, and learning was far slower
    with them (docs/experiments.md).
    """
    unit = f"joints rad [{joints}], fingers m, tool m [3], gripper command"
    return ArraySpec(shape=(joints + 5,), dtype="float32", unit=unit)


class TabletopCell(Workcell, Protocol):
    """A cell whose task can find its things on the table, wherever it knows them from."""

    def restart(self, places: dict[str, np.ndarray], hues: dict[str, float], rng: np.random.Generator) -> None:
        """Bring the arm home, and the task's things to their places.

        Args:
            places: Name of a thing -> its pose: position and unit quaternion (w first), shape (7,), metres, base frame.
            hues: Name of a thing -> hue in [0, 1): in the varied scene it gets another shade of it in every episode.
            rng: Decides what varies between episodes in the varied scene; the plain scene draws nothing.
        """
        ...

    def tool_position(self) -> np.ndarray:
        """Actual position of the tool centre point, shape (3,), metres, base frame."""
        ...

    def finger_width(self) -> float:
        """Distance between the finger pads, metres."""
        ...

    def body_position(self, name: str) -> np.ndarray:
        """Position of a thing on the table, shape (3,), metres, base frame."""
        ...

    def body_rotation(self, name: str) -> np.ndarray:
        """Rotation matrix of a thing on the table, shape (3, 3), its axes as columns in the base frame."""
        ...

    def fingers_touching(self, name: str) -> int:
        """How many of the two fingers touch a thing."""
        ...

    def penetration_m(self, name: str) -> float:
        """How deep a thing and what it touches have sunk into each other: 0 outside a simulation."""
        ...

    def peak_force_n(self) -> float:
        """Largest force of the tool, and of what it holds, on its surroundings in the last control period, newtons."""
        ...


class Table(Protocol):
    """Where a simulated cell's things are put."""

    def add_box(
        self, name: str, *, half_m: tuple[float, float, float], mass_kg: float, friction: float, rgba: tuple[float, ...]
    ) -> None:
        """Add a free box that the hand can grasp; `half_m` are halves of its edges."""
        ...

    def add_well(
        self, name: str, *, opening_m: float, height_m: float, wall_m: float, friction: float, rgba: tuple[float, ...]
    ) -> None:
        """Add a square well of four walls that nothing moves; its origin is the middle of its opening, at the rim."""
        ...

    def add_marker(self, name: str, *, radius_m: float, rgba: tuple[float, ...]) -> None:
        """Add a ball that is seen but not felt."""
        ...


class TabletopTask(Protocol):
    """What such a cell needs from its task."""

    name: str
    things: tuple[str, ...]
    """Names of what it puts on the table."""
    object: ArraySpec
    """Of the privileged observation `object`."""
    handling: Handling

    def furnish(self, table: Table) -> None:
        """Add the task's things to the world, where that is a simulated one."""
        ...

    def object_state(self, cell: TabletopCell) -> np.ndarray:
        """The privileged observation."""
        ...


def motion_m(action: Action, metres_per_unit: float = METRES_PER_UNIT) -> np.ndarray:
    """How far an action carries the tool, shape (3,), if the guard permits no more than one unit at once."""
    return metres_per_unit * shorten(np.asarray(action[:3], np.float64), 1.0)


def upright(xy: np.ndarray, z: float, yaw: float) -> np.ndarray:
    """Pose, shape (7,), of a thing that stands on the table, turned by `yaw` radians about the vertical."""
    return np.array([*xy, z, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])


def towards(offset_m: np.ndarray, gripper: float | None, metres_per_unit: float = METRES_PER_UNIT) -> Action:
    """The action that moves by `offset_m`, shape (3,), metres, or as far that way as one control period permits.

    A `gripper` of None is that of a task whose hand stays shut.
    """
    units = shorten(offset_m / metres_per_unit, 1.0)
    return np.array([*units, *([] if gripper is None else [gripper])], np.float32)
