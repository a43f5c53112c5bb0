"""A transition's next observation is the one that followed, whatever came between."""

import dataclasses

import numpy as np
import pytest
from experience import make_spec, make_step
from hypothesis import given
from hypothesis import strategies as st
from learning import vector_spec

from learner.replay import Replay, ReplayFullError
from wire.types import Source, Step

SPEC = vector_spec(state=1, actions=1)


def value(number: float) -> dict[str, np.ndarray]:
    return {"state": np.array([number], np.float32)}


def step(episode: int, t: int, seen: float, *, final: float | None = None, **changes: object) -> Step:
    """A step whose observation, action and reward are one number each; `final` ends its episode."""
    fields: dict = {
        "episode": episode,
        "t": t,
        "observation": value(seen),
        "action": np.array([seen / 100], np.float32),
        "source": Source.POLICY,
        "reward": seen,
        "terminated": final is not None,
        "truncated": False,
        "final_observation": None if final is None else value(final),
    }
    return Step(**fields | changes)


def pairs(replay: Replay, rows: list[int]) -> list[tuple[float, float]]:
    got = replay.gather(np.array(rows, np.int64))
    return list(
        zip(got["observation"]["state"][:, 0].tolist(), got["next_observation"]["state"][:, 0].tolist(), strict=True)
    )


def members(ring) -> list[int]:
    return [int(ring._items[(ring._start + i) % len(ring._items)]) for i in range(len(ring))]


def test_steps_become_transitions_across_episodes_and_interleaved_streams():
    replay = Replay(SPEC, 20)
    for stream, given_step in [
        ("a", step(0, 0, 1)),
        ("b", step(0, 0, 50)),
        ("a", step(0, 1, 2)),
        ("b", step(0, 1, 51, final=52)),
        ("a", step(0, 2, 3, final=4)),
        ("b", step(1, 0, 60)),
        ("a", step(1, 0, 5)),
        ("a", step(1, 1, 6)),
    ]:
        replay.add(stream, given_step)
    assert sorted(pairs(replay, members(replay.online))) == [(1, 2), (2, 3), (3, 4), (5, 6), (50, 51), (51, 52)]
    assert replay.orphans == 0


def test_columns_hold_the_executed_action_the_reward_and_a_mask_that_only_an_ending_clears():
    replay = Replay(SPEC, 10)
    replay.add("a", step(0, 0, 1))
    replay.add("a", step(0, 1, 2, final=3))
    replay.add("a", step(1, 0, 4, final=5, terminated=False, truncated=True))
    got = replay.gather(np.array(members(replay.online)))
    np.testing.assert_allclose(got["action"][:, 0], [0.01, 0.02, 0.04])
    np.testing.assert_array_equal(got["reward"], [1, 2, 4])
    np.testing.assert_array_equal(got["mask"], [1, 0, 1])


@pytest.mark.parametrize("next_step", [step(1, 0, 9), step(0, 3, 9), step(0, 0, 9), step(5, 1, 9)])
def test_a_step_whose_follower_never_came_is_an_orphan_and_no_transition(next_step: Step):
    replay = Replay(SPEC, 10)
    replay.add("a", step(0, 0, 1))
    replay.add("a", next_step)
    assert (len(replay), replay.orphans) == (0, 1)


def test_what_was_held_or_seen_by_stale_senses_is_no_transition_from_either_side():
    replay = Replay(SPEC, 10)
    for t in range(6):
        replay.add("a", step(0, t, t, held=t == 2, final=9.0 if t == 5 else None))
    assert pairs(replay, members(replay.online)) == [(0, 1), (3, 4), (4, 5), (5, 9)]
    assert (replay.held, replay.orphans) == (2, 0)
    replay.add("b", step(0, 0, 50))
    replay.add("b", step(0, 1, 51, held=True, final=52.0))
    assert (len(replay), replay.held, replay.orphans) == (4, 4, 0)
    replay.add("c", step(0, 0, 60, held=True))
    replay.add("c", step(1, 0, 61))
    assert (len(replay), replay.held, replay.orphans) == (4, 4, 1)
    assert int((replay._references > 0).sum()) == 7


