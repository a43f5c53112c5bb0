"""Shaping by a potential, on a small decision process that can be solved exactly."""

import numpy as np
import pytest

from rewards.shaping import LIMIT, potential, shaping

STATES, ACTIONS, DISCOUNT = 6, 3, 0.9
RNG = np.random.default_rng(4)
NEXT = RNG.dirichlet(np.ones(STATES + 1), (STATES, ACTIONS))
"""Probabilities of the next state; the last one is the end."""
REWARD = RNG.normal(size=(STATES, ACTIONS, STATES + 1))


def solve(reward: np.ndarray) -> np.ndarray:
    """Optimal action values by value iteration; nothing follows the end."""
    q = np.zeros((STATES, ACTIONS))
    for _ in range(2000):
        value = np.append(q.max(1), 0.0)
        q = (NEXT * (reward + DISCOUNT * value)).sum(2)
    return q


def shaped(phi: np.ndarray, *, end: float = 0.0, discount: float = DISCOUNT) -> np.ndarray:
    """The rewards with the shaping of every transition; `end` is the potential that the end would have by itself."""
    found = REWARD.copy()
    everywhere = np.append(phi, end)
    for state in range(STATES):
        for action in range(ACTIONS):
            terminated = np.arange(STATES + 1) == STATES
            found[state, action] += shaping(np.full(STATES + 1, phi[state]), everywhere, terminated, discount)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_values_shift_by_the_potential_and_the_best_action_stays_the_best(seed: int):
    phi = potential(np.random.default_rng(seed).normal(0, 8, STATES), scale=2.0)
    plain, with_potential = solve(REWARD), solve(shaped(phi, end=3.0))
    np.testing.assert_allclose(with_potential, plain - phi[:, None], atol=1e-9)
    np.testing.assert_array_equal(with_potential.argmax(1), plain.argmax(1))


def test_a_potential_that_outlives_the_end_would_change_the_values():
    """Why terminal transitions need phi(s') = 0: this is what leaving it in does."""
    phi = potential(RNG.normal(0, 8, STATES), scale=2.0)
    wrong = REWARD + DISCOUNT * np.append(phi, 3.0) - phi[:, None, None]
    assert np.abs(solve(wrong) - (solve(REWARD) - phi[:, None])).max() > 0.1


def test_paying_the_probability_itself_would_change_the_best_action():
    """A state near success, from which success is a risk: paid for staying, the best policy stays for ever."""
    stay, finish = 0, 1
    p = 0.9
    value_of_staying_paid = p / (1 - DISCOUNT)
    value_of_finishing = 1.0
    assert value_of_staying_paid > value_of_finishing
    # With the potential: staying gains (discount - 1) phi for ever, finishing loses phi once, whatever phi is.
    phi = float(potential(np.array(np.log(p / (1 - p))), 1.0))
    staying = shaping(np.array([phi]), np.array([phi]), np.array([False]), DISCOUNT)[0] / (1 - DISCOUNT)
    finishing = 1.0 + shaping(np.array([phi]), np.array([0.0]), np.array([True]), DISCOUNT)[0]
    assert [staying, finishing].index(max(staying, finishing)) == finish != stay


def test_an_episodes_shaping_sums_up_to_the_potential_it_began_with():
    phi = potential(RNG.normal(0, 8, 9), scale=1.0)
    terminated = np.arange(8) == 7
    parts = shaping(phi[:-1], phi[1:], terminated, DISCOUNT)
    assert (DISCOUNT ** np.arange(8) * parts).sum() == pytest.approx(-phi[0])


def test_a_time_limit_keeps_the_potential():
    kept = shaping(np.array([0.0]), np.array([1.0]), np.array([False]), DISCOUNT)
    assert kept.tolist() == [DISCOUNT]


def test_certainty_is_bounded_and_nan_is_refused():
    assert potential(np.array([1e9, -1e9, 0.0]), 0.5).tolist() == [0.5, -0.5, 0.0]
    assert potential(np.array([LIMIT]), 1.0)[0] == 1.0
    with pytest.raises(ValueError, match="not finite"):
        shaping(np.array([np.nan]), np.array([0.0]), np.array([False]), DISCOUNT)
    with pytest.raises(ValueError, match="discount"):
        shaping(np.zeros(1), np.zeros(1), np.zeros(1, bool), 1.5)
