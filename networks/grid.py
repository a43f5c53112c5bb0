"""Critic-only policies: every entry of the action is chosen from a grid of its own, by values that add up to one.

Decoupled Q-networks (Seyde et al. 2023, arXiv 2210.12566): the value of an action is the mean, over its entries, of
what each entry's choice is worth, so the best action is the best choice entry by entry. Growing (Seyde et al. 2024,
arXiv 2404.04253): the head has an output for every point of the finest grid from the start; those not yet open are
masked.
"""

import jax
import jax.numpy as jnp
import numpy as np

from networks.architecture import Architecture
from networks.layers import Params, dense, dense_init, mlp, mlp_init


def stages(first: int, last: int) -> list[int]:
    """Points per entry, stage by stage: every grid holds the points of the one before, as 2, 3, 5, 9 do."""
    found = [first]
    while found[-1] < last:
        found.append(2 * found[-1] - 1)
    return found


def points(bins: int) -> jax.Array:
    """The finest grid, (bins,) from -1 to 1."""
    return jnp.linspace(-1.0, 1.0, bins)


def open_points(bins: int, active: int) -> np.ndarray:
    """1 for the points of the finest grid that are in the grid of `active` points, else 0; (bins,)."""
    found = np.zeros(bins, np.float32)
    found[:: (bins - 1) // (active - 1)] = 1.0
    return found


def init(key: jax.Array, arch: Architecture) -> Params:
    """Parameters with a leading axis of members on every array."""
    assert arch.grid is not None
    outputs = arch.action_dim * arch.grid.bins

    def one(key: jax.Array) -> Params:
        key_trunk, key_head = jax.random.split(key)
        return {
            "trunk": mlp_init(key_trunk, arch.feature_dim, arch.hidden, normalise=True),
            "head": dense_init(key_head, arch.hidden[-1], outputs, scale=0.01),
        }

    return jax.vmap(one)(jax.random.split(key, arch.grid.critics))


def values(params: Params, features: jax.Array, arch: Architecture) -> jax.Array:
    """What every choice is worth, (members, batch, action_dim, bins), for features (batch, n)."""
    said = jax.vmap(lambda p: dense(p["head"], mlp(p["trunk"], features)))(params)
    return said.reshape(*said.shape[:-1], arch.action_dim, -1)


def best(worth: jax.Array, active: jax.Array) -> jax.Array:
    """The best open choice of every entry, (batch, action_dim), by the mean of members (members, batch, d, bins)."""
    return jnp.argmax(jnp.where(active > 0, worth.mean(axis=0), -jnp.inf), axis=-1)


def taken(worth: jax.Array, chosen: jax.Array) -> jax.Array:
    """The value of actions, (members, batch): the mean over the entries of what was `chosen` (batch, action_dim)."""
    each = jnp.take_along_axis(worth, jnp.broadcast_to(chosen, worth.shape[:-1])[..., None], axis=-1)[..., 0]
    return jnp.mean(each, axis=-1)


def snapped(action: jax.Array, active: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The nearest open choices to actions (batch, action_dim), and how far off each entry is; both of that shape."""
    distance = jnp.abs(points(active.shape[-1]) - action[..., None])
    distance = jnp.where(active > 0, distance, jnp.inf)
    return jnp.argmin(distance, axis=-1), jnp.min(distance, axis=-1)


def act(params: Params, features: jax.Array, key: jax.Array | None, arch: Architecture) -> jax.Array:
    """Actions (batch, action_dim): the best, or, with a `key`, every entry now and then another that is open."""
    assert arch.grid is not None
    active = params["active"]
    chosen = best(values(params["critics"], features, arch), active)
    if key is not None:
        key_which, key_what = jax.random.split(key)
        other = jax.random.categorical(key_what, jnp.where(active > 0, 0.0, -jnp.inf), shape=chosen.shape)
        chosen = jnp.where(jax.random.uniform(key_which, chosen.shape) < arch.grid.exploration, other, chosen)
    return points(arch.grid.bins)[chosen]
