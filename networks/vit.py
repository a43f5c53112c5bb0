"""Vision transformers (Dosovitskiy et al. 2021, arXiv 2010.11929): the patches' tokens of DINOv2, DINOv3 and SigLIP.

For frozen weights only, and one net for all of them: what they differ in without need is folded into the weights before
they come here. Layer scales are part of the projections before them, positions are those of the grid that is looked at,
and the class token holds its own. DINOv3's tokens have no position; queries and keys are turned by it instead (RoPE, Su
et al. 2021, arXiv 2104.09864). Class and register tokens take part in the attention and are dropped at the end.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from networks.layers import Params, dense, layer_norm

_ACTIVATIONS = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
    "silu": jax.nn.silu,
}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the shapes of the parameters do not say."""

    resolution: int
    """Height and width at which the pictures are looked at, pixels: a multiple of `patch`."""
    patch: int
    """Height and width of a patch, pixels."""
    heads: int
    activation: Literal["gelu", "gelu_tanh", "silu"]
    epsilon: float
    """Of the layer norms."""
    mean: tuple[float, float, float]
    """Of the pictures that it was trained on, for red, green and blue of 0..1; and their standard deviation."""
    std: tuple[float, float, float]
    resampling: Literal["linear", "cubic"]
    """How pictures of another size are brought to `resolution`; antialiased either way."""
    rope_base: float | None = None
    """Of the rotation of queries and keys; None: positions are added to the patches."""

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.resolution // self.patch


def apply(params: Params, image: jax.Array, how: Settings) -> jax.Array:
    """Features, float32 (batch, how.grid, how.grid, channels), for images (batch, height, width, 3) in 0..255.

    It computes in the precision of its parameters, but for norms and softmax, which stay in float32.
    """
    x = dense(params["embed"], _patches(image, how).astype(params["embed"]["w"].dtype))
    if "position" in params:
        x = x + params["position"]
    before = 0
    if "prefix" in params:
        before = params["prefix"].shape[0]
        x = jnp.concatenate([jnp.broadcast_to(params["prefix"], (x.shape[0], *params["prefix"].shape)), x], axis=1)
    rotation = None if how.rope_base is None else _rotation(how.grid, how.rope_base, x.shape[-1] // how.heads, before)

    def block(x: jax.Array, of_block: Params) -> tuple[jax.Array, None]:
        x = x + _attention(of_block, _norm(of_block["norm_1"], x, how), how, rotation)
        return x + _feed_forward(of_block, _norm(of_block["norm_2"], x, how), how), None

    # Blocks lie one behind the other in every array: dozens of them compile as quickly as one.
    x, _ = jax.lax.scan(block, x, params["blocks"])
    tokens = layer_norm(params["norm"], x[:, before:].astype(jnp.float32), how.epsilon)
    return tokens.reshape(x.shape[0], how.grid, how.grid, -1)


def _patches(image: jax.Array, how: Settings) -> jax.Array:
    """Normalised pixels, (batch, patches, patch * patch * 3)."""
    x, n = image.astype(jnp.float32), image.shape[0]
    if image.shape[1:3] != (how.resolution, how.resolution):
        # A cubic overshoots at edges.
        x = jnp.clip(jax.image.resize(x, (n, how.resolution, how.resolution, 3), how.resampling), 0.0, 255.0)
    x = (x / 255.0 - jnp.array(how.mean)) / jnp.array(how.std)
    x = x.reshape(n, how.grid, how.patch, how.grid, how.patch, 3)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, how.grid**2, -1)


def _norm(params: Params, x: jax.Array, how: Settings) -> jax.Array:
    return layer_norm(params, x.astype(jnp.float32), how.epsilon).astype(x.dtype)


def _attention(params: Params, x: jax.Array, how: Settings, rotation: tuple[jax.Array, jax.Array] | None) -> jax.Array:
    batch, tokens, channels = x.shape
    split = dense(params["qkv"], x).reshape(batch, tokens, 3, how.heads, -1)
    query, key, value = split[:, :, 0], split[:, :, 1], split[:, :, 2]
    if rotation is not None:
        query, key = _turned(query, rotation), _turned(key, rotation)
    seen = jax.nn.dot_product_attention(query, key, value)
    return dense(params["out"], seen.reshape(batch, tokens, channels))


def _feed_forward(params: Params, x: jax.Array, how: Settings) -> jax.Array:
    activation, up = _ACTIVATIONS[how.activation], dense(params["up"], x)
    hidden = activation(dense(params["gate"], x)) * up if "gate" in params else activation(up)
    return dense(params["down"], hidden)


def _rotation(grid: int, base: float, size: int, before: int) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines, (tokens, 1, size) each; the tokens before the patches are not turned.

    A quarter of the angles goes with a patch's height in -1..1, another with its place along the width, then the same
    again for the second half of a head.
    """
    centres = (2 * np.arange(grid) + 1) / grid - 1
    places = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    angles = 2 * np.pi * places * base ** -(4 * np.arange(size // 4) / size)
    angles = np.tile(angles.reshape(len(places), -1), 2)
    angles = np.concatenate([np.zeros((before, size)), angles])[:, None]
    return jnp.asarray(np.cos(angles), jnp.float32), jnp.asarray(np.sin(angles), jnp.float32)


def _turned(x: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> jax.Array:
    cosines, sines = rotation
    first, second = jnp.split(x, 2, axis=-1)
    return (x * cosines + jnp.concatenate([-second, first], axis=-1) * sines).astype(x.dtype)
