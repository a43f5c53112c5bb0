"""Tasks of the simulated cell: reset, sparse reward, expert and corrector, one file each."""

from envs.sim.tasks.pick_cube import PickCube
from envs.sim.tasks.reach import Reach

TASKS = {task.name: task for task in (PickCube, Reach)}
