"""The peg, its socket and its hand: what they do in the simulated cell, and what counts as inserted."""

import itertools

import gymnasium
import mujoco
import numpy as np
import pytest

from envs.config import CLEARANCES_MM, EnvConfig
from envs.make import make_env
from envs.register import register
from envs.sim.scene import CAMERAS
from envs.tabletop import CENTRE_M
from envs.tasks.peg_insert import AREA_M, MAX_FORCE_N, MAX_PENETRATION_M, RIM_M, WIDTH_M, tip_m
from envs.workcell import GuardedEnv

DOWN = np.array([0.0, 0.0, -1.0], np.float32)
ON_A_WALL_M = np.array([0.012, 0.0])
"""From the tip to the middle of a socket whose wall it is above."""


@pytest.fixture
def env():
    made = make_env(EnvConfig(task="peg_insert"))
    made.reset(seed=0)
    yield made
    made.close()


class Watch:
    def __init__(self):
        self.won, self.helped, self.force_n, self.penetration_m, self.slip_m, self.steps = 0, 0, 0.0, 0.0, 0.0, 0


def play(config, episodes, policy=None, noise=0.0):
    """Episodes through the guard by the expert, or by a policy that a corrector helps."""
    env, watch = GuardedEnv(make_env(config)), Watch()
    inner = env.unwrapped
    cell, expert = inner.cell, inner.expert(np.random.default_rng(0), noise)
    corrector = inner.corrector(np.random.default_rng(0))
    for episode in range(episodes):
        env.reset(seed=episode)
        corrector.begin_episode(0)
        held_at, ended = tip_m(cell) - cell.tool_position(), False
        while not ended:
            correction = corrector.propose()
            wanted = expert.propose() if policy is None else policy
            _, _, terminated, truncated, info = env.step(wanted if policy is None or correction is None else correction)
            ended = terminated or truncated
            watch.helped += correction is not None
            watch.steps += 1
            watch.force_n = max(watch.force_n, cell.peak_force_n())
            watch.penetration_m = max(watch.penetration_m, cell.penetration_m("peg"))
            watch.slip_m = max(watch.slip_m, np.linalg.norm(tip_m(cell) - cell.tool_position() - held_at))
        watch.won += info["success"]
    env.close()
    return watch


def within(cell, camera, point):
    """Whether a camera has a point in its square picture, with a twentieth to spare; and nothing says it is hidden."""
    seen = cell.data.camera(camera).xmat.reshape(3, 3).T @ (point - cell.data.camera(camera).xpos)
    half = -seen[2] * np.tan(np.radians(cell.model.camera(camera).fovy[0]) / 2.0)
    return bool(seen[2] < 0.0 and (np.abs(seen[:2]) < 0.95 * half).all())


@pytest.mark.sim
def test_the_cameras_look_where_it_matters(env):
    cell = env.cell
    assert within(cell, CAMERAS["front"], tip_m(cell))
    for x, y in itertools.product((-0.5, 0.5), repeat=2):
        cell.shift("socket", np.array(CENTRE_M) + np.array(AREA_M) * (x, y))
        mujoco.mj_forward(cell.model, cell.data)
        assert within(cell, CAMERAS["front"], cell.body_position("socket"))
    # Of the camera on the hand it is asked to see the end alone.
    for off in (0.0, -0.02, 0.02):
        assert within(cell, CAMERAS["wrist"], tip_m(cell) + np.array([off, off, 0.0]))


@pytest.mark.sim
@pytest.mark.parametrize("clearance_mm", CLEARANCES_MM)
def test_the_expert_inserts_the_peg_gently_and_its_corrector_looks_on(clearance_mm):
    watch = play(EnvConfig(task="peg_insert", clearance_mm=clearance_mm), 12)
    assert watch.won == 12
    assert watch.helped == 0
    assert watch.steps < 12 * 20
    assert watch.force_n < MAX_FORCE_N / 2
    assert watch.penetration_m < 0.0005
    assert watch.slip_m < 0.0005


@pytest.mark.sim
def test_a_shaky_expert_still_makes_demonstrations_in_the_varied_scene():
    watch = play(EnvConfig(task="peg_insert", scene="varied"), 10, noise=0.3)
    assert watch.won >= 9
    assert watch.penetration_m < MAX_PENETRATION_M


@pytest.mark.sim
def test_the_corrector_rescues_a_policy_that_stands_still():
    watch = play(EnvConfig(task="peg_insert"), 6, policy=np.zeros(3, np.float32))
    assert watch.won >= 5
    assert 0 < watch.helped < watch.steps


@pytest.mark.sim
def test_the_corrector_catches_a_policy_before_it_hits_the_rim():
    alone = GuardedEnv(make_env(EnvConfig(task="peg_insert")))
    watch = play(EnvConfig(task="peg_insert"), 6, policy=DOWN * 0.9)
    alone.reset(seed=0)
    alone.unwrapped.cell.data.mocap_pos[0, :2] = tip_m(alone.unwrapped.cell)[:2] + ON_A_WALL_M
    while not (ended := alone.step(DOWN))[2]:
        pass
    assert not ended[4]["success"]
    alone.close()
    assert watch.won >= 4


