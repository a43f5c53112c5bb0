"""Ensemble of independent action values: every member has all of its layers for itself, the last one too."""

import jax
import jax.numpy as jnp

from networks.architecture import Architecture
from networks.layers import Params, dense, dense_init, mlp, mlp_init


def init(key: jax.Array, arch: Architecture, *, members: int, normalise: bool) -> Params:
    """Parameters with a leading axis of length `members` on every array."""

    def one(key: jax.Array) -> Params:
        key_trunk, key_head = jax.random.split(key)
        return {
            "trunk": mlp_init(key_trunk, arch.feature_dim + arch.decision_dim, arch.hidden, normalise=normalise),
            "head": dense_init(key_head, arch.hidden[-1], 1),
        }

    return jax.vmap(one)(jax.random.split(key, members))


def apply(params: Params, features: jax.Array, action: jax.Array) -> jax.Array:
    """Values of shape (members, batch) for features (batch, n) and actions (batch, arch.decision_dim)."""
    x = jnp.concatenate([features, action], axis=-1)
    return jax.vmap(lambda p: dense(p["head"], mlp(p["trunk"], x))[..., 0])(params)
