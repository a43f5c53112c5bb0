"""From a config to an environment."""

from typing import Any

from envs.config import EnvConfig
from envs.gym_env import GymEnv
from envs.tasks import build
from envs.workcell import WorkcellEnv
from wire.errors import UserError


def make_env(config: EnvConfig) -> WorkcellEnv[Any] | GymEnv:
    """Build the environment that a config describes.

    Its actions are to be guarded by the caller: see `envs.guard.Guard` and `limits`.

    Raises:
        ValueError: Where the Gymnasium id is unknown, or its spaces do not fit.
        GraphicsUnavailableError: A RuntimeError; where images are wanted and no GL library works here.
        CellGoneError: A RuntimeError; where the process of a cell in real time does not start.
        RobotConfigError, SensesMissingError, ServiceError: RuntimeErrors and a ValueError; of a cell over ROS 2.
        RuntimeError: Where the robot's model files, or ROS 2, are not installed.
    """
    if config.env == "gym":
        return GymEnv(str(config.id))
    task = build(config.task, config.clearance_mm, config.reset_every)
    if config.env == "ros":
        return WorkcellEnv(_ros_cell(config, task), task)
    # MuJoCo is imported by those who simulate, not by everybody who reads this file.
    from envs.sim.cell import SimCell

    seen: dict[str, Any] = {"obs": config.obs, "scene_name": config.scene, "image_size": config.image_size}
    if not config.realtime:
        return WorkcellEnv(SimCell(task, **seen), task)
    from envs.sim.realtime import RealtimeCell

    return WorkcellEnv(RealtimeCell(task, clearance_mm=config.clearance_mm, **seen), task)


def _ros_cell(config: EnvConfig, task: Any) -> Any:
    from envs.ros.config import load_robot

    robot = load_robot(config.robot)
    try:
        from envs.ros.cell import RosCell
    except ImportError as error:
        raise UserError(
            f"env=ros needs ROS 2's Python library ({error}): source /opt/ros/<distribution>/setup.bash, or install "
            "its wheels: pip install 'handrail[ros]'"
        ) from error
    return RosCell(
        task, robot, obs=config.obs, image_size=config.image_size, namespace=config.namespace, remap=config.remap
    )
