"""Lifting a cube and putting it back in turns: who resets the cell, how often, and what is wanted next."""

from typing import Any

import numpy as np
import pytest

from envs.config import EnvConfig
from envs.experts import Expert
from envs.judge import Judgement, UnseenError
from envs.make import make_env
from envs.tabletop import upright
from envs.tasks.pick_and_return import NEAR_M, PickAndReturn
from envs.tasks.pick_cube import HALF_M, LIFT_M, lift_m
from envs.testing import check_env
from envs.workcell import GuardedEnv

LIFT, BACK = [1.0, 0.0], [0.0, 1.0]


class Cell:
    """The environment without resets, its expert, and short ways to what a test asks."""

    def __init__(self, reset_every: int):
        self.env: Any = GuardedEnv(make_env(EnvConfig(reset_every=reset_every)))
        self.inner = self.env.unwrapped
        self.expert: Expert = self.inner.expert(np.random.default_rng(0))
        self.seed = 0

    @property
    def cube(self):
        return self.inner.cell.body_position("cube")

    def begin(self):
        """Begin an attempt; what is wanted."""
        self.seed += 1
        observation, _ = self.env.reset(seed=self.seed)
        return observation["goal"][:2].tolist()

    def attempt(self, action=None):
        """Carry it out, by the expert or by one action again and again; whether it succeeded."""
        while True:
            _, _, terminated, truncated, info = self.env.step(self.expert.propose() if action is None else action)
            if terminated or truncated:
                return info["success"]


@pytest.fixture
def cell(request):
    made = Cell(getattr(request, "param", 0))
    yield made
    made.env.close()


def test_with_a_reset_before_every_attempt_the_contract_of_every_cell_is_kept():
    check_env(lambda: make_env(EnvConfig(reset_every=1)))


def test_what_was_lifted_is_to_be_put_back_at_a_place_that_the_goal_tells_from_the_tool(cell):
    assert cell.begin() == LIFT
    assert cell.attempt()
    lifted = cell.cube
    assert cell.begin() == BACK
    np.testing.assert_allclose(cell.cube, lifted, atol=0.005)  # It stays in the hand.
    goal, tool = cell.inner.look_again()["goal"], cell.inner.cell.tool_position()
    place = tool[:2] + goal[2:]
    assert cell.attempt()
    assert np.linalg.norm(cell.cube[:2] - place) < NEAR_M
    assert cell.inner.cell.fingers_touching("cube") == 0
    assert cell.begin() == LIFT
    tool = cell.inner.cell.tool_position()
    np.testing.assert_allclose(tool, [0.47, 0.0, 0.20], atol=0.01)  # The arm has gone home by itself.


@pytest.mark.sim
def test_the_expert_goes_on_for_thirty_attempts_without_anybody_near_and_the_cube_gets_about(cell):
    places = []
    for _ in range(30):
        cell.begin()
        assert cell.attempt()
        places.append(cell.cube[:2])
    assert cell.inner.resets == 1
    assert (np.ptp(np.array(places), axis=0) > [0.12, 0.2]).all()


def test_what_was_not_lifted_is_to_be_lifted_again_from_where_it_lies(cell):
    cell.begin()
    assert not cell.attempt(np.array([0.0, 0.0, 1.0, 1.0], np.float32))
    lies = cell.cube
    assert cell.begin() == LIFT
    assert cell.inner.resets == 1
    np.testing.assert_allclose(cell.cube, lies, atol=0.001)


def test_what_is_held_at_the_end_of_an_attempt_is_put_down_before_the_arm_goes_home(cell):
    cell.begin()
    cell.attempt()
    assert cell.begin() == BACK
    assert not cell.attempt(np.array([0.0, 0.0, 0.0, -1.0], np.float32))  # It never lets go.
    assert lift_m(cell.inner.cell) > LIFT_M / 2
    assert cell.begin() == LIFT
    assert cell.inner.resets == 1
    assert cell.cube[2] == pytest.approx(HALF_M, abs=0.003)
    assert cell.attempt()


@pytest.mark.parametrize("cell", [3], indirect=True)
def test_a_person_resets_before_every_third_attempt(cell):
    resets = []
    for _ in range(7):
        cell.begin()
        cell.attempt()
        resets.append(cell.inner.resets)
    assert resets == [1, 1, 1, 2, 2, 2, 3]


@pytest.mark.parametrize("place", [(0.70, 0.0, HALF_M), (0.47, 0.30, HALF_M), (0.47, 0.0, -0.2)])
def test_a_cube_out_of_reach_is_brought_back_by_a_person_and_counted(cell, place):
    cell.begin()
    cell.inner.cell._place("cube", upright(np.array(place[:2]), place[2], 0.0))
    cell.attempt(np.array([0.0, 0.0, 1.0, 1.0], np.float32))
    assert cell.begin() == LIFT
    assert cell.inner.resets == 2
    assert np.abs(cell.cube[:2] - [0.47, 0.0]).max() < 0.16


def test_a_dropped_cube_is_no_success_and_the_way_to_one_is_longer_from_there(cell):
    cell.begin()
    cell.attempt()
    cell.begin()
    task = cell.inner.task
    assert isinstance(task, PickAndReturn)
    held = task.steps_to_go(cell.inner.cell, np.array([0.0, 0.0, 0.0, -1.0], np.float32))
    far = np.array([0.47, 0.0]) + 0.12 * np.sign(task._place_m - [0.47, 0.0]) * [-0.5, -1]
    cell.inner.cell._place("cube", upright(far, HALF_M, 0.0))
    cell.env.step(np.array([0.0, 0.0, 0.0, 1.0], np.float32))
    assert not task.evaluate(cell.inner.cell).success
    assert task.steps_to_go(cell.inner.cell, np.array([0.0, 0.0, 0.0, 1.0], np.float32)) > held
    assert cell.attempt()  # The script fetches it.


def test_a_corrector_helps_a_policy_that_keeps_what_it_shall_put_back(cell):
    cell.begin()
    cell.attempt()
    cell.begin()
    corrector = cell.inner.corrector(np.random.default_rng(0))
    corrector.begin_episode(0)
    still, succeeded, ended = np.array([0.0, 0.0, 0.0, -1.0], np.float32), False, False
    while not ended:
        action = corrector.propose()
        _, _, terminated, truncated, info = cell.env.step(still if action is None else action)
        succeeded, ended = info["success"], terminated or truncated
    assert succeeded


class Says:
    """Judges what it is told to."""

    reward = "says-1"

    def __init__(self, *inputs: str) -> None:
        self.inputs = dict.fromkeys(inputs, (4,))
        self.goals: list[list[float]] = []

    def begin_episode(self) -> None:
        self.goals.append([])

    def judge(self, observation):
        self.goals[-1] = observation["goal"][:2].tolist()
        return Judgement(True, "says-1")


def test_whoever_judges_sees_what_is_wanted_and_what_comes_next_depends_on_what_it_said(cell):
    judge = Says("goal")
    cell.inner.judged_by(judge)
    still = np.array([0.0, 0.0, 0.0, 1.0], np.float32)
    wanted = []
    for _ in range(3):
        wanted.append(cell.begin())
        assert cell.attempt(still)  # It has not moved, and is believed to have succeeded.
    assert wanted == judge.goals == [LIFT, BACK, LIFT]


def test_a_judge_of_one_thing_is_refused_where_two_are_wanted(cell):
    with pytest.raises(UnseenError, match=r"judges one thing, and this task wants two in turns; .* rewards pair"):
        cell.inner.judged_by(Says())
