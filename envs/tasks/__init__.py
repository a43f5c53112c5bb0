"""Tasks of a cell with a table: reset, sparse reward, expert and corrector, one file each."""

from envs.tasks.peg_insert import PegInsert
from envs.tasks.pick_and_return import PickAndReturn
from envs.tasks.pick_cube import PickCube
from envs.tasks.reach import Reach

TASKS = {task.name: task for task in (PickCube, Reach, PegInsert)}


def build(name: str, clearance_mm: float | None = None, reset_every: int | None = None) -> PickCube | Reach | PegInsert:
    """The task of this name; `clearance_mm` and `reset_every` as in envs.config."""
    if name == PickCube.name and reset_every is not None:
        return PickAndReturn(reset_every)
    return PegInsert(clearance_mm) if name == PegInsert.name and clearance_mm is not None else TASKS[name]()