def around(env, aside_m=0.0, depth_m=0.025):
    """Put the socket around the peg, wherever that is: `aside_m` off its middle, the tip `depth_m` below its rim."""
    env.cell.data.mocap_pos[0] = tip_m(env.cell) + np.array([aside_m, 0.0, depth_m])
    # Their overlap is looked at before physics pushes them apart.
    mujoco.mj_forward(env.cell.model, env.cell.data)
    return env.task.evaluate(env.cell)


def test_a_peg_that_stands_in_its_socket_is_inserted(env):
    outcome = around(env)
    assert (outcome.reward, outcome.success, outcome.failure) == (1.0, True, False)


@pytest.mark.parametrize("aside_m", [0.0022, 0.005, 0.012, 0.020])
def test_sunk_into_a_wall_it_is_not(env, aside_m):
    assert not around(env, aside_m).success
    assert env.cell.penetration_m("peg") > MAX_PENETRATION_M


def test_in_the_middle_but_sunk_into_something_it_is_not(env):
    assert around(env).success
    env.cell.penetration_m = lambda name: 1.1 * MAX_PENETRATION_M
    assert not env.task.evaluate(env.cell).success


def test_half_way_in_it_is_not(env):
    assert not around(env, depth_m=0.5 * RIM_M).success


def test_on_the_rim_at_full_speed_the_episode_ends_as_a_failure(env):
    env.cell.data.mocap_pos[0, :2] = tip_m(env.cell)[:2] + ON_A_WALL_M
    for _ in range(20):
        _, reward, terminated, _, info = env.step(DOWN)
        if terminated:
            break
    assert (terminated, reward, info["success"]) == (True, 0.0, False)
    assert env.cell.peak_force_n() > MAX_FORCE_N


def test_leaning_on_the_rim_does_no_harm_however_far_the_target_would_go(env):
    env.cell.data.mocap_pos[0, :2] = tip_m(env.cell)[:2] + ON_A_WALL_M
    force_n = 0.0
    for _ in range(55):
        _, _, terminated, _, _ = env.step(0.3 * DOWN)
        assert not terminated
        force_n = max(force_n, env.cell.peak_force_n())
    assert 15.0 < force_n < 0.8 * MAX_FORCE_N
    assert env.cell.penetration_m("peg") < MAX_PENETRATION_M
    lead_m = np.linalg.norm(env.cell.target_position() - env.cell.tool_position())
    assert lead_m == pytest.approx(env.task.handling.leash_m, abs=1e-6)


def test_a_peg_that_slipped_out_of_the_hand_ends_the_episode(env):
    env.cell.data.joint("peg").qpos[:3] = [0.40, 0.15, 0.05]
    _, reward, terminated, _, info = env.step(np.zeros(3, np.float32))
    assert (reward, terminated, info["success"]) == (0.0, True, False)


def test_the_hand_holds_the_peg_from_the_start_never_quite_the_same_way(env):
    offsets = []
    for seed in range(10):
        env.reset(seed=seed)
        assert env.cell.fingers_touching("peg") == 2
        assert env.cell.finger_width() == pytest.approx(WIDTH_M, abs=0.0005)
        offsets.append(tip_m(env.cell) - env.cell.tool_position())
    assert np.std(offsets, axis=0)[[0, 2]].min() > 0.001
    assert env.action_space.shape == (3,)


def test_random_actions_neither_break_the_physics_nor_succeed():
    env = GuardedEnv(make_env(EnvConfig(task="peg_insert", clearance_mm=0.5)))
    rng = np.random.default_rng(0)
    for episode in range(3):
        env.reset(seed=episode)
        ended = False
        while not ended:
            _, reward, terminated, truncated, _ = env.step(rng.uniform(-1.0, 1.0, 3))
            ended = terminated or truncated
            assert reward == 0.0
            assert env.unwrapped.cell.penetration_m("peg") < MAX_PENETRATION_M
    env.close()


@pytest.mark.process
def test_in_real_time_the_peg_is_in_the_hand_too():
    env = make_env(EnvConfig(task="peg_insert", realtime=True, clearance_mm=1.0))
    for seed in range(2):
        env.reset(seed=seed)
        for _ in range(3):
            env.step(np.array([0.2, 0.0, -0.2], np.float32))
        assert env.cell.fingers_touching("peg") == 2
        assert env.cell.peak_force_n() < 5.0
    env.close()


def test_it_is_a_gymnasium_id_with_its_clearance():
    if "handrail/PegInsert-v0" not in gymnasium.registry:
        register()
    env = gymnasium.make("handrail/PegInsert-v0", clearance_mm=0.5)
    assert env.unwrapped.task.clearance_m == 0.0005
    env.close()
