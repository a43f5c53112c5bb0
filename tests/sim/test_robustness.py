"""What benchmarks/robustness.py changes in the world: what it says, and nothing else."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from envs.sim.cell import SimCell
from envs.tasks import TASKS

pytestmark = pytest.mark.sim
_FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
_SIZE = 48


@pytest.fixture(scope="module")
def robustness() -> Any:
    spec = importlib.util.spec_from_file_location("robustness", _FOLDER / "robustness.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # At the end: this folder's learner.py is not the package.
        patch.setattr(sys, "path", [*sys.path, str(_FOLDER)])
        spec.loader.exec_module(made)
    return made


def pictures(cell: SimCell, seed: int) -> dict[str, np.ndarray]:
    task = TASKS["pick_cube"]()
    task.reset(cell, np.random.default_rng(seed))
    seen = cell.observe()
    return {name: seen[name].astype(int) for name in ("front", "wrist")}


def test_without_a_change_it_is_the_plain_scene(robustness: Any):
    unchanged = robustness.ChangedCell(TASKS["pick_cube"](), "nothing", image_size=_SIZE)
    plain = SimCell(TASKS["pick_cube"](), obs="pixels", scene_name="plain", image_size=_SIZE)
    for seed in range(3):
        for name, picture in pictures(plain, seed).items():
            np.testing.assert_allclose(pictures(unchanged, seed)[name], picture, atol=1)
    unchanged.close()
    plain.close()


@pytest.mark.parametrize("change", ["light", "front camera", "both cameras", "table", "distractors", "everything"])
def test_a_change_is_seen_and_nothing_of_it_stays(robustness: Any, change: str):
    unchanged = robustness.ChangedCell(TASKS["pick_cube"](), "nothing", image_size=_SIZE)
    changed = robustness.ChangedCell(TASKS["pick_cube"](), change, image_size=_SIZE)
    first = pictures(changed, 0)
    assert np.abs(first["front"] - pictures(unchanged, 0)["front"]).max() > 30
    pictures(changed, 1)
    again = pictures(changed, 0)
    np.testing.assert_array_equal(first["front"], again["front"])
    np.testing.assert_array_equal(first["wrist"], again["wrist"])
    changed.close()
    unchanged.close()


def test_a_knocked_camera_stands_two_centimetres_and_three_degrees_off(robustness: Any):
    cell = robustness.ChangedCell(TASKS["pick_cube"](), "nothing", image_size=16)
    camera = mujoco.mj_name2id(cell.model, mujoco.mjtObj.mjOBJ_CAMERA, "front")
    place, turned = (
        cell.model.cam_pos[camera].copy(),
        Rotation.from_quat(cell.model.cam_quat[camera], scalar_first=True),
    )
    robustness.front_camera(cell.model, np.random.default_rng(0))
    assert np.linalg.norm(cell.model.cam_pos[camera] - place) == pytest.approx(0.02)
    now = Rotation.from_quat(cell.model.cam_quat[camera], scalar_first=True)
    assert np.degrees((now * turned.inv()).magnitude()) == pytest.approx(3.0)
    cell.close()
