import numpy as np
import pytest

from envs.config import EnvConfig
from envs.make import make_env
from envs.workcell import GuardedEnv


class Watch:
    """What the physics did over many episodes."""

    def __init__(self):
        self.steps, self.won = [], 0
        self.penetration_m, self.slip_m, self.helped = 0.0, 0.0, 0


def grip(cell):
    """Where the cube is in the hand, or None where it is not in the air between both fingers."""
    if cell.fingers_touching("cube") < 2 or cell.body_position("cube")[2] < 0.03:
        return None
    rotation = cell.data.site("arm/pinch").xmat.reshape(3, 3)
    return rotation.T @ (cell.body_position("cube") - cell.tool_position())


def play(config, episodes, policy=None, noise=0.0, corrector=None):
    """Episodes through the guard: by the expert, or by a policy that a corrector may help."""
    env, watch = GuardedEnv(make_env(config)), Watch()
    cell = env.unwrapped.cell
    expert = env.unwrapped.expert(np.random.default_rng(0), noise)
    corrector = env.unwrapped.corrector(np.random.default_rng(0)) if corrector else None
    for episode in range(episodes):
        env.reset(seed=episode)
        expert.begin_episode()
        if corrector:
            corrector.begin_episode(0)
        t, held_at, ended = 0, None, False
        while not ended:
            correction = corrector.propose() if corrector else None
            action = correction if correction is not None else policy(t) if policy else expert.propose()
            _, _, terminated, truncated, info = env.step(action)
            ended, t = terminated or truncated, t + 1
            watch.helped += correction is not None
            watch.penetration_m = max(watch.penetration_m, -cell.data.contact.dist.min(initial=0.0))
            if config.task == "pick_cube" and (at := grip(cell)) is not None:
                held_at = at if held_at is None else held_at
                watch.slip_m = max(watch.slip_m, np.linalg.norm(at - held_at))
        watch.won += info["success"]
        watch.steps.append(t)
    env.close()
    return watch


@pytest.mark.sim
@pytest.mark.parametrize("scene", ["plain", "varied"])
def test_the_expert_picks_the_cube_without_slip_or_sinking_in(scene):
    watch = play(EnvConfig(scene=scene), 40)
    assert watch.won >= 38
    assert np.mean(watch.steps) < 17
    assert watch.penetration_m < 0.001
    assert watch.slip_m < 0.001


def test_the_expert_reaches_the_marker_in_a_second():
    watch = play(EnvConfig(task="reach"), 40)
    assert watch.won == 40
    assert np.mean(watch.steps) < 10


@pytest.mark.sim
def test_a_shaky_expert_still_makes_demonstrations():
    watch = play(EnvConfig(), 30, noise=0.3)
    assert watch.won >= 27
    assert watch.penetration_m < 0.002


@pytest.mark.sim
@pytest.mark.parametrize("task", ["reach", "pick_cube"])
def test_the_corrector_is_silent_while_an_expert_drives(task):
    watch = play(EnvConfig(task=task), 20, corrector=True)
    assert watch.won == 20
    assert watch.helped == 0


@pytest.mark.sim
@pytest.mark.parametrize("task", ["reach", "pick_cube"])
def test_the_corrector_rescues_a_policy_that_stands_still(task):
    def still(t):
        return np.array([0.0, 0.0, 0.0, 1.0], np.float32)

    alone, helped = play(EnvConfig(task=task), 3, still), play(EnvConfig(task=task), 12, still, corrector=True)
    assert alone.won == 0
    assert helped.won >= 10
    assert helped.helped < sum(helped.steps)


def test_lifting_without_holding_is_no_success():
    env = make_env(EnvConfig())
    env.reset(seed=0)
    env.cell.data.joint("cube").qpos[2] = 0.2
    _, reward, terminated, _, info = env.step(np.zeros(4, np.float32))
    assert (reward, terminated, info["success"]) == (0.0, False, False)
    env.close()


def test_a_quarter_turn_of_the_cube_is_the_same_observation():
    env = make_env(EnvConfig())
    env.reset(seed=0)
    joint = env.cell.data.joint("cube")
    seen = []
    for yaw in (0.3, 0.3 + np.pi / 2, 0.8):
        joint.qpos[3:] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
        env.hold()
        env.cell.advance()
        seen.append(env.cell.observe()["object"][-2:])
    assert np.allclose(seen[0], seen[1], atol=1e-3)
    assert not np.allclose(seen[0], seen[2], atol=0.1)
    assert np.linalg.norm(seen[2]) == pytest.approx(1.0)
    env.close()
