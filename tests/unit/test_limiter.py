"""One block of updates per step, whoever is faster."""

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
