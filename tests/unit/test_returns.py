"""Returns-to-go are those of the episode, and where a time limit cut it, no more than what could have followed."""

import numpy as np
import pytest
from learning import vector_spec
from test_replay import step

from learner.replay import Replay
from learner.returns import returns_to_go

SPEC = vector_spec(state=1, actions=1)


def test_an_episode_that_ended_is_worth_its_discounted_rewards():
    np.testing.assert_allclose(returns_to_go([0.0, 0.0, 1.0], terminated=True, discount=0.5), [0.25, 0.5, 1.0])


@pytest.mark.parametrize(("rewards", "tail"), [([0.0, 0.0], 0.0), ([1.0, 1.0], 0.0), ([-1.0, -1.0], -2.0)])
def test_a_time_limit_counts_its_worst_reward_for_ever_and_no_good_one(rewards: list[float], tail: float):
    got = returns_to_go(rewards, terminated=False, discount=0.5)
    assert got[-1] == rewards[-1] + 0.5 * tail
    assert got[0] == rewards[0] + 0.5 * got[-1]


def test_without_discount_a_failure_that_goes_on_has_no_lower_bound():
    assert returns_to_go([-1.0], terminated=False, discount=1.0)[0] == -np.inf


def seen_returns(replay: Replay) -> dict[float, float]:
    rows, _ = replay.members()
    batch = replay.gather(rows)
    return dict(
        zip(batch["observation"]["state"][:, 0].tolist(), batch["return_to_go"].tolist(), strict=True)  # type: ignore[call-overload]
    )


def test_the_replay_knows_returns_when_an_episode_is_over_and_not_before():
    replay = Replay(SPEC, 10, discount=0.5)
    replay.add("a", step(0, 0, 1, reward=0.0))
    replay.add("b", step(0, 0, 7, reward=0.0))
    replay.add("a", step(0, 1, 2, reward=0.0))
    assert seen_returns(replay) == {1.0: -np.inf}
    replay.add("a", step(0, 2, 3, reward=4.0, final=9.0))
    assert seen_returns(replay) == {1.0: 1.0, 2.0: 2.0, 3.0: 4.0}


def test_an_episode_with_a_step_missing_has_no_returns():
    replay = Replay(SPEC, 10, discount=0.5)
    for t in (0, 2, 3):
        replay.add("a", step(0, t, t, reward=1.0, final=9.0 if t == 3 else None))
    assert set(seen_returns(replay).values()) == {-np.inf}


def test_held_steps_form_no_transition_and_still_count_for_the_returns_before_them():
    replay = Replay(SPEC, 10, discount=0.5)
    for t in range(4):
        replay.add("a", step(0, t, t, reward=float(t == 3), held=t == 1, final=9.0 if t == 3 else None))
    assert seen_returns(replay) == {2.0: 0.5, 3.0: 1.0}


def test_a_row_that_is_used_again_forgets_its_return():
    replay = Replay(SPEC, 2, discount=0.5)
    for t in range(2):
        replay.add("a", step(0, t, t, reward=1.0, final=9.0 if t == 1 else None))
    for t in range(2):
        replay.add("a", step(1, t, 10 + t, reward=1.0))
    assert seen_returns(replay)[10.0] == -np.inf


def test_episodes_of_interleaved_streams_are_told_apart():
    replay = Replay(SPEC, 10)
    for t in range(3):
        for stream in "ab":
            replay.add(stream, step(0, t, t, final=9.0 if t == 2 else None))
    rows, episodes = replay.members()
    assert len(rows) == 6
    assert sorted(np.unique(episodes, return_counts=True)[1]) == [3, 3]


@pytest.mark.parametrize("late", ["success", "reward"])
def test_a_reward_that_a_label_changes_while_the_episode_is_under_way_leaves_its_returns_unknown(late: str):
    replay = Replay(SPEC, 10, discount=0.5)
    for t in range(3):
        replay.add("a", step(0, t, t, reward=0.0), t + 1)
    if late == "success":
        assert replay.relabel("a", 2, success=True)
    else:
        assert replay.reward("a", 2, 1.0)
    replay.add("a", step(0, 3, 3, reward=0.0, final=9.0), 4)
    for t in range(2):
        replay.add("a", step(1, t, 10 + t, reward=float(t), final=19.0 if t else None), 5 + t)
    assert seen_returns(replay) == dict.fromkeys((0.0, 1.0, 2.0, 3.0), -np.inf) | {10.0: 0.5, 11.0: 1.0}


def test_a_label_that_changes_no_reward_of_the_episode_under_way_leaves_its_returns_be():
    replay = Replay(SPEC, 10, discount=0.5)
    for t in range(2):
        replay.add("a", step(0, t, t, reward=1.0, final=9.0 if t else None), 1 + t)
    for t in range(2):
        replay.add("a", step(1, t, 10 + t, reward=0.0), 3 + t)
    replay.relabel("a", 3, success=False)
    replay.relabel("a", 2, success=False)  # Of the episode before it.
    replay.add("a", step(1, 2, 12, reward=1.0, final=19.0), 5)
    assert seen_returns(replay) == {0.0: -np.inf, 1.0: -np.inf, 10.0: 0.25, 11.0: 0.5, 12.0: 1.0}


def test_a_label_that_changes_a_reward_makes_its_episodes_returns_unknown_and_no_others():
    replay = Replay(SPEC, 10, discount=0.5)
    for stream, first in (("a", 1), ("b", 5)):
        replay.add(stream, step(0, 0, first, reward=0.0), 1)
        replay.add(stream, step(0, 1, first + 1, reward=1.0, final=9.0), 2)
    known = {1.0: 0.5, 2.0: 1.0, 5.0: 0.5, 6.0: 1.0}
    assert seen_returns(replay) == known
    replay.relabel("a", 2, success=True)
    assert seen_returns(replay) == known, "it was a success already"
    replay.relabel("a", 2, success=False)
    assert seen_returns(replay) == known | {1.0: -np.inf, 2.0: -np.inf}
