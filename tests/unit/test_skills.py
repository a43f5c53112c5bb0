"""What scripted people of each skill do, in numbers, with a corrector that always sees cause."""

import numpy as np
import pytest

from actor.config import SKILLS, ActorConfig
from actor.human import ScriptedCorrector
from actor.human.make import scripted
from envs import skills
from envs.config import EnvConfig
from envs.experts import StuckCorrector
from envs.gym_env import GymEnv
from envs.make import make_env
from envs.skills import HABITS, Supervisor
from wire.errors import UserError

DRIVEN = np.array([0.5, 0.25, -0.75, -1.0], np.float32)
MOVING = np.array([True, True, True, False])
PERIODS = 50
"""Of an episode."""


class FakeExpert:
    def begin_episode(self):
        pass

    def propose(self):
        return DRIVEN


def stuck(seed=0):
    """Somebody who is called every 18 periods, for ten: the policy never gets anywhere."""
    return StuckCorrector(FakeExpert(), lambda: 0.0, np.random.default_rng(seed), fades_by_episode=1_000_000)


def person(skill, seed=0):
    return HABITS[skill](stuck(seed), np.random.default_rng(seed), MOVING)


def play(corrector, episodes, periods=PERIODS):
    """What was done in each period of each episode."""
    seen = []
    for episode in range(episodes):
        corrector.begin_episode(episode)
        seen.append([corrector.propose() for _ in range(periods)])
    return seen


def spells(actions):
    """Beginning and length of each stretch of help in an episode."""
    found, begin = [], None
    for t, action in enumerate([*actions, None]):
        if action is not None and begin is None:
            begin = t
        if action is None and begin is not None:
            found.append((begin, t - begin))
            begin = None
    return found


EXPERT = [(8, 10), (26, 10), (44, 6)]
"""Spells of the corrector itself."""


def test_the_expert_helps_at_every_call():
    assert [spells(episode) for episode in play(stuck(), 5)] == [EXPERT] * 5


def test_the_noisy_help_when_the_expert_does_with_a_hand_that_shakes_but_holds_on():
    episodes = play(person("noisy"), 100)
    assert all(spells(episode) == EXPERT for episode in episodes)
    actions = np.array([action for episode in episodes for action in episode if action is not None])
    assert actions.dtype == np.float32
    assert actions[:, 1].std() == pytest.approx(skills.NOISE, rel=0.1)
    assert actions.mean(axis=0)[:2] == pytest.approx(DRIVEN[:2], abs=0.05)
    assert (actions[:, 3] == DRIVEN[3]).all()
    assert np.abs(actions).max() <= 1.0


def test_the_late_help_at_the_second_call():
    assert [spells(episode) for episode in play(person("late"), 5)] == [EXPERT[1:2]] * 5


def test_the_lazy_help_seldom_and_for_three_periods():
    episodes = play(person("lazy"), 300)
    helped = [spell for episode in episodes for spell in spells(episode)]
    assert {length for _, length in helped} == {skills.SHORT}
    assert len(helped) / (3 * 300) == pytest.approx(skills.SELDOM, abs=0.05)


def test_the_wrong_do_the_opposite_in_a_fifth_of_their_calls_for_all_of_the_call():
    episodes = play(person("wrong"), 300)
    assert all(spells(episode) == EXPERT for episode in episodes)
    calls = [episode[begin : begin + length] for episode in episodes for begin, length in EXPERT]
    opposite = [np.array_equal(call[0], DRIVEN * [-1, -1, -1, 1]) for call in calls]
    assert all(np.array_equal(action, call[0]) for call in calls for action in call)
    assert all(wrong or np.array_equal(call[0], DRIVEN) for wrong, call in zip(opposite, calls, strict=True))
    assert np.mean(opposite) == pytest.approx(skills.WRONG, abs=0.04)


@pytest.mark.parametrize("skill", HABITS)
def test_an_episode_of_a_habit_is_the_same_whatever_came_before_it(skill):
    used, fresh = person(skill), person(skill)
    play(used, 30)
    fresh.begin_episode(30)
    used.begin_episode(30)
    for _ in range(PERIODS):
        assert np.array_equal(fresh.propose(), used.propose())


def supervisor(steps, seed=0):
    """The policy wants what takes `steps` to success; the supervisor's own way takes 10."""
    judge = Supervisor(FakeExpert(), np.random.default_rng(seed), lambda a: 10.0 if a is DRIVEN else steps)
    judge.hear(np.zeros(4, np.float32))
    return judge


@pytest.mark.parametrize(("steps", "share"), [(10.0, skills.DOUBT), (10.4, skills.DOUBT), (10.6, skills.SURE)])
def test_the_supervisor_takes_over_where_the_policy_wastes_half_a_period(steps, share):
    firsts = [play(supervisor(steps, seed), 1, periods=1)[0][0] is not None for seed in range(1000)]
    assert np.mean(firsts) == pytest.approx(share, abs=0.025)


def test_where_an_action_ends_in_failure_the_supervisor_is_sure():
    assert np.mean([play(supervisor(np.inf, seed), 1, periods=1)[0][0] is not None for seed in range(300)]) > 0.9


def test_the_supervisor_drives_for_four_periods_and_judges_anew():
    judge = supervisor(10.0)
    lengths = [length for episode in play(judge, 200, periods=200) for _, length in spells(episode)]
    whole = [length for length in lengths if length % skills.HOLD == 0]
    assert len(whole) >= 0.95 * len(lengths)
    assert lengths.count(skills.HOLD) > 0.8 * len(lengths)


def test_a_policy_that_wants_nothing_is_no_ground_to_take_over():
    judge = supervisor(np.inf)
    judge.hear(None)
    assert np.mean([episode[0] is not None for episode in play(judge, 200, periods=1)]) < 0.1


def test_the_control_arm_takes_over_by_chance_whatever_the_policy_wants():
    chance = Supervisor(FakeExpert(), np.random.default_rng(0))
    episodes = play(chance, 400)
    free = sum(action is None for episode in episodes for action in episode)
    begun = sum(len(spells(episode)) for episode in episodes)
    assert begun / (free + begun) == pytest.approx(skills.CHANCE, abs=0.02)


def test_the_channel_passes_on_what_the_policy_wants():
    judge = supervisor(np.inf)
    channel = ScriptedCorrector(judge)
    channel.hear(None)
    assert judge._wanted is None
    ScriptedCorrector(stuck()).hear(None)


def test_every_skill_is_made_from_the_scripts_of_a_task():
    env = make_env(EnvConfig(task="reach"))
    env.reset(seed=0)
    for skill in SKILLS:
        corrector = scripted(skill, env, seed=0)
        corrector.begin_episode(0)
        ScriptedCorrector(corrector).hear(np.zeros(4, np.float32))
        assert any(corrector.propose() is not None for _ in range(100)), skill
    env.close()


def test_a_skill_that_an_environment_has_no_script_for_is_refused_by_name():
    pendulum = GymEnv("Pendulum-v1")
    for skill, lacks in (("lazy", "corrector"), ("random", "expert"), ("value", "steps_to_go")):
        with pytest.raises(UserError, match=f"Pendulum-v1 has no {lacks}"):
            scripted(skill, pendulum, seed=0)
    pendulum.close()


def test_an_unknown_skill_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"human.skill must be one of .* got lasy; did you mean lazy"):
        ActorConfig(skill="lasy")
