"""What counts as the policy's own success, and when a rate was reached."""

import numpy as np
from test_replay import SPEC, step

from learner.progress import WINDOW, Progress
from learner.summary import summarise
from wire.types import Source


def play(progress: Progress, episode: int, *, success: bool, helped: bool = False, length: int = 3) -> None:
    for t in range(length):
        source = Source.SCRIPT if helped and t == 0 else Source.POLICY
        last = t == length - 1
        progress.add(
            "a",
            step(episode, t, 0.5, source=source, final=1.0 if last else None, success=success and last),
        )


def test_success_with_help_is_not_the_policys():
    progress = Progress()
    play(progress, 0, success=True, helped=True)
    play(progress, 1, success=True)
    assert [episode.alone for episode in progress.episodes] == [False, True]
    assert progress.success_rate == 0.5
    assert progress.intervention_rate == 1 / 6
    assert (progress.env_steps, progress.human_steps) == (6, 1)
    assert progress.episodes[1].at_step == 6
    assert progress.episodes[1].episode_return == 1.5


def test_an_episode_that_was_thrown_away_counts_in_steps_and_in_no_rate():
    progress = Progress()
    for t, final in ((0, None), (1, 1.0)):
        progress.add("a", step(0, t, 0.5, final=final, source=Source.HUMAN, success=True, discarded=final is not None))
    assert (progress.env_steps, progress.human_steps, progress.episodes) == (2, 2, [])
    play(progress, 1, success=True)
    assert (progress.success_rate, progress.episodes[0].length, progress.episodes[0].human_steps) == (1.0, 3, 0)


def test_rates_look_at_the_last_window_only_and_are_reached_by_a_full_one():
    progress = Progress()
    play(progress, 0, success=False, length=10)
    for episode in range(1, WINDOW):
        play(progress, episode, success=True)
    assert progress.success_rate == 0.95
    assert progress.reached(0.95)
    assert not progress.reached(1.0)
    play(progress, WINDOW, success=True)
    assert progress.success_rate == 1.0
    assert progress.episode_length == 3.0


def test_steps_in_which_the_robot_was_held_are_counted_by_episode_and_in_all():
    progress = Progress()
    for t in range(4):
        progress.add("a", step(0, t, 0.0, held=t in (1, 2), final=1.0 if t == 3 else None))
    progress.add("a", step(1, 0, 0.0, held=True))
    assert [episode.held_steps for episode in progress.episodes] == [2]
    assert summarise(progress, SPEC, agent="rlpd", seed=0)["held_steps"] == 3


def test_half_a_window_reaches_nothing():
    progress = Progress()
    for episode in range(WINDOW - 1):
        play(progress, episode, success=True)
    assert not progress.reached(0.1)
    assert progress.steps_to(0.1) is None
    assert progress.curve() == []


def test_steps_to_a_rate_is_where_a_full_window_first_stood_at_it():
    progress = Progress()
    for episode in range(4):
        play(progress, episode, success=False)
    for episode in range(4, 40):
        play(progress, episode, success=episode < 30)
    # 16 of 20 alone after 20 episodes, 19 of 20 after 23.
    assert progress.steps_to(0.80) == 60
    assert progress.steps_to(0.95) == 69
    assert progress.success_rate == 0.5
    facts = summarise(progress, SPEC, agent="rlpd", seed=3)
    assert (facts["steps_to_80"], facts["steps_to_95"], facts["episodes"]) == (60, 69, 40)


def test_an_episode_that_an_actor_left_without_an_end_does_not_run_into_the_next():
    progress = Progress()
    progress.add("a", step(0, 0, 7.0, source=Source.HUMAN))
    play(progress, 1, success=True)
    assert len(progress.episodes) == 1
    assert (progress.episodes[0].length, progress.episodes[0].episode_return) == (3, 1.5)
    assert progress.episodes[0].alone
    assert progress.env_steps == 4


def test_streams_are_counted_apart():
    progress = Progress()
    progress.add("a", step(0, 0, 1.0))
    progress.add("b", step(0, 0, 10.0))
    assert progress.add("a", step(0, 1, 1.0, final=0.0)).episode_return == 2.0
    assert progress.add("b", step(0, 1, 10.0, final=0.0)).episode_return == 20.0


def test_human_steps_until_a_rate_was_reached_are_those_of_all_episodes_before():
    progress = Progress()
    for episode in range(WINDOW + 5):
        play(progress, episode, success=True, helped=episode < 5)
    assert progress.steps_to(0.95) == 3 * (WINDOW + 4)  # The window then holds one episode with help.
    assert progress.human_steps_to(0.95) == 5
    assert progress.human_steps_to(0.95) == progress.episodes[-1].human_so_far
    assert Progress().human_steps_to(0.5) is None


def test_toggles_are_counted_within_an_episode_for_every_gripper():
    progress = Progress(grippers=(0, 2))
    commands = [(1, 1), (0.2, -1), (-1, -1), (-0.1, 1)]
    for episode in range(2):
        for t, (left, right) in enumerate(commands):
            action = np.array([left, 0.0, right], np.float32)
            progress.add("a", step(episode, t, 0.5, action=action, final=1.0 if t == 3 else None))
    assert [episode.toggles for episode in progress.episodes] == [3, 3]
    assert progress.toggles == 3.0
    assert summarise(progress, SPEC, agent="rlpd", seed=0)["gripper_toggles_per_episode"] == 3.0


def test_without_a_gripper_there_are_no_toggles():
    progress = Progress()
    play(progress, 0, success=True)
    assert progress.episodes[0].toggles is None
    assert progress.toggles is None
