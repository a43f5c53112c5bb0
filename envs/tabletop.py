"""A gripper above a table: what every body of this kind of cell shares, so that one task code serves them all.

The tool points down and is moved by small translations in the base frame; the gripper is commanded beside it.
"""

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
ACTION = ArraySpec(shape=(4,), dtype="float32", unit="0.025 m, 0.025 m, 0.025 m, 0.04 m", low=-1.0, high=1.0)
TOOL_ROTATION = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
"""How the tool is turned, always: its axes as columns in the base frame. z points down, x away from the base."""
ACTION_NAMES: tuple[str, ...] = ("x", "y", "z", "gripper")


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


class Table(Protocol):
    """Where a simulated cell's things are put."""

    def add_box(self, name: str, *, half_m: float, mass_kg: float, rgba: tuple[float, ...]) -> None:
        """Add a free cube that the hand can grasp."""
        ...

    def add_marker(self, name: str, *, radius_m: float, rgba: tuple[float, ...]) -> None:
        """Add a ball that is seen but not felt."""
        ...


class TabletopTask(Protocol):
    """What such a cell needs from its task."""

    things: tuple[str, ...]
    """Names of what it puts on the table."""
    object: ArraySpec
    """Of the privileged observation `object`."""

    def furnish(self, table: Table) -> None:
        """Add the task's things to the world, where that is a simulated one."""
        ...

    def object_state(self, cell: TabletopCell) -> np.ndarray:
        """The privileged observation."""
        ...


def upright(xy: np.ndarray, z: float, yaw: float) -> np.ndarray:
    """Pose, shape (7,), of a thing that stands on the table, turned by `yaw` radians about the vertical."""
    return np.array([*xy, z, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])


def towards(offset_m: np.ndarray, gripper: float) -> Action:
    """The action that moves by `offset_m`, shape (3,), metres, or as far that way as one control period permits."""
    units = offset_m / METRES_PER_UNIT
    return np.array([*(units / max(1.0, float(np.linalg.norm(units)))), gripper], np.float32)
