"""Policies over action chunks: a flow proposes several, the critics choose one, the robot carries it out to its end.

Q-chunking (Li et al. 2025, arXiv 2507.07969). The flow is trained by flow matching (Lipman et al. 2023, arXiv
2210.02747): along x_t = (1 - t) * noise + t * chunk it learns the velocity chunk - noise, and proposals follow it from
noise to t = 1 in Euler steps.
"""

import jax
import jax.numpy as jnp

from networks import critic
from networks.architecture import Architecture
from networks.layers import Params, dense, dense_init, mlp, mlp_init


def init(key: jax.Array, arch: Architecture) -> Params:
    """Parameters of the flow."""
    key_trunk, key_head = jax.random.split(key)
    n_in = arch.feature_dim + arch.decision_dim + 1
    return {
        "trunk": mlp_init(key_trunk, n_in, arch.hidden, normalise=False),
        "head": dense_init(key_head, arch.hidden[-1], arch.decision_dim),
    }


def velocity(params: Params, features: jax.Array, noisy: jax.Array, time: jax.Array) -> jax.Array:
    """Where chunks (batch, arch.decision_dim) on their way are bound for at `time`, (batch, 1) in 0..1."""
    return dense(params["head"], mlp(params["trunk"], jnp.concatenate([features, noisy, time], axis=-1)))


def flow_loss(params: Params, features: jax.Array, chunk: jax.Array, key: jax.Array) -> jax.Array:
    """Mean squared error of the velocity towards each chunk, shape (batch,)."""
    key_noise, key_time = jax.random.split(key)
    noise = jax.random.normal(key_noise, chunk.shape)
    time = jax.random.uniform(key_time, (chunk.shape[0], 1))
    told = velocity(params, features, (1.0 - time) * noise + time * chunk, time)
    return jnp.mean((told - (chunk - noise)) ** 2, axis=-1)


def propose(params: Params, features: jax.Array, noise: jax.Array, *, steps: int) -> jax.Array:
    """Chunks in -1..1 of the shape of `noise`, (batch, arch.decision_dim)."""

    def euler(chunk: jax.Array, time: jax.Array) -> tuple[jax.Array, None]:
        at = jnp.full((chunk.shape[0], 1), time)
        return chunk + velocity(params, features, chunk, at) / steps, None

    return jnp.clip(jax.lax.scan(euler, noise, jnp.arange(steps) / steps)[0], -1.0, 1.0)


def best_of(
    flow: Params, critics: Params, features: jax.Array, key: jax.Array, arch: Architecture, *, candidates: int
) -> tuple[jax.Array, jax.Array]:
    """Of so many proposals for each state that of the highest mean value: chunks (batch, n) and values (batch,)."""
    assert arch.chunk is not None
    batch = features.shape[0]
    repeated = jnp.repeat(features, candidates, axis=0)
    noise = jax.random.normal(key, (batch * candidates, arch.decision_dim))
    proposed = propose(flow, repeated, noise, steps=arch.chunk.flow_steps)
    values = jnp.mean(critic.apply(critics, repeated, proposed), axis=0).reshape(batch, candidates)
    chosen = jnp.argmax(values, axis=-1)
    picked = jnp.take_along_axis(proposed.reshape(batch, candidates, -1), chosen[:, None, None], axis=1)[:, 0]
    return picked, jnp.max(values, axis=-1)
