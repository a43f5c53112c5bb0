"""Observation -> features: a small net per camera beside the normalised vectors.

Over pictures it is convolutional. Over the features of a frozen trunk it is a bottleneck alone, after learned spatial
embeddings where they have places (SERL, Luo et al. 2024, arXiv 2401.16013: a weight for every place and channel).

The first convolution works on 2x2 pixel blocks folded into channels (space to depth): on a CPU a convolution over 3
channels costs four times as much as one over 12. The picture then reaches the embedding twice, flattened and as the
expected position of every channel (soft-argmax; Finn et al. 2016, "Deep Spatial Autoencoders"), because where a thing
is matters more here than what it looks like.
"""

import jax
import jax.numpy as jnp
import numpy as np

from networks.architecture import Architecture
from networks.layers import Params, dense, dense_init, layer_norm, layer_norm_init

_FOLD = 2
_SPATIAL = 8
"""Learned spatial embeddings of every channel."""


def init(key: jax.Array, arch: Architecture) -> Params:
    """Parameters of every camera's net; empty for an observation without cameras."""
    keys = jax.random.split(key, max(len(arch.frames), 1))
    if arch.trunk is not None:
        return {
            name: _bottleneck_init(k, arch.trunk.shape, arch.embedding)
            for k, name in zip(keys, arch.frames, strict=False)
        }
    return {
        name: camera_init(k, shape, channels=arch.channels, embedding=arch.embedding)
        for k, (name, shape) in zip(keys, arch.frames.items(), strict=False)
    }


def identity_normaliser(arch: Architecture) -> Params:
    """Mean 0 and standard deviation 1 for every vector element."""
    return {"mean": jnp.zeros(arch.vector_dim), "std": jnp.ones(arch.vector_dim)}


def apply(params: Params, normaliser: Params, observation: dict[str, jax.Array], arch: Architecture) -> jax.Array:
    """Features of shape (batch, arch.feature_dim).

    Args:
        params: From `init`.
        normaliser: Mean and standard deviation of the vectors, fixed when training started.
        observation: Images as uint8 or as floats in 0..255, shape (batch, height, width, 3), or in their place what
            the trunk made of them, (batch, n); vectors (batch, n).
        arch: The architecture that `params` were made for.
    """
    return jnp.concatenate([vectors(normaliser, observation, arch), *images(params, observation, arch)], axis=-1)


def in_half(params: Params, *, half: bool = True) -> Params:
    """The same parameters, with convolutions and embedding in bfloat16, in which they then compute.

    Norms stay as they are, and so do all results; gradients come back to the parameters that were given, unrounded.
    """
    if not half:
        return params
    return {
        name: {
            part: jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), values) if part != "norm" else values
            for part, values in net.items()
        }
        for name, net in params.items()
    }


def vectors(normaliser: Params, observation: dict[str, jax.Array], arch: Architecture) -> jax.Array:
    """All vectors, normalised and clipped to ten standard deviations, shape (batch, arch.vector_dim)."""
    batch = jax.tree.leaves(observation)[0].shape[0]
    raw = jnp.concatenate([observation[name] for name in arch.vectors] or [jnp.zeros((batch, 0))], axis=-1)
    return jnp.clip((raw - normaliser["mean"]) / normaliser["std"], -10.0, 10.0)


def images(params: Params, observation: dict[str, jax.Array], arch: Architecture) -> list[jax.Array]:
    """One embedding of shape (batch, arch.embedding) per camera."""
    if arch.trunk is not None:
        return [_bottleneck(params[name], observation[name], arch.trunk.shape) for name in arch.frames]
    return [camera(params[name], observation[name]) for name in arch.frames]


def camera_init(key: jax.Array, shape: tuple[int, int, int], *, channels: tuple[int, ...], embedding: int) -> Params:
    """Parameters of one camera's net over pictures of `shape`."""
    keys = jax.random.split(key, len(channels) + 1)
    params: Params = {}
    n_in = 3 * _FOLD**2
    for i, n_out in enumerate(channels):
        fan_in = 9 * n_in
        params[f"conv_{i}"] = {
            "w": jax.random.normal(keys[i], (3, 3, n_in, n_out)) * (2.0 / fan_in) ** 0.5,
            "b": jnp.zeros(n_out),
        }
        n_in = n_out
    shrink = _FOLD * 2 ** (len(channels) - 1)
    flat = (shape[0] // shrink) * (shape[1] // shrink) * n_in
    params["embed"] = dense_init(keys[-1], flat + 2 * n_in, embedding)
    params["norm"] = layer_norm_init(embedding)
    return params


def camera(params: Params, image: jax.Array) -> jax.Array:
    """The embedding, float32 (batch, embedding) in -1..1, of one camera's pictures (batch, height, width, 3).

    Convolutions run in the precision of their parameters: see `in_half`.
    """
    dtype = params["conv_0"]["w"].dtype
    x = _fold((image.astype(jnp.float32) / 255.0 - 0.5).astype(dtype))
    depth = sum(name.startswith("conv") for name in params)
    for i in range(depth):
        x = jax.nn.relu(_conv(params[f"conv_{i}"], x, stride=1 if i == depth - 1 else 2))
    place = _expected_position(x.astype(jnp.float32)).astype(dtype)
    embedded = dense(params["embed"], jnp.concatenate([x.reshape(x.shape[0], -1), place], axis=-1))
    return jnp.tanh(layer_norm(params["norm"], embedded.astype(jnp.float32)))


def _bottleneck_init(key: jax.Array, shape: tuple[int, ...], embedding: int) -> Params:
    key_embed, key_spatial = jax.random.split(key)
    *places, n_in = shape
    params: Params = {}
    if places:
        # As mean pooling at first, each embedding with another emphasis.
        noise = jax.random.normal(key_spatial, (int(np.prod(places)), n_in, _SPATIAL))
        params["spatial"] = (1.0 + noise) / np.prod(places)
        n_in *= _SPATIAL
    return params | {"embed": dense_init(key_embed, n_in, embedding), "norm": layer_norm_init(embedding)}


def _bottleneck(params: Params, features: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    x, embed = features.astype(jnp.float32), params["embed"]
    if "spatial" in params:
        # In the cheaper order: of few places the weights are multiplied with each other first.
        weights = params["spatial"], embed["w"].reshape(shape[-1], _SPATIAL, -1)
        places = x.reshape(x.shape[0], -1, shape[-1])
        embedded = jnp.einsum("npc,pce,ced->nd", places, *weights) + embed["b"]
    else:
        embedded = dense(embed, x)
    return jnp.tanh(layer_norm(params["norm"], embedded))


def _fold(image: jax.Array) -> jax.Array:
    # Strided slices: as a transposition of six axes it takes a CPU several times as long.
    return jnp.concatenate([image[:, i::_FOLD, j::_FOLD] for i in range(_FOLD) for j in range(_FOLD)], axis=-1)


def _conv(params: Params, x: jax.Array, stride: int) -> jax.Array:
    out = jax.lax.conv_general_dilated(
        x, params["w"], (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return out + params["b"]


def _expected_position(x: jax.Array) -> jax.Array:
    """Soft-argmax: (n, h, w, c) -> (n, 2c), row and column of every channel's mass in -1..1."""
    n, height, width, channels = x.shape
    mass = jax.nn.softmax(x.reshape(n, height * width, channels), axis=1)
    rows, columns = jnp.meshgrid(jnp.linspace(-1, 1, height), jnp.linspace(-1, 1, width), indexing="ij")
    return jnp.concatenate([jnp.einsum("npc,p->nc", mass, grid.reshape(-1)) for grid in (rows, columns)], axis=-1)
