import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Tuple

from envs.gym_env import GymEnv, UnusableEnvError
from envs.register import register


class Toy(gymnasium.Env):
    """A foreign environment whose spaces a test chooses; it ends with reward 1 after three steps."""

    return_bounds = (0, 1)

    def __init__(self, observation, action):
        self.observation_space, self.action_space = observation, action
        self.done = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.done = []
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.done.append(action)
        over = len(self.done) == 3
        return self.observation_space.sample(), float(over), over, False, {}


@pytest.fixture
def toy():
    registered, opened = [], []

    def build(observation, action=None, **spec):
        action = Box(np.float32([0.0, -0.1]), np.float32([10.0, 0.3])) if action is None else action
        gymnasium.register("handrail-test/Toy-v0", entry_point=lambda: Toy(observation, action), **spec)
        registered.append("handrail-test/Toy-v0")
        opened.append(GymEnv("handrail-test/Toy-v0"))
        return opened[-1]

    yield build
    for env in opened:
        env.close()
    for name in registered:
        del gymnasium.registry[name]


STATE = Box(-np.inf, np.inf, (3,), np.float64)
IMAGE = Box(0, 255, (8, 6, 3), np.uint8)


def test_actions_are_stretched_to_the_environments_own_range(toy):
    env = toy(STATE)
    env.reset(seed=0)
    for action in ([-1.0, -1.0], [0.0, 0.5], [1.0, 1.0]):
        env.step(np.array(action, np.float32))
    assert np.allclose(env._env.unwrapped.done, [[0.0, -0.1], [5.0, 0.2], [10.0, 0.3]])


def test_success_is_a_rewarded_end_where_the_environment_says_nothing(toy):
    env = toy(STATE)
    env.reset(seed=0)
    steps = [env.step(np.zeros(2, np.float32)) for _ in range(3)]
    assert [step[4]["success"] for step in steps] == [False, False, True]
    assert env.wire_spec.return_bounds == (0.0, 1.0)


def test_an_end_on_the_time_limit_is_an_end_and_no_cut(toy):
    env = toy(STATE, max_episode_steps=3)
    env.reset(seed=0)
    *_, (_, _, terminated, truncated, _) = [env.step(np.zeros(2, np.float32)) for _ in range(3)]
    assert (terminated, truncated) == (True, False)


@pytest.mark.parametrize(
    ("space", "names"),
    [
        (STATE, {"state": ("float32", (3,))}),
        (IMAGE, {"image": ("uint8", (8, 6, 3))}),
        (Dict(eye=IMAGE, joints=STATE), {"eye": ("uint8", (8, 6, 3)), "joints": ("float32", (3,))}),
    ],
)
def test_observations_keep_their_names_and_travel_as_float32_or_uint8(toy, space, names):
    env = toy(space)
    observation, _ = env.reset(seed=0)
    assert {name: (str(array.dtype), array.shape) for name, array in observation.items()} == names
    assert env.wire_spec.observation_problem(observation) is None


@pytest.mark.parametrize(
    ("observation", "action", "words"),
    [
        (STATE, gymnasium.spaces.Discrete(2), "actions of .* are Discrete; wanted continuous"),
        (STATE, Box(-np.inf, np.inf, (2,)), "unbounded"),
        (Tuple([STATE]), None, "observation of .* is a Tuple; wanted a Box"),
        (Dict(a=Dict(b=STATE)), None, "observation a of .* is a Dict"),
        (Box(0, 255, (8, 6), np.uint8), None, r"wanted images \(height, width, 3\)"),
        (Box(-1, 1, (3, 3)), None, "wanted a vector"),
    ],
)
def test_spaces_that_do_not_fit_are_refused_with_what_is_wanted(toy, observation, action, words):
    with pytest.raises(UnusableEnvError, match=words):
        toy(observation, action)


@pytest.mark.parametrize(
    ("env_id", "words"),
    [("Pendulm-v1", "Did you mean: `Pendulum`"), ("absent_module:Id-v0", "No module named 'absent_module'")],
)
def test_an_unknown_id_is_answered_with_the_cure(env_id, words):
    with pytest.raises(UnusableEnvError, match=words):
        GymEnv(env_id)


def test_a_missing_expert_is_an_error_that_names_the_way_round(toy):
    env = toy(STATE)
    with pytest.raises(UnusableEnvError, match="has no expert; use human=none"):
        env.expert(np.random.default_rng(0))
    with pytest.raises(UnusableEnvError, match="has no corrector"):
        env.corrector(np.random.default_rng(0))


@pytest.mark.sim
def test_our_tasks_work_for_people_who_bring_their_own_learner():
    if "handrail/PickCube-v0" not in gymnasium.registry:
        register()
    env = gymnasium.make("handrail/PickCube-v0", obs="pixels", scene="varied", render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    *_, info = env.step(np.full(4, 1.0, np.float32))
    assert observation["front"].shape == (64, 64, 3)
    assert np.linalg.norm(info["action"][:3]) == pytest.approx(1.0, abs=1e-5)
    assert env.render().shape == (360, 480, 3)
    env.close()


def test_an_environment_that_cannot_draw_is_evaluated_without_pictures(toy, caplog):
    env = toy(STATE)
    env.reset(seed=0)
    env.render_mode = "rgb_array"
    env._env.unwrapped.render = lambda: 1 / 0
    assert env.render() is None
    assert "no picture of handrail-test/Toy-v0: ZeroDivisionError" in caplog.text
    assert env.render() is None
