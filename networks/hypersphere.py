"""Layers on the unit sphere, of SimbaV2.

Lee et al. 2025, "Hyperspherical Normalization for Scalable Deep Reinforcement Learning" (arXiv 2502.15280). Features
have length one, and so have the weights of every single output, which go back there after each optimiser step
(`projected`). Neither can grow while the targets drift; how much a feature counts is learned by scalers alone. A block
moves along the sphere by a learned share of the way (LERP) where others add a residual.
"""

import jax
import jax.numpy as jnp

from networks.layers import Params

_SHIFT = 3.0
"""A constant entry beside what comes in: its length would be lost without."""
_EXPANSION = 4
"""Of the hidden layer of a block."""
_EPSILON = 1e-8


def init(key: jax.Array, n_in: int, width: int, blocks: int) -> Params:
    """An embedding and blocks of one width; the head is apart, see `head_init`."""
    keys = jax.random.split(key, 2 * blocks + 1)
    gain = (2.0 / width) ** 0.5
    params: Params = {"embed": _dense_init(keys[0], n_in + 1, width, gain)}
    for i in range(blocks):
        params[f"block_{i}"] = {
            "up": _dense_init(keys[2 * i + 1], width, _EXPANSION * width, gain / _EXPANSION**0.5),
            "down": {"w": _weights(keys[2 * i + 2], _EXPANSION * width, width)},
            # Stored small: so an optimiser's step is a small share of the way.
            "pace": jnp.full(width, width**-0.5, jnp.float32),
        }
    return params


def apply(params: Params, x: jax.Array) -> jax.Array:
    """Features of length one, (batch, width), for vectors (batch, n)."""
    x = jnp.concatenate([x, jnp.full((*x.shape[:-1], 1), _SHIFT, x.dtype)], axis=-1)
    x = _on_sphere(_scaled(params["embed"], _on_sphere(x)))
    blocks = sum(name.startswith("block") for name in params)
    for i in range(blocks):
        block = params[f"block_{i}"]
        towards = _on_sphere((jax.nn.relu(_scaled(block["up"], x)) + _EPSILON) @ block["down"]["w"])
        # At first each goes an equal part of the way.
        share = block["pace"] * x.shape[-1] ** 0.5 / (blocks + 1)
        x = _on_sphere(x + share * (towards - x))
    return x


def head_init(key: jax.Array, width: int, n_out: int) -> Params:
    """Two linear maps with a scaler between them, and a bias, which is not bound to the sphere."""
    key_hidden, key_out = jax.random.split(key)
    hidden = _dense_init(key_hidden, width, width, 1.0)
    return {"hidden": hidden, "w": _weights(key_out, width, n_out), "b": jnp.zeros(n_out)}


def head(params: Params, x: jax.Array) -> jax.Array:
    """(batch, n_out) of features (batch, width)."""
    return _scaled(params["hidden"], x) @ params["w"] + params["b"]


def projected(params: Params) -> Params:
    """The parameters with the weights of every output back at length one; all else as it is.

    Args:
        params: Of `init`, `head_init` or any tree of them, with any number of leading axes.
    """
    return {
        name: projected(part) if isinstance(part, dict) else _on_sphere(part, axis=-2) if name == "w" else part
        for name, part in params.items()
    }


def _dense_init(key: jax.Array, n_in: int, n_out: int, gain: float) -> Params:
    return {"w": _weights(key, n_in, n_out), "scale": jnp.full(n_out, gain, jnp.float32)}


def _weights(key: jax.Array, n_in: int, n_out: int) -> jax.Array:
    """Orthogonal, as far as that many can be; every column of length one."""
    return _on_sphere(jax.nn.initializers.orthogonal()(key, (n_in, n_out)), axis=-2)


def _scaled(params: Params, x: jax.Array) -> jax.Array:
    return (x @ params["w"]) * params["scale"]


def _on_sphere(x: jax.Array, axis: int = -1) -> jax.Array:
    # The square of epsilon within the root: a gradient at zero would be no number.
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=axis, keepdims=True) + _EPSILON**2)
