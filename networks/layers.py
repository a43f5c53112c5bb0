"""Dense layers, layer normalisation and multi-layer perceptrons over plain dictionaries of arrays."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

Params = dict[str, Any]
"""A nested dictionary of arrays."""


def dense_init(key: jax.Array, n_in: int, n_out: int, scale: float = 1.0) -> Params:
    """Xavier-uniform weights of shape (n_in, n_out), times `scale`, and a zero bias."""
    bound = scale * (6.0 / (n_in + n_out)) ** 0.5
    return {"w": jax.random.uniform(key, (n_in, n_out), minval=-bound, maxval=bound), "b": jnp.zeros(n_out)}


def dense(params: Params, x: jax.Array) -> jax.Array:
    """Affine map of the last axis: (..., n_in) -> (..., n_out)."""
    return x @ params["w"] + params["b"]


def layer_norm_init(n: int) -> Params:
    """Unit gain and zero offset."""
    return {"gain": jnp.ones(n), "offset": jnp.zeros(n)}


def layer_norm(params: Params, x: jax.Array, epsilon: float = 1e-6) -> jax.Array:
    """Normalise the last axis.

    The row sums are matrix products with a column of ones, because XLA runs those several times faster on a CPU than
    its own row reductions, forward and backward.
    """
    mean_of = jnp.full((x.shape[-1], 1), 1.0 / x.shape[-1], x.dtype)
    centred = x - x @ mean_of
    variance = (centred * centred) @ mean_of
    return centred * jax.lax.rsqrt(variance + epsilon) * params["gain"] + params["offset"]


def mlp_init(key: jax.Array, n_in: int, hidden: Sequence[int], *, normalise: bool) -> Params:
    """Hidden layers only; the head is a `dense` of its own."""
    layers: Params = {}
    for i, (key_i, n_out) in enumerate(zip(jax.random.split(key, len(hidden)), hidden, strict=True)):
        layers[f"dense_{i}"] = dense_init(key_i, n_in, n_out)
        if normalise:
            layers[f"norm_{i}"] = layer_norm_init(n_out)
        n_in = n_out
    return layers


def mlp(params: Params, x: jax.Array) -> jax.Array:
    """Dense -> LayerNorm (where the parameters have one) -> ReLU at every hidden layer, as RLPD does."""
    depth = sum(name.startswith("dense") for name in params)
    for i in range(depth):
        x = dense(params[f"dense_{i}"], x)
        if f"norm_{i}" in params:
            x = layer_norm(params[f"norm_{i}"], x)
        x = jax.nn.relu(x)
    return x
