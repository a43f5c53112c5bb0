"""Dense layers, layer and batch normalisation and multi-layer perceptrons over plain dictionaries of arrays."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

Params = dict[str, Any]
"""A nested dictionary of arrays."""
_MOMENTS = ("mean", "variance")
_EPSILON = 1e-3
"""Of batch normalisation, whose variances are those of a few hundred rows."""


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


def batch_norm_init(n: int) -> Params:
    """Unit gain and zero offset, and kept moments as of a normal variable; see `batch_norm`."""
    return {"gain": jnp.ones(n), "offset": jnp.zeros(n), "mean": jnp.zeros(n), "variance": jnp.ones(n)}


def batch_norm(params: Params, x: jax.Array, moments: Params | None = None) -> jax.Array:
    """Normalise every column of (batch, n): by `moments` in training, else by those that are kept (Ioffe 2015).

    The kept ones lie among the parameters, but no gradient reaches them: they follow the minibatches, see
    `following_moments`.
    """
    used = jax.lax.stop_gradient({name: params[name] for name in _MOMENTS}) if moments is None else moments
    scaled = (x - used["mean"]) * jax.lax.rsqrt(used["variance"] + _EPSILON)
    return scaled * params["gain"] + params["offset"]


def following_moments(params: Params, moments: Params, *, weight: float) -> Params:
    """Parameters whose kept moments have moved towards a minibatch's by `weight`; all else stays as it is."""
    if not isinstance(moments, dict):
        return params + weight * (moments - params)
    return params | {name: following_moments(params[name], part, weight=weight) for name, part in moments.items()}


def mlp_init(key: jax.Array, n_in: int, hidden: Sequence[int], *, normalise: bool, batch: bool = False) -> Params:
    """Hidden layers only; the head is a `dense` of its own. `batch`: batch normalisation, of what comes in too."""
    layers: Params = {"norm_in": batch_norm_init(n_in)} if batch else {}
    for i, (key_i, n_out) in enumerate(zip(jax.random.split(key, len(hidden)), hidden, strict=True)):
        layers[f"dense_{i}"] = dense_init(key_i, n_in, n_out)
        if normalise or batch:
            layers[f"norm_{i}"] = batch_norm_init(n_out) if batch else layer_norm_init(n_out)
        n_in = n_out
    return layers


def mlp(params: Params, x: jax.Array) -> jax.Array:
    """Dense -> norm (where the parameters have one) -> ReLU at every hidden layer, as RLPD does."""
    if "norm_in" in params:
        x = batch_norm(params["norm_in"], x)
    for i in range(_depth(params)):
        x = dense(params[f"dense_{i}"], x)
        if f"norm_{i}" in params:
            norm = params[f"norm_{i}"]
            x = batch_norm(norm, x) if "mean" in norm else layer_norm(norm, x)
        x = jax.nn.relu(x)
    return x


def mlp_in_training(params: Params, x: jax.Array) -> tuple[jax.Array, Params]:
    """As `mlp` of batch-normalised layers, by the moments of this very batch; and those, norm -> mean and variance."""
    moments: Params = {"norm_in": _moments(x)}
    x = batch_norm(params["norm_in"], x, moments["norm_in"])
    for i in range(_depth(params)):
        x = dense(params[f"dense_{i}"], x)
        moments[f"norm_{i}"] = _moments(x)
        x = jax.nn.relu(batch_norm(params[f"norm_{i}"], x, moments[f"norm_{i}"]))
    return x, jax.lax.stop_gradient(moments)


def _moments(x: jax.Array) -> Params:
    return {"mean": jnp.mean(x, axis=0), "variance": jnp.var(x, axis=0)}


def _depth(params: Params) -> int:
    return sum(name.startswith("dense") for name in params)
