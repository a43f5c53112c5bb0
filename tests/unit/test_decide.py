"""k of the last n frames, and the gate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.decide import Decider, decide
from wire.scoring import Gate, Rule, ScoringError

OPEN = {"state": np.array([1.0], np.float32)}
SHUT = {"state": np.array([0.0], np.float32)}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 4), st.integers(0, 3))
def test_success_is_k_of_the_last_n_with_the_newest_among_them(p: list[float], k: int, more: int):
    rule = Rule(0.5, k, k + more)
    found = decide(rule, np.array(p), [OPEN] * len(p))
    above = [value >= 0.5 for value in p]
    wanted = [above[i] and sum(above[max(0, i - rule.n + 1) : i + 1]) >= k for i in range(len(p))]
    assert found.tolist() == wanted


def test_a_shut_gate_is_no_success_whatever_the_picture():
    rule = Rule(0.5, 1, 1, Gate("state", 0, low=0.5))
    assert decide(rule, np.array([0.99, 0.99]), [SHUT, OPEN]).tolist() == [False, True]


def test_a_gate_on_what_is_not_there_is_an_error_that_names_it():
    with pytest.raises(ScoringError, match=r"state\[3\]"):
        Gate("state", 3, low=0.0).passes(OPEN)
    with pytest.raises(ScoringError, match="pose"):
        Gate("pose", 0).passes(OPEN)


def test_a_gate_is_shown_as_it_was_written():
    assert str(Gate("proprio", 10, low=0.1)) == "proprio[10] >= 0.1"
    assert str(Gate("state", 0, low=0.0, high=1.0)) == "state[0] >= 0 and <= 1"


def test_zero_is_a_bound():
    assert not Gate("state", 0, high=0.0).passes(OPEN)
    assert Gate("state", 0, high=0.0).passes(SHUT)


def test_an_unknown_probability_counts_as_no_success_and_the_next_episode_starts_anew():
    decider = Decider(Rule(0.5, 2, 3))
    assert [decider.see(p, OPEN) for p in (0.9, None, 0.9)] == [False, False, True]
    decider.begin()
    assert not decider.see(0.9, OPEN)


def test_an_episode_that_somebody_else_ended_needs_no_sequel():
    rule = Rule(0.5, 2, 3)
    assert decide(rule, np.array([0.1, 0.9]), [OPEN] * 2, cut=True).tolist() == [False, True]
    assert decide(rule, np.array([0.1, 0.4]), [OPEN] * 2, cut=True).tolist() == [False, False]


@pytest.mark.parametrize("rule", [Rule(0.0), Rule(1.0), Rule(float("nan")), Rule(0.5, 3, 2), Rule(0.5, 0, 2)])
def test_a_rule_that_makes_no_sense_says_so(rule: Rule):
    assert rule.problem()
