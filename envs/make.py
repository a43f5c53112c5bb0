"""From a config to an environment."""

from typing import Any

from envs.config import EnvConfig
from envs.gym_env import GymEnv
from envs.workcell import WorkcellEnv


def make_env(config: EnvConfig) -> WorkcellEnv[Any] | GymEnv:
    """Build the environment that a config describes.

    Its actions are to be guarded by the caller: see `envs.guard.Guard` and `limits`.

    Raises:
        ValueError: Where the Gymnasium id is unknown, or its spaces do not fit.
        GraphicsUnavailableError: A RuntimeError; where images are wanted and no GL library works here.
        CellGoneError: A RuntimeError; where the process of a cell in real time does not start.
        RuntimeError: Where the robot's model files are not installed.
    """
    if config.env == "gym":
        return GymEnv(str(config.id))
    # MuJoCo is imported by those who simulate, not by everybody who reads this file.
    from envs.sim.cell import SimCell
    from envs.tasks import TASKS

    task = TASKS[config.task]()
    seen: dict[str, Any] = {"obs": config.obs, "scene_name": config.scene, "image_size": config.image_size}
    if not config.realtime:
        return WorkcellEnv(SimCell(task, **seen), task)
    from envs.sim.realtime import RealtimeCell

    return WorkcellEnv(RealtimeCell(task, task_name=config.task, **seen), task)
