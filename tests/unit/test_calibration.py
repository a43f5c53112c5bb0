"""Probabilities, thresholds and rates, against what can be worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.calibration import auc, calibration_error, fit_platt, rates, reliability, sigmoid, threshold_for


def test_platt_finds_the_scale_and_shift_that_the_truth_was_drawn_with():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 20_000)
    truth = (rng.uniform(size=logits.size) < sigmoid(0.5 * logits - 1.0)).astype(int)
    platt = fit_platt(logits, truth)
    assert platt.scale == pytest.approx(0.5, abs=0.03)
    assert platt.shift == pytest.approx(-1.0, abs=0.08)
    assert calibration_error(sigmoid(platt.log_odds(logits)), truth) < 0.01


def test_separable_classes_keep_finite_probabilities():
    logits, truth = np.array([-5.0, -4.0, 4.0, 5.0]), np.array([0, 0, 1, 1])
    p = sigmoid(fit_platt(logits, truth).log_odds(logits))
    assert np.isfinite(p).all()
    assert (p[2:] > 0.5).all()
    assert (p[:2] < 0.5).all()
    assert p.max() < 1.0


def test_calibration_never_turns_the_order_round():
    logits, truth = np.array([3.0, 2.0, -2.0, -3.0]), np.array([0, 0, 1, 1])
    assert fit_platt(logits, truth).scale > 0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=4, max_size=60), st.floats(0, 0.5))
def test_no_more_failures_than_stated_pass_the_threshold(pairs: list[tuple[float, bool]], most: float):
    p, truth = np.array([a for a, _ in pairs]), np.array([int(b) for _, b in pairs])
    threshold = threshold_for(p, truth, most)
    failures = (truth == 0).sum()
    assert 0.5 <= threshold < 1
    certain = ((truth == 0) & (p > 1 - 1e-9)).sum()  # No threshold below 1 shuts these out.
    assert ((truth == 0) & (p >= threshold)).sum() <= max(most * failures, certain)


def test_auc_counts_pairs_and_half_of_the_ties():
    score, truth = np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1])
    assert auc(score, truth) == pytest.approx(3.5 / 4)
    assert math.isnan(auc(score, np.zeros(4)))


def test_rates_add_up_and_say_unknown_where_nothing_can_be_counted():
    found = rates(np.array([0.9, 0.2, 0.7, 0.1]), np.array([1, 1, 0, 0]), 0.5)
    assert (found["accuracy"], found["false_positive_rate"], found["false_negative_rate"]) == (0.5, 0.5, 0.5)
    assert found["n"] == 4
    only = rates(np.array([0.9]), np.array([1]), 0.5)
    assert only["false_positive_rate"] is None
    assert only["auc"] is None


def test_reliability_compares_what_was_said_with_what_was():
    bins = reliability(np.array([0.05, 0.05, 0.95, 1.0]), np.array([0, 1, 1, 1]))
    assert bins == [(pytest.approx(0.05), 0.5, 2), (pytest.approx(0.975), 1.0, 2)]
