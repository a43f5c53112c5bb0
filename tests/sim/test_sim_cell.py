import os
import subprocess
import sys

import numpy as np
import pytest

from envs import graphics
from envs.config import EnvConfig
from envs.graphics import GraphicsUnavailableError
from envs.make import make_env
from envs.sim.cell import HOME_M
from envs.tabletop import LIMITS


@pytest.fixture
def make():
    opened = []

    def build(**fields):
        opened.append(make_env(EnvConfig(**fields)))
        return opened[-1]

    yield build
    for env in opened:
        env.close()


def drive(env, actions):
    for action in actions:
        env.cell.command(np.asarray(action, np.float32))
        env.cell.advance()


def red(image, over=(1, 2)):
    """Pixels that are more than twice as red as they are green or blue."""
    channels = image.astype(int)
    return int((channels[..., 0] > 20 + 2 * channels[..., over].max(-1)).sum())


def test_an_episode_starts_at_home_with_the_hand_pointing_down(make):
    env = make()
    env.reset(seed=0)
    rotation = env.cell.data.site("arm/pinch").xmat.reshape(3, 3)
    assert np.allclose(env.cell.tool_position(), HOME_M, atol=1e-4)
    assert np.allclose(rotation, np.diag([1.0, -1.0, -1.0]), atol=2e-3)
    assert env.cell.finger_width() == pytest.approx(0.08)


def test_the_tool_follows_its_target_within_four_millimetres_at_full_speed(make):
    env, rng, lags = make(task="reach"), np.random.default_rng(0), []
    for seed in range(5):
        env.reset(seed=seed)
        for _ in range(8):
            direction = rng.normal(size=3)
            ahead = LIMITS.metres_per_unit * direction / np.linalg.norm(direction)
            for _ in range(3):
                target = env.target_position()
                inside = np.clip(target + ahead, LIMITS.workspace_low_m, LIMITS.workspace_high_m) - target
                drive(env, [[*(inside / LIMITS.metres_per_unit), 1.0]])
                lags.append(np.linalg.norm(env.cell.tool_position() - env.target_position()))
    assert np.max(lags) < 0.004
    assert np.mean(lags) < 0.002


def test_a_held_arm_stays_where_it_was(make):
    env = make(task="reach")
    env.reset(seed=0)
    drive(env, [[0.6, 0.6, -0.5, 1.0]] * 3)
    env.hold()
    stopped = env.cell.tool_position()
    for _ in range(50):
        env.hold()
        env.cell.advance()
    assert np.linalg.norm(env.cell.tool_position() - stopped) < 0.001


def test_the_gripper_goes_to_any_width(make):
    env = make(task="reach")
    env.reset(seed=0)
    for command in (-1.0, 0.0, 0.5, 1.0):
        drive(env, [[0.0, 0.0, 0.0, command]] * 10)
        assert env.cell.finger_width() == pytest.approx(0.04 * (1.0 + command), abs=0.001)


def test_the_arm_never_pushes_its_fingers_into_the_table(make):
    env = make(task="reach")
    env.reset(seed=0)
    x, y, _ = env.target_position()
    drive(env, [[0.0, 0.0, (LIMITS.workspace_low_m[2] - 0.2) / 0.025 / 8, -1.0]] * 8)
    assert env.target_position() == pytest.approx([x, y, LIMITS.workspace_low_m[2]], abs=1e-4)
    touching = env.cell.data.contact.geom
    table = env.cell.model.geom("table").id
    assert not (touching == table).any()


def test_the_varied_scene_varies_and_keeps_the_cube_where_the_plain_one_puts_it(make):
    plain, varied = make(obs="pixels"), make(obs="pixels", scene="varied")
    for seed in range(3):
        first, second = plain.reset(seed=seed)[0], varied.reset(seed=seed)[0]
        assert np.array_equal(plain.cell.body_position("cube"), varied.cell.body_position("cube"))
        assert not np.array_equal(first["front"], second["front"])


@pytest.mark.parametrize("scene", ["plain", "varied"])
def test_both_cameras_see_the_cube_at_every_reset(make, scene):
    env = make(obs="pixels", scene=scene)
    seen = []
    for seed in range(60):
        observation, _ = env.reset(seed=seed)
        seen.append([red(observation["front"]), red(observation["wrist"])])
    assert np.min(seen, axis=0)[0] >= 20
    assert np.min(seen, axis=0)[1] >= 5


def test_the_front_camera_sees_the_marker_at_every_reset(make):
    env = make(task="reach", obs="pixels")
    assert min(red(env.reset(seed=seed)[0]["front"], over=(1,)) for seed in range(40)) >= 4


def test_the_camera_size_is_a_choice(make):
    env = make(obs="pixels", image_size=96)
    assert env.reset(seed=0)[0]["wrist"].shape == (96, 96, 3)


@pytest.mark.sim
def test_people_get_a_large_picture_even_of_a_cell_without_cameras(make):
    env = make(scene="varied")
    env.reset(seed=0)
    first = env.render()
    drive(env, [[0.0, 0.0, -1.0, 1.0]])
    assert first.shape == (360, 480, 3)
    assert first.dtype == np.uint8
    assert first.std() > 20
    assert not np.array_equal(first, env.render())


@pytest.mark.sim
def test_looking_at_the_picture_changes_nothing(make):
    watched, unwatched = make(obs="pixels"), make(obs="pixels")
    for env in (watched, unwatched):
        env.reset(seed=0)
    for _ in range(3):
        watched.render()
        steps = [env.step(np.array([0.3, 0.1, -0.9, 0.2], np.float32))[0] for env in (watched, unwatched)]
        assert all(np.array_equal(steps[0][name], steps[1][name]) for name in steps[0])


def test_a_step_outside_an_episode_is_refused(make):
    with pytest.raises(RuntimeError, match="call reset"):
        make().step(np.zeros(4, np.float32))


HEADLESS = """
import numpy as np
from envs import graphics
from envs.config import EnvConfig
from envs.make import make_env
env = make_env(EnvConfig())
env.reset(seed=0)
env.step(np.zeros(4, np.float32))
env.close()
try:
    make_env(EnvConfig(obs="pixels"))
except RuntimeError as error:
    print(type(error).__name__, error)
"""


def test_states_need_no_graphics_and_images_without_them_fail_with_the_cure():
    run = subprocess.run(
        [sys.executable, "-c", HEADLESS],
        env={**os.environ, "MUJOCO_GL": "disable"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.startswith("GraphicsUnavailableError cannot render camera images")
    assert "obs=state" in run.stdout
    assert "libosmesa6" in run.stdout


@pytest.mark.parametrize("wanted", ["osmesa", "egl", ""])
def test_a_missing_graphics_library_does_not_keep_mujoco_from_being_imported(monkeypatch, wanted):
    monkeypatch.delitem(sys.modules, "mujoco")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("MUJOCO_GL", wanted)
    monkeypatch.setattr(graphics, "LIBRARIES", {"osmesa": (("libabsent.so",),), "egl": (("libabsent.so",),)})
    graphics.settle_backend()
    assert os.environ["MUJOCO_GL"] == "disable"
    assert "obs=state" in str(GraphicsUnavailableError("no library"))
