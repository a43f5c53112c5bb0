"""The layers compute what the textbook says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks import layers


def textbook(gain: jax.Array, offset: jax.Array, x: jax.Array, epsilon: float) -> jax.Array:
    mean = jnp.mean(x, axis=-1, keepdims=True)
    return gain * (x - mean) / jnp.sqrt(jnp.var(x, axis=-1, keepdims=True) + epsilon) + offset


@pytest.mark.parametrize("shape", [(7,), (5, 7), (3, 5, 7)])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 100.0])
def test_layer_norm_and_its_gradient_equal_the_textbook_formula(shape: tuple[int, ...], scale: float):
    keys = jax.random.split(jax.random.key(1), 4)
    x = scale * jax.random.normal(keys[0], shape) + scale
    params = {"gain": jax.random.normal(keys[1], (7,)), "offset": jax.random.normal(keys[2], (7,))}
    weights = jax.random.normal(keys[3], shape)

    def ours(params: layers.Params, x: jax.Array) -> jax.Array:
        return jnp.sum(weights * layers.layer_norm(params, x))

    def theirs(params: layers.Params, x: jax.Array) -> jax.Array:
        return jnp.sum(weights * textbook(params["gain"], params["offset"], x, 1e-6))

    np.testing.assert_allclose(
        layers.layer_norm(params, x), textbook(params["gain"], params["offset"], x, 1e-6), rtol=2e-4, atol=2e-4
    )
    got, wanted = jax.grad(ours, (0, 1))(params, x), jax.grad(theirs, (0, 1))(params, x)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3 * max(1.0, float(jnp.abs(b).max())))


def test_layer_norm_of_a_constant_row_is_its_offset():
    params = layers.layer_norm_init(4) | {"offset": jnp.arange(4.0)}
    np.testing.assert_allclose(layers.layer_norm(params, jnp.full((2, 4), 3.0)), [[0, 1, 2, 3]] * 2, atol=1e-3)


def test_dense_is_affine_and_starts_within_the_xavier_bound_and_without_bias():
    params = layers.dense_init(jax.random.key(0), 30, 50, scale=0.5)
    bound = 0.5 * (6 / 80) ** 0.5
    assert 0.8 * bound < float(jnp.abs(params["w"]).max()) <= bound
    assert not params["b"].any()
    x = jnp.arange(30.0)
    np.testing.assert_allclose(layers.dense(params | {"b": jnp.ones(50)}, x), x @ params["w"] + 1, rtol=1e-5)


@pytest.mark.parametrize("normalise", [False, True])
def test_every_hidden_layer_is_dense_then_norm_then_relu(normalise: bool):
    params = layers.mlp_init(jax.random.key(0), 3, (5, 4), normalise=normalise)
    names = {"dense_0", "dense_1"} | ({"norm_0", "norm_1"} if normalise else set())
    assert set(params) == names
    x = jax.random.normal(jax.random.key(1), (6, 3))
    wanted = x
    for i in range(2):
        wanted = wanted @ params[f"dense_{i}"]["w"] + params[f"dense_{i}"]["b"]
        if normalise:
            wanted = textbook(params[f"norm_{i}"]["gain"], params[f"norm_{i}"]["offset"], wanted, 1e-6)
        wanted = jnp.maximum(wanted, 0)
    np.testing.assert_allclose(layers.mlp(params, x), wanted, rtol=1e-4, atol=1e-5)
