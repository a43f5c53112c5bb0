"""The tanh-Gaussian is a probability density on (-1, 1), and its mode is what is executed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learning import TINY, make_batch, normaliser

from networks import encoder, policy


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.7, -1.0), (-1.5, 0.5)])
def test_the_log_probability_is_that_of_the_squashed_density(mean: float, log_std: float):
    # p(a) = normal(atanh(a)) / (1 - a^2), in float64, independent of the code under test.
    gaussian = policy.Gaussian(jnp.full((4000, 1), mean), jnp.full((4000, 1), log_std))
    action, log_probability = policy.sample(gaussian, jax.random.key(3))
    a = np.asarray(action, np.float64)[:, 0]
    inside = np.abs(a) < 0.999
    raw, sigma = np.arctanh(a[inside]), np.exp(log_std)
    wanted = -0.5 * ((raw - mean) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi)) - np.log1p(-(a[inside] ** 2))
    np.testing.assert_allclose(np.asarray(log_probability)[inside], wanted, atol=2e-2)
    # And that density integrates to one: its mean over uniform points, times the length of (-1, 1).
    grid = np.linspace(-0.99999, 0.99999, 200_001)
    density = np.exp(-0.5 * ((np.arctanh(grid) - mean) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi)) / (1 - grid**2)
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=5e-3)


def test_the_log_probability_stays_finite_where_the_tanh_saturates():
    action, log_probability = policy.sample(
        policy.Gaussian(jnp.full((100, 2), 30.0), jnp.zeros((100, 2))), jax.random.key(0)
    )
    assert np.isfinite(log_probability).all()
    assert (np.abs(action) <= 1).all()


def test_the_log_probability_of_several_dimensions_is_their_sum():
    both = policy.Gaussian(jnp.asarray([[0.3, -0.4]]), jnp.asarray([[-0.5, 0.2]]))
    action, log_probability = policy.sample(both, jax.random.key(5))
    raw = np.arctanh(np.asarray(action, np.float64))
    sigma = np.exp(np.asarray(both.log_std, np.float64))
    normal = -0.5 * ((raw - np.asarray(both.mean)) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
    assert float(log_probability[0]) == pytest.approx(float((normal - np.log1p(-(np.tanh(raw) ** 2))).sum()), abs=1e-3)


def test_the_spread_is_bounded_whatever_the_head_says():
    params = policy.init(jax.random.key(0), TINY)
    for bias, wanted in ((-100.0, -5.0), (100.0, 2.0)):
        params["head"] = params["head"] | {"b": jnp.full(4, bias)}
        assert (policy.distribution(params, jnp.zeros((1, 3))).log_std == wanted).all()


def test_a_new_policy_is_centred_and_unsaturated():
    params = policy.init(jax.random.key(0), TINY)
    gaussian = policy.distribution(params, jax.random.normal(jax.random.key(1), (100, 3)))
    assert float(jnp.abs(policy.mode(gaussian)).max()) < 0.1
    assert float(jnp.abs(gaussian.log_std).max()) < 0.1


def test_without_a_key_the_policy_acts_by_its_mode_and_with_one_it_explores_around_it():
    params = {
        "encoder": encoder.init(jax.random.key(0), TINY),
        "normaliser": normaliser(TINY),
        "policy": policy.init(jax.random.key(1), TINY),
    }
    seen = {name: value[0] for name, value in make_batch(TINY, 1)["observation"].items()}
    features = encoder.apply(params["encoder"], params["normaliser"], seen, TINY)
    wanted = jnp.tanh(policy.distribution(params["policy"], features).mean)
    np.testing.assert_array_equal(policy.act(params, seen, None, TINY), wanted)
    first, second = (policy.act(params, seen, jax.random.key(k), TINY) for k in (1, 2))
    assert first.shape == wanted.shape == (8, 2)
    assert not np.array_equal(first, second)


def test_a_spread_that_nobody_learns_is_the_same_in_every_state():
    params = policy.with_spread(policy.init(jax.random.key(0), TINY), 0.1)
    gaussian = policy.distribution(params, jax.random.normal(jax.random.key(1), (5, TINY.feature_dim)))
    np.testing.assert_allclose(jnp.exp(gaussian.log_std), 0.1, rtol=1e-5)
