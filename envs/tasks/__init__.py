"""Tasks of a cell with a table: reset, sparse reward, expert and corrector, one file each."""

from envs.tasks.pick_cube import PickCube
from envs.tasks.reach import Reach

TASKS = {task.name: task for task in (PickCube, Reach)}
