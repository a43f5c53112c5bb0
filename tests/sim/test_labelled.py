"""What a trunk is trained on: pictures in ever another look, and labels that are true of them."""

import numpy as np
import pytest

from envs.sim.cell import SimCell
from envs.sim.labelled import _in_another_look, labelled_pictures
from envs.tasks import TASKS

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("task", sorted(TASKS))
def test_pictures_are_labelled_with_what_the_simulator_knows_and_a_seed_decides_them(task: str):
    one, again, other = (labelled_pictures(task, count=12, image_size=16, seed=seed) for seed in (0, 0, 1))
    assert one.labels.shape == (12, *TASKS[task]().object.shape)
    np.testing.assert_array_equal(one.labels, again.labels)
    for name, pictures in one.pictures.items():
        assert pictures.shape == (12, 16, 16, 3)
        np.testing.assert_array_equal(pictures, again.pictures[name])
    assert np.abs(one.labels - other.labels).max() > 0.01


def test_every_picture_has_a_look_of_its_own_and_the_episode_goes_on_untouched():
    task, rng = TASKS["pick_cube"](), np.random.default_rng(0)
    cell = SimCell(task, obs="pixels", scene_name="varied", image_size=16)
    task.reset(cell, rng)
    kept = cell.data.qpos, cell.data.qvel, cell.model.cam_pos, cell.model.cam_quat
    before = [array.copy() for array in kept]
    seen = [_in_another_look(cell, task, rng, 1.0)[0]["front"] for _ in range(6)]
    assert len({picture.tobytes() for picture in seen}) == 6
    for array, was in zip(kept, before, strict=True):
        np.testing.assert_array_equal(array, was)
    cell.close()


def test_both_cameras_are_knocked_and_the_label_knows_nothing_of_it():
    task = TASKS["pick_cube"]()
    cell = SimCell(task, obs="pixels", scene_name="varied", image_size=32)
    task.reset(cell, np.random.default_rng(0))
    knocked, label = _in_another_look(cell, task, np.random.default_rng(1), 1.0)
    straight, same = _in_another_look(cell, task, np.random.default_rng(1), 0.0)
    np.testing.assert_array_equal(label, same)
    for name in ("front", "wrist"):
        assert np.abs(knocked[name].astype(int) - straight[name].astype(int)).max() > 50
    cell.close()


def test_a_red_cube_is_where_its_label_says():
    found = labelled_pictures("pick_cube", count=60, image_size=64, seed=2)
    front, labels = found.pictures["front"].astype(int), found.labels
    red = (front[..., 0] > 90) & (front[..., 0] > 2 * front[..., 1]) & (front[..., 0] > 2 * front[..., 2])
    seen = red.sum(axis=(1, 2)) > 3
    columns = np.array([np.nonzero(mask)[1].mean() for mask in red[seen]])
    # From the front camera, which looks back at the base, y grows to the right.
    assert seen.sum() > 20
    assert np.corrcoef(columns, labels[seen, 1])[0, 1] > 0.9