def test_an_intervention_is_in_both_lists_a_demonstration_only_in_the_prior_one():
    replay = Replay(SPEC, 10)
    for t, source in enumerate([Source.POLICY, Source.HUMAN, Source.SCRIPT, Source.POLICY]):
        replay.add("a", step(0, t, t, source=source, final=9.0 if t == 3 else None))
    for t in range(2):
        replay.add("d", step(0, t, 20 + t, source=Source.DEMO, final=29.0 if t == 1 else None))
    assert pairs(replay, members(replay.online)) == [(0, 1), (1, 2), (2, 3), (3, 9)]
    assert pairs(replay, members(replay.prior)) == [(1, 2), (2, 3), (20, 21), (21, 29)]
    assert len(replay) == 6


def test_when_full_the_oldest_online_makes_room_and_prior_data_stays():
    replay = Replay(SPEC, 4)
    replay.add("d", step(0, 0, 20, source=Source.DEMO, final=21))
    for t in range(9):
        replay.add("a", step(0, t, t, source=Source.HUMAN if t == 1 else Source.POLICY))
    assert pairs(replay, members(replay.prior)) == [(20, 21), (1, 2)]
    assert pairs(replay, members(replay.online)) == [(6, 7), (7, 8)]
    assert len(replay) == 4


def test_thousands_of_interventions_in_a_row_are_stepped_over_when_room_is_made():
    capacity = 3000
    replay = Replay(SPEC, capacity)
    for t in range(capacity + 1):
        replay.add("a", step(0, t, t, source=Source.HUMAN if t < capacity - 1 else Source.POLICY))
    replay.add("a", step(0, capacity + 1, 7))
    assert len(replay.prior) == capacity - 1
    assert pairs(replay, members(replay.online)) == [(capacity, 7)]


def test_an_episode_that_was_thrown_away_is_forgotten_and_no_other():
    replay = Replay(SPEC, 20)
    for given_step in [
        step(0, 0, 1),
        step(0, 1, 2, final=3),
        step(1, 0, 10, source=Source.HUMAN),
        step(1, 1, 11),
    ]:
        replay.add("a", given_step)
    replay.add("b", step(0, 0, 50))
    replay.add("b", step(0, 1, 51))
    replay.add("a", step(1, 2, 12, final=13, terminated=False, truncated=True, discarded=True))
    replay.add("a", step(2, 0, 20, final=21))
    assert pairs(replay, members(replay.online)) == [(1, 2), (2, 3), (50, 51), (20, 21)]
    assert (pairs(replay, members(replay.prior)), replay.discarded, len(replay)) == ([], 3, 4)
    # Nothing of it is left behind: 7 observations of the four, and one that waits for its follower.
    assert int((replay._references > 0).sum()) == 2 + 1 + 2 + 2


def test_what_an_episode_has_lost_to_newer_ones_is_not_forgotten_twice():
    replay = Replay(SPEC, 3)
    for t in range(6):
        replay.add("a", step(0, t, t))
    replay.add("b", step(0, 0, 50))
    replay.add("b", step(0, 1, 51))
    replay.add("a", step(0, 6, 6, final=7, terminated=False, truncated=True, discarded=True))
    assert pairs(replay, members(replay.online)) == [(50, 51)]
    replay.add("b", step(0, 2, 52))
    assert pairs(replay, members(replay.online)) == [(50, 51), (51, 52)]
    assert sorted(replay._free_rows + members(replay.online)) == [0, 1, 2]


def test_an_episode_that_broke_off_is_not_thrown_away_with_the_next():
    replay = Replay(SPEC, 9)
    for given_step in [
        step(0, 0, 1),
        step(0, 1, 2),
        step(0, 2, 3),
        step(1, 1, 5),
        step(1, 2, 6, final=7, terminated=False, truncated=True, discarded=True),
    ]:
        replay.add("a", given_step)
    assert pairs(replay, members(replay.online)) == [(1, 2), (2, 3)]


