"""What a task declares of its symmetries is what its simulation does."""

import numpy as np
import pytest
from envs_built import built

from envs.guard import Guard
from envs.symmetry import symmetries_of
from envs.tabletop import upright
from envs.workcell import WorkcellEnv
from wire.types import Observation

pytestmark = pytest.mark.sim


def start(env: WorkcellEnv, thing: str, xy: tuple[float, float], z: float, yaw: float) -> Observation:
    env.reset(seed=0)
    env.cell.restart({thing: upright(np.array(xy), z, yaw)}, {thing: 0.0}, np.random.default_rng(0))
    return env.cell.observe()


def drive(env: WorkcellEnv, actions: list[np.ndarray]) -> tuple[list[Observation], list[float]]:
    seen, rewards, guard = [], [], Guard(env.limits)
    for action in actions:
        verdict = guard.apply(action, env.target_position(), env.vitals())
        observation, reward, *_ = env.step(verdict.action)
        seen.append(observation)
        rewards.append(float(reward))
    return seen, rewards


@pytest.mark.parametrize(("task", "thing", "z"), [("pick_cube", "cube", 0.02), ("reach", "marker", 0.05)])
def test_mirrored_actions_from_a_mirrored_start_give_mirrored_observations_and_equal_rewards(task, thing, z):
    env = built(task=task, obs="state")
    mirror = symmetries_of(env.wire_spec).mirror
    assert mirror is not None
    first = start(env, thing, (0.50, 0.06), z, 0.3)
    rng = np.random.default_rng(0)
    towards = np.array([0.4, 0.6, -0.6, 1.0], np.float32)
    actions = [np.clip(towards + rng.normal(size=4) * 0.3, -1, 1).astype(np.float32) for _ in range(15)]
    seen, rewards = drive(env, actions)
    other = start(env, thing, (0.50, -0.06), z, -0.3)
    mirrored, again = drive(env, [action * np.array(mirror.action, np.float32) for action in actions])
    assert rewards == again
    for here, there in zip([first, *seen], [other, *mirrored], strict=True):
        for name, elements in mirror.vectors.items():
            # Joints may share a turn otherwise between them, which the tool does not notice.
            signs, offsets = np.array(elements, np.float32).T
            np.testing.assert_allclose(signs * here[name] + offsets, there[name], atol=0.03, err_msg=name)


def test_pictures_of_the_mirrored_scene_are_the_flipped_pictures():
    env = built(task="pick_cube", obs="pixels")
    mirror = symmetries_of(env.wire_spec).mirror
    assert mirror is not None
    assert mirror.frames == ("front", "wrist")
    here = start(env, "cube", (0.50, 0.06), 0.02, 0.3)
    there = start(env, "cube", (0.50, -0.06), 0.02, -0.3)
    for name in mirror.frames:
        flipped, picture = here[name][:, ::-1], there[name]
        # The light comes from one side, so it is not pixel by pixel the same.
        assert np.abs(flipped.astype(int) - picture).mean() < np.abs(here[name].astype(int) - picture).mean()
        np.testing.assert_allclose(place_of_the_red(flipped), place_of_the_red(picture), atol=1.0)
        assert np.abs(place_of_the_red(here[name])[1] - place_of_the_red(picture)[1]) > 4.0


def place_of_the_red(picture: np.ndarray) -> np.ndarray:
    """Mean row and column of the cube's pixels."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    found = np.argwhere((red > 60) & (red > 2 * green) & (red > 2 * blue))
    assert len(found) > 5
    return found.mean(axis=0)


def test_moved_along_the_table_the_same_actions_do_the_same():
    env = built(task="pick_cube", obs="state")
    translation = symmetries_of(env.wire_spec).translation
    assert translation is not None
    first = start(env, "cube", (0.48, 0.02), 0.02, 0.3)
    for name, (along_x, along_y) in translation.vectors.items():
        assert first[name][list(along_x)] == pytest.approx([0.47 if name == "proprio" else 0.48], abs=0.01)
        assert first[name][list(along_y)] == pytest.approx([0.0 if name == "proprio" else 0.02], abs=0.01)
