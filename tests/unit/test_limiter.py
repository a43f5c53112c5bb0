"""One block of updates per step, whoever is faster."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.limiter import RateLimiter


def test_every_step_is_owed_one_block_and_what_was_waived_none():
    limiter = RateLimiter()
    limiter.arrived = 10
    limiter.waive()
    assert (limiter.debt, limiter.settled) == (0, 10)
    limiter.arrived = 13
    limiter.done += 1
    assert (limiter.debt, limiter.settled) == (2, 11)


@given(st.lists(st.sampled_from(["arrive", "update", "waive"])))
def test_blocks_never_exceed_steps_and_debt_and_settled_always_add_up(events: list[str]):
    limiter = RateLimiter()
    for event in events:
        if event == "arrive":
            limiter.arrived += 1
        elif event == "waive":
            limiter.waive()
        elif limiter.debt > 0:
            limiter.done += 1
        assert limiter.debt >= 0
        assert limiter.settled + limiter.debt == limiter.arrived


@pytest.mark.parametrize("utd", [1, 4, 20])
@pytest.mark.parametrize(
    "speed", [0.01, 0.5, 1.0, 3.0, 100.0], ids=lambda speed: f"learner at {speed:g} times the actor"
)
def test_gradient_steps_per_transition_stay_within_5_percent_over_10k_transitions(utd: int, speed: float):
    """As Reverb's: whoever is faster waits for or catches up with the other, in bursts of any size."""
    rng = random.Random(f"{utd} {speed}")
    limiter = RateLimiter()
    gradient_steps = 0
    while limiter.arrived < 10_000:
        limiter.arrived += rng.randint(0, 5)
        for _ in range(round(rng.random() * 5 * speed)):
            if limiter.debt > 0:
                limiter.done += 1
                gradient_steps += utd
        assert gradient_steps <= utd * limiter.arrived, "never more than the data pays for"
    while limiter.debt > 0:
        limiter.done += 1
        gradient_steps += utd
    ratio = gradient_steps / limiter.arrived
    assert 0.95 * utd <= ratio <= 1.05 * utd
    print(f"\nB4: {ratio:g} gradient steps per transition, set {utd}, over {limiter.arrived} transitions")


def test_a_paused_actor_stops_the_learner_and_its_return_lets_it_go_on():
    limiter = RateLimiter(arrived=3)
    while limiter.debt > 0:
        limiter.done += 1
    assert (limiter.debt, limiter.settled) == (0, 3)
    limiter.arrived += 1
    assert limiter.debt == 1


def test_a_paused_learner_never_stops_the_actor_and_its_return_works_all_of_the_debt_off():
    limiter = RateLimiter()
    for _ in range(10_000):
        limiter.arrived += 1
        assert limiter.debt == limiter.arrived
    blocks = 0
    while limiter.debt > 0:
        limiter.done += 1
        blocks += 1
    assert blocks == 10_000


def test_what_was_waived_before_there_was_anything_to_learn_from_does_not_shift_the_ratio_after():
    limiter = RateLimiter(arrived=500)
    limiter.waive()
    for _ in range(10_000):
        limiter.arrived += 1
        while limiter.debt > 0:
            limiter.done += 1
    assert limiter.done == 10_000
