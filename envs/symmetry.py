"""What a cell and its task look like from the other side, or a little further along the table.

A task declares how its `object` transforms (`object_signs`, `object_moves`); the rest belongs to the cell.
"""

import math
from dataclasses import dataclass, field

from envs.tabletop import CENTRE_M
from envs.tasks import TASKS
from wire.specs import EnvSpec


@dataclass(frozen=True)
class Mirror:
    """Left and right exchanged, y -> -y in the base frame: an element x of a vector becomes sign * x + offset."""

    action: tuple[float, ...]
    """Signs."""
    vectors: dict[str, tuple[tuple[float, float], ...]]
    """Name -> (sign, offset) of every element."""
    frames: tuple[str, ...] = ()
    """Cameras in the plane y = 0, whose pictures are flipped left to right."""


@dataclass(frozen=True)
class Translation:
    """Robot and things moved together along the table, in x and in y; actions stay as they are.

    Joints do not follow: how they would depends on the arm. A policy that is trained so learns not to rely on them.
    """

    vectors: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Name -> the elements that move with x and those that move with y."""
    inside: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name -> elements that are the x and y of something that must stay in the workspace."""
    low_m: tuple[float, float] = (CENTRE_M[0] - 0.17, CENTRE_M[1] - 0.22)
    high_m: tuple[float, float] = (CENTRE_M[0] + 0.17, CENTRE_M[1] + 0.22)
    largest_m: float = 0.05


@dataclass(frozen=True)
class Symmetries:
    """What of this is true of an environment; None is not declared."""

    mirror: Mirror | None = None
    translation: Translation | None = None


# Of an arm whose joints turn alternately about and across the arm's plane, as the real robot counts: the plane y = 0 is
# kept by joints 2, 4 and 6, and the seventh mirrors about a quarter of pi, where the hand is square to it.
_PANDA_JOINTS = ((-1.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (-1.0, math.pi / 2))
_TOOL = 8
_PROPRIO = (*_PANDA_JOINTS, (1.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (1.0, 0.0))
_ROBOTS = ("panda", "fr3")
_ACTION = ("x", "y", "z", "gripper")


def symmetries_of(spec: EnvSpec) -> Symmetries:
    """What is declared for an environment.

    A real cell is mirrored in its numbers only: nobody promises where its cameras stand.
    """
    task = TASKS.get(spec.task)
    names = set(spec.observation)
    cameras = tuple(sorted(name for name, array in spec.observation.items() if array.is_frame))
    signs: tuple[float, ...] | None = getattr(task, "object_signs", None)
    moves: tuple[tuple[int, ...], tuple[int, ...]] | None = getattr(task, "object_moves", None)
    known = spec.robot in _ROBOTS and spec.action_names == _ACTION and names <= {"proprio", "object", *cameras}
    if task is None or signs is None or not known or spec.observation["proprio"].shape != (len(_PROPRIO),):
        return Symmetries()
    vectors = {"proprio": _PROPRIO, "object": tuple((sign, 0.0) for sign in signs)}
    mirror = Mirror((1.0, -1.0, 1.0, 1.0), {name: vectors[name] for name in vectors if name in names}, cameras)
    moved = {"proprio": ((_TOOL,), (_TOOL + 1,)), "object": moves}
    translation = Translation(
        {name: moved[name] for name in moved if name in names and moved[name] is not None},  # type: ignore[misc]
        {"proprio": (_TOOL, _TOOL + 1)},
    )
    return Symmetries(
        mirror=mirror if spec.env == "sim" or not cameras else None,
        # A picture cannot be moved along the table: only what is nearest to it would look right.
        translation=translation if not cameras and moves is not None else None,
    )
