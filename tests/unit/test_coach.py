"""What a run's evidence says about intervening: spells, phases, before and after, and advice with its numbers."""

from learning import vector_spec
from test_replay import step

from learner import coach
from learner.coach import Do, Rate, advise, find_phases
from learner.progress import WINDOW, Progress, Spell
from wire.types import Source

SPEC = vector_spec(state=1, actions=1)


def run(*episodes: str) -> Progress:
    """A run of episodes, a letter a step: p by the policy, h by a person; a final ! is a success."""
    progress = Progress()
    for number, text in enumerate(episodes):
        steps, success = text.rstrip("!"), text.endswith("!")
        for t, who in enumerate(steps):
            last = t == len(steps) - 1
            source = Source.HUMAN if who == "h" else Source.POLICY
            progress.add(
                "a", step(number, t, 0.0, source=source, final=0.0 if last else None, success=success and last)
            )
    return progress


FAILS, WINS, HELPED, DRIVEN = "pppppp", "pppp!", "pphhpp", "phhhhh!"


def test_an_intervention_is_a_stretch_without_a_gap_and_ends_with_its_episode():
    episodes = run("phhph", "hhp", "ppp").episodes
    assert [episode.spells for episode in episodes] == [
        (Spell(1, 1, 2), Spell(4, 4, 1)),
        (Spell(5, 0, 2),),
        (),
    ]
    assert [episode.human_steps for episode in episodes] == [3, 2, 0]


def test_streams_that_interleave_keep_their_interventions_apart():
    progress = Progress()
    for t, who in enumerate((Source.HUMAN, Source.HUMAN, Source.POLICY)):
        for stream in ("a", "b"):
            source = who if stream == "a" else Source.POLICY
            progress.add(stream, step(0, t, 0.0, source=source, final=0.0 if t == 2 else None))
    assert [episode.spells for episode in progress.episodes] == [(Spell(0, 0, 2),), ()]


def test_an_actor_that_died_while_somebody_drove_leaves_no_intervention_in_its_next_episode():
    progress = Progress()
    progress.add("a", step(0, 0, 0.0, source=Source.HUMAN))
    progress.add("a", step(1, 0, 0.0, source=Source.HUMAN))
    progress.add("a", step(1, 1, 0.0, final=0.0))
    assert progress.episodes[0].spells == (Spell(1, 0, 1),)


def test_human_minutes_are_steps_by_the_rate():
    assert run("hhhp" * 150).human_minutes(SPEC.rate_hz) == 450 / 20 / 60


def test_who_drives_most_of_an_episode_did_not_correct_and_a_last_nudge_is_a_correction():
    short, often, most, nudged, failed = run("ppphhppp!", "hhphhphh", "hhhp!", "pppppph!", "pppppph").episodes
    drove = [coach.drove_it(episode) for episode in (short, often, most, nudged, failed)]
    assert drove == [False, False, True, False, False]
    ended = [episode.finished_by_human for episode in (short, often, most, nudged, failed)]
    assert ended == [False, False, False, True, False]


def test_phases_are_parted_by_more_than_ten_episodes_without_help():
    episodes = run(*[FAILS] * 5, HELPED, *[FAILS] * 10, HELPED, *[WINS] * 11, HELPED, *[WINS] * 30).episodes
    first, second = find_phases(episodes)
    assert (first.first, first.last, first.helped, first.human_steps) == (5, 16, 2, 4)
    assert (first.from_step, first.to_step) == (32, episodes[16].at_step)
    assert (first.before, first.after) == (Rate(0, 5), Rate(11, 11))
    assert (second.first, second.last, second.before, second.after) == (28, 28, Rate(11, 20), Rate(20, 20))


def test_a_run_without_help_has_no_phase_and_one_of_help_alone_has_nothing_around_it():
    assert find_phases([]) == []
    assert find_phases(run(WINS, FAILS).episodes) == []
    (phase,) = find_phases(run(*[DRIVEN] * 4).episodes)
    assert (phase.before, phase.after) == (Rate(0, 0), Rate(0, 0))


def test_the_next_episode_alone_is_told_apart_by_how_long_the_help_was():
    episodes = run(HELPED, WINS, DRIVEN, FAILS, HELPED, DRIVEN, WINS, DRIVEN).episodes
    assert coach.next_alone(episodes, driven=False) == Rate(2, 2)
    assert coach.next_alone(episodes, driven=True) == Rate(1, 2)


def test_two_rates_differ_only_where_their_intervals_do_not_touch():
    assert Rate(0, 20).apart_from(Rate(15, 20))
    assert not Rate(8, 20).apart_from(Rate(12, 20))
    assert not Rate(0, 0).apart_from(Rate(20, 20))
    assert str(Rate(15, 20)) == "15 of 20 (75%, interval 53% to 89%)"


def told(*episodes: str) -> tuple[Do, str]:
    advice = advise(run(*episodes).episodes)
    return advice.do, advice.why


def test_an_empty_run_and_a_few_episodes_are_no_evidence_and_say_so():
    assert told() == (Do.WAIT, "no episode has ended yet")
    do, why = told(WINS)
    assert do is Do.HELP
    assert why.startswith("1 episode so far, too few to judge by")


def test_a_person_who_drives_everything_is_told_to_let_the_policy_try():
    do, why = told(*["hhhh!"] * 12)
    assert do is Do.LET_GO
    assert "drove 100% of the steps of the last 12 episodes" in why


def test_high_success_alone_means_hands_off_with_its_interval():
    do, why = told(*[FAILS] * 10, *[HELPED] * 5, *[WINS] * 20)
    assert (do, why) == (
        Do.STOP,
        "success alone stands at 20 of 20 (100%, interval 84% to 100%); help teaches little from here on",
    )


def test_success_that_fell_calls_for_help_and_says_how_sure_that_is():
    do, why = told(*[WINS] * 20, *[WINS] * 10, *[FAILS] * 20)
    assert do is Do.HELP
    assert "fell from 100% to 0 of 20" in why
    assert "more than chance explains" in why
    do, why = told(*[WINS] * 18, *[FAILS] * 2, *[WINS] * 14, *[FAILS] * 6)
    assert do is Do.HELP
    assert "may show that by chance" in why


def test_long_help_is_told_apart_from_short_help():
    assert told(*[DRIVEN, FAILS] * 8)[0] is Do.SHORTER
    do, why = told(*[HELPED, FAILS] * 8)
    assert do is Do.GO_ON
    assert why.startswith("corrections in 8 of the last 16 episodes, success alone 0 of 16")


def test_sparse_help_while_it_fails_should_come_more_often():
    do, why = told(HELPED, *[FAILS] * 15)
    assert do is Do.HELP
    assert "only 1 of these episodes had help" in why


def test_without_help_it_is_left_alone_while_it_rises_and_helped_where_it_does_not():
    do, why = told(*[FAILS] * 20, *[WINS, FAILS] * 10)
    assert do is Do.LEAVE
    assert why.startswith("nobody has helped in this run, and success alone rose from 0% to 10 of 20")
    do, why = told(HELPED, *[FAILS] * 40)
    assert do is Do.HELP
    assert why.startswith("nobody has helped in the last 20 episodes")
    assert "after 0% in the 20 before" in why


def test_best_before_looks_at_full_windows_before_the_last_one_only():
    assert coach.best_before(run(*[WINS] * (2 * WINDOW - 1)).episodes) == Rate(0, 0)
    assert coach.best_before(run(*[WINS] * WINDOW, *[FAILS] * WINDOW).episodes) == Rate(WINDOW, WINDOW)
