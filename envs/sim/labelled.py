"""Pictures of a task's scene together with what the simulator knows of it: what a trunk is trained on.

A noisy expert brings the arm wherever a policy will bring it. Before every picture, shades, light, cameras and
distractors change, and now and then the things lie elsewhere; afterwards the episode goes on as if nothing had been.
"""

# MuJoCo's compiled module comes without type stubs.
# pyright: reportAttributeAccessIssue=false

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import mujoco
import numpy as np

from envs.guard import Guard
from envs.sim.cell import SimCell
from envs.sim.scene import CAMERAS, knock_camera
from envs.tabletop import CENTRE_M
from envs.tasks import TASKS
from envs.workcell import WorkcellEnv

_NOISE = 0.5
"""Of the expert, in action units."""
_STRAY = 0.3
"""Share of the episodes in which nobody knows what he is doing."""
_MOVED = 0.3
"""Share of the pictures in which the things lie elsewhere."""
_KNOCK_M, _KNOCK_RAD = 0.025, np.radians(4.0)
"""How far off any camera may be where knock=1, the one on the wrist too: that happens in a lab."""
_STEPS = 25
"""Of an episode: most successes come sooner."""


class LabelledPictures(NamedTuple):
    """Pictures of every camera, uint8 (n, height, width, 3), and their labels, float32 (n, k)."""

    pictures: dict[str, np.ndarray]
    labels: np.ndarray
    unit: str
    """What the labels are."""


def labelled_pictures(
    task: str,
    *,
    count: int,
    image_size: int,
    seed: int,
    knock: float = 1.0,
    counted: Callable[[int], Iterable[int]] = range,
) -> LabelledPictures:
    """Render `count` moments of a task in its varied scene; the labels are its privileged observation.

    Cameras are up to `knock` times 2.5 cm and 4 degrees from where they are mounted. `counted` counts the moments, so
    that progress can be shown.

    Raises:
        GraphicsUnavailableError: Where no GL library works here.
        RuntimeError: Where the robot's model files are not installed.
    """
    about = TASKS[task]()
    cell = SimCell(about, obs="pixels", scene_name="varied", image_size=image_size)
    env, rng = WorkcellEnv(cell, about), np.random.default_rng(seed)
    pictures = {name: np.empty((count, image_size, image_size, 3), np.uint8) for name in CAMERAS}
    labels = np.empty((count, *about.object.shape), np.float32)
    moments = (None for _ in itertools.count() for _ in _moments(env, rng))
    for i in counted(count):
        next(moments)
        seen, labels[i] = _in_another_look(cell, about, rng, knock)
        for name, column in pictures.items():
            column[i] = seen[name]
    env.close()
    return LabelledPictures(pictures, labels, about.object.unit)


def _moments(env: WorkcellEnv[Any], rng: np.random.Generator) -> Iterator[None]:
    """Let an episode pass; yields after its reset and after every control period."""
    env.reset(seed=int(rng.integers(2**31)))
    expert = env.expert(rng, _NOISE)
    expert.begin_episode()
    guard, strays, drift = Guard(env.limits), rng.uniform() < _STRAY, np.zeros(env.cell.action.shape)
    yield
    for _ in range(_STEPS):
        drift = 0.8 * drift + rng.normal(0.0, 0.6, drift.shape)
        wanted = np.clip(drift, -1.0, 1.0).astype(np.float32) if strays else expert.propose()
        verdict = guard.apply(wanted, env.target_position(), env.vitals())
        *_, terminated, truncated, _ = env.step(verdict.action)
        yield
        if terminated or truncated:
            return


def _in_another_look(
    cell: SimCell, task: Any, rng: np.random.Generator, knock: float
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Pictures and label of the cell as it is now but for what varies; the cell is as before afterwards."""
    model, data = cell.model, cell.data
    changed = data.qpos, data.mocap_pos, model.cam_pos, model.cam_quat
    before = [array.copy() for array in changed]
    if rng.uniform() < _MOVED:
        for name in set(task.things) - {task.handling.held}:
            cell.shift(name, np.array(CENTRE_M) + rng.uniform((-0.12, -0.17), (0.12, 0.17)))
    mujoco.mj_kinematics(model, data)
    cell.change_look(rng, [cell.body_position(name)[:2] for name in task.things] + [cell.tool_position()[:2]])
    for name in CAMERAS.values():
        shift_m, turn_rad = knock * rng.uniform() * _KNOCK_M, knock * rng.uniform() * _KNOCK_RAD
        knock_camera(model, name, rng, shift_m=shift_m, turn_rad=turn_rad)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    seen, label = cell.observe(), task.object_state(cell)
    for array, was in zip(changed, before, strict=True):
        array[:] = was
    mujoco.mj_forward(model, data)
    return seen, label