def test_a_replay_full_of_prior_data_says_which_key_to_raise():
    replay = Replay(SPEC, 2)
    for t in range(3):
        replay.add("d", step(0, t, t, source=Source.DEMO))
    with pytest.raises(ReplayFullError, match=r"2 transitions are all .*raise learner.capacity"):
        replay.add("d", step(0, 3, 3, source=Source.DEMO))


def test_every_observation_is_stored_once():
    replay = Replay(SPEC, 100)
    for t in range(10):
        replay.add("a", step(0, t, t, final=10.0 if t == 9 else None))
    assert int((replay._references > 0).sum()) == 11


def test_moments_are_those_of_what_was_seen_and_what_never_moved_has_unit_scale():
    replay = Replay(vector_spec(state=2, actions=1), 10)
    for t, seen in enumerate([1.0, 3.0]):
        both = {"state": np.array([seen, 5.0], np.float32)}
        replay.add("a", step(0, t, 0, observation=both, final_observation=both if t else None, terminated=bool(t)))
    moments = replay.vector_moments()
    np.testing.assert_allclose(moments["mean"], [(1 + 3 + 3) / 3, 5], rtol=1e-6)
    np.testing.assert_allclose(moments["std"], [np.std([1, 3, 3]), 1.0], rtol=1e-5)


def test_pictures_come_back_bit_by_bit():
    spec = make_spec()
    replay = Replay(spec, 10)
    for number in range(5):
        replay.add("a", make_step(spec, number))
    got = replay.gather(np.array([members(replay.online)]))
    for i in range(4):
        for name in spec.observation:
            np.testing.assert_array_equal(got["observation"][name][0, i], make_step(spec, i).observation[name])
            np.testing.assert_array_equal(got["next_observation"][name][0, i], make_step(spec, i + 1).observation[name])


@dataclasses.dataclass
class Actor:
    """An actor as the naive model sees it: where it is, and which number it saw last."""

    episode: int = 0
    t: int = 0
    last: tuple[float, Source] | None = None


EVENTS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["go", "go", "go", "end", "cut", "die"]),
        st.sampled_from([Source.POLICY, Source.POLICY, Source.HUMAN, Source.DEMO]),
    ),
    max_size=60,
)


@given(EVENTS, st.integers(3, 12))
def test_whatever_the_streams_do_every_transition_is_one_that_happened(events: list, capacity: int):
    replay, actors, happened = Replay(SPEC, capacity), {name: Actor() for name in "abc"}, []
    for number, (name, event, source) in enumerate(events):
        actor, seen = actors[name], float(number)
        if event == "die":
            actor.episode, actor.t, actor.last = actor.episode + 1, 0, None
            continue
        if actor.last is not None:
            happened.append((actor.last[0], seen, actor.last[1]))
        final = seen + 0.5 if event != "go" else None
        given_step = step(
            actor.episode,
            actor.t,
            seen,
            final=final,
            terminated=event == "end",
            truncated=event == "cut",
            source=source,
        )
        if final is not None:
            happened.append((seen, final, source))
        prior = sum(source is not Source.POLICY for _, _, source in happened)
        if prior > capacity - 2:
            return
        replay.add(name, given_step)
        actor.last = None if final is not None else (seen, source)
        actor.episode, actor.t = (actor.episode + 1, 0) if final is not None else (actor.episode, actor.t + 1)
    prior = [(a, b) for a, b, source in happened if source is not Source.POLICY]
    online = [(a, b) for a, b, source in happened if source is not Source.DEMO]
    assert sorted(pairs(replay, members(replay.prior))) == sorted(prior)
    kept = pairs(replay, members(replay.online))
    assert sorted(kept) == sorted(online[len(online) - len(kept) :])
    assert len(replay) == len({*members(replay.online), *members(replay.prior)}) <= capacity
    pending = sum(actor.last is not None for actor in actors.values())
    live = {slot for row in {*members(replay.online), *members(replay.prior)} for slot in _slots(replay, row)}
    assert len(live) <= len(replay._references) - len(replay._free_slots) <= len(live) + pending + 3


def _slots(replay: Replay, row: int) -> tuple[int, int]:
    return int(replay._here[row]), int(replay._next[row])
