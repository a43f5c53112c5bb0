"""The ensemble's members share nothing."""

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import optax
import pytest
from learning import TINY

from networks import critic, layers
from networks.architecture import ArchitectureError, Critics

pytestmark = pytest.mark.usefixtures("quick_compiles")

FEATURES = jax.random.normal(jax.random.key(7), (6, 3))
ACTIONS = jax.random.uniform(jax.random.key(8), (6, 2), minval=-1)


@pytest.fixture(params=["none", "layer", "batch", "hypersphere"])
def params(request: pytest.FixtureRequest) -> critic.Params:
    return critic.init(jax.random.key(0), TINY, Critics(members=3, norm=request.param))


def test_every_array_has_a_leading_axis_of_members_and_every_weight_matrix_differs(params: critic.Params):
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        assert leaf.shape[0] == 3, path
        if path[-1].key == "w":
            assert not any(np.array_equal(leaf[i], leaf[j]) for i, j in ((0, 1), (0, 2), (1, 2))), path


def test_the_values_are_those_of_each_member_alone(params: critic.Params):
    values = critic.apply(params, FEATURES, ACTIONS)
    assert values.shape == (3, 6)
    for member in range(3):
        alone = jax.tree.map(lambda leaf, i=member: leaf[i : i + 1], params)
        np.testing.assert_allclose(critic.apply(alone, FEATURES, ACTIONS)[0], values[member], atol=1e-5)


def test_the_gradient_of_one_member_touches_no_other_not_even_in_the_last_layer(params: critic.Params):
    gradient = jax.grad(lambda p: jnp.sum(critic.apply(p, FEATURES, ACTIONS)[1]))(params)
    assert float(jnp.abs(gradient["head"]["w"][1]).max()) > 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert not leaf[np.array([0, 2])].any(), path


def test_batch_normalisation_in_training_is_the_textbooks_and_its_moments_are_the_batchs():
    params = layers.mlp_init(jax.random.key(0), 3, (8,), normalise=False, batch=True)
    x = np.asarray(3.0 * FEATURES + 1.0)
    got, moments = layers.mlp_in_training(params, jnp.asarray(x))
    scaled = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
    hidden = scaled @ np.asarray(params["dense_0"]["w"]) + np.asarray(params["dense_0"]["b"])
    wanted = np.maximum((hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-3), 0)
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moments["norm_in"]["mean"], x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments["norm_in"]["variance"], x.var(0), rtol=1e-4)
    # By moments that are kept in full it computes, row by row, what it computed of the whole batch.
    kept = layers.following_moments(params, moments, weight=1.0)
    np.testing.assert_allclose(layers.mlp(kept, jnp.asarray(x[:2])), wanted[:2], rtol=1e-3, atol=1e-4)
    halfway = layers.following_moments(params, moments, weight=0.5)
    np.testing.assert_allclose(halfway["norm_in"]["mean"], x.mean(0) / 2, rtol=1e-5)
    np.testing.assert_array_equal(halfway["dense_0"]["w"], params["dense_0"]["w"])


def test_no_gradient_reaches_what_is_kept():
    told = critic.categorical(2, "batch", 31, (0.0, 1.0))
    params = critic.init(jax.random.key(0), TINY, told)

    def loss(params: critic.Params) -> jax.Array:
        said, _ = critic.logits_in_training(params, FEATURES, ACTIONS)
        alone = critic.logits(params, FEATURES, ACTIONS)
        return jnp.sum(critic.errors(params, said, FEATURES[:, 0])) + jnp.sum(critic.means(params, alone))

    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(params)):
        fixed = path[-1].key in ("mean", "variance", "support")
        assert bool(jnp.any(leaf)) != fixed, path


def test_a_target_among_bins_has_itself_as_mean_also_at_the_ends_of_what_is_possible():
    told = critic.categorical(1, "none", 101, (-1.0, 2.0))
    support = jnp.linspace(*told.span, told.bins)
    target = jnp.array([-1.0, -0.37, 0.0, 1.234, 2.0])
    shares = critic.gaussian_bins(support, target)
    np.testing.assert_allclose(shares.sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(shares @ support, target, atol=2e-3)
    width = float(support[1] - support[0])
    spread = np.sqrt(np.asarray((shares * (support - target[:, None]) ** 2).sum(-1)))
    # A bin wide a Gaussian is once more as wide as a bin's own uniform.
    np.testing.assert_allclose(spread, width * np.sqrt(0.75**2 + 1 / 12), rtol=0.02)


def test_the_error_of_bins_is_the_cross_entropy_and_least_where_the_head_says_the_target():
    told = critic.categorical(1, "none", 41, (0.0, 1.0))
    params = critic.init(jax.random.key(0), TINY, told)
    wanted = critic.gaussian_bins(params["support"][0], jnp.array([0.4]))
    said = jnp.log(wanted + 1e-12)[None]
    entropy = -float(jnp.sum(wanted * jnp.log(wanted + 1e-12)))
    assert float(critic.errors(params, said, jnp.array([0.4]))[0, 0]) == pytest.approx(entropy, rel=1e-3)
    assert float(critic.errors(params, said, jnp.array([0.6]))[0, 0]) > 2 * entropy
    assert float(critic.means(params, said)[0, 0]) == pytest.approx(0.4, abs=2e-3)


def test_bins_say_a_number_that_regression_would_say_after_fitting():
    told = critic.categorical(2, "layer", 51, (0.0, 1.0))
    params = critic.init(jax.random.key(1), TINY, told)
    target = jnp.linspace(0.1, 0.9, 6)
    optimiser = optax.adam(1e-2)
    state = optimiser.init(params)

    def loss(params: critic.Params) -> jax.Array:
        return jnp.mean(critic.errors(params, critic.logits(params, FEATURES, ACTIONS), target))

    @jax.jit
    def step(params: critic.Params, state: optax.OptState) -> tuple[critic.Params, optax.OptState]:
        updates, state = optimiser.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    for _ in range(300):
        params, state = step(params, state)
    np.testing.assert_allclose(critic.apply(params, FEATURES, ACTIONS), [target, target], atol=0.03)


@pytest.mark.parametrize(
    "told",
    [
        Critics(members=0),
        Critics(members=2, bins=1),
        Critics(members=2, bins=11, span=(1.0, 1.0)),
        Critics(members=2, bins=11, span=(0.0, float("nan"))),
    ],
    ids=["none", "one bin", "no span", "nan"],
)
def test_critics_that_make_no_sense_are_no_architecture(told: Critics):
    with pytest.raises(ArchitectureError, match="no ensemble judges"):
        msgspec.structs.replace(TINY, critics=told)
