"""The policy is tied to the human where he is consistent, and free where he is not: one multiplier for every state.

Zhao et al. 2025, "Real-world Reinforcement Learning from Suboptimal Interventions" (SiLRI, arXiv 2512.24288):
maximise the return subject to distance(s) <= allowed(s) in every state, by a multiplier network lambda(s) >= 0 and
the policy loss (L_rl + lambda * distance) / (1 + lambda). What is allowed follows from the spread of a model of the
human's actions, which learns from demonstrations and corrections alone, of past runs too.

Of the released variants this is the one with distances, not squared ones. Departures: the policy stays SAC's tanh-
Gaussian with its entropy and its critics, so the distance is that of its mode; distance and spread are root mean
squares over the action's entries, so that one slack serves actions of any length; the networks stand on the critics'
features without training them, instead of on encoders of their own.
"""

import jax
import jax.numpy as jnp
import numpy as np

from networks.architecture import Architecture
from networks.layers import Params, dense, dense_init, mlp, mlp_init

_LOG_STD_RANGE = (-3.0, 0.5)
"""A scripted human repeats himself exactly; a spread of next to nothing would make its likelihood explode."""
_TINY = 1e-8
"""Under the square root, whose slope at zero is infinite."""


def human_init(key: jax.Array, arch: Architecture) -> Params:
    """Parameters of the model of the human's actions."""
    key_trunk, key_head = jax.random.split(key)
    return {
        "trunk": mlp_init(key_trunk, arch.feature_dim, arch.hidden, normalise=True),
        "head": dense_init(key_head, arch.hidden[-1], 2 * arch.move_dim, scale=0.01),
    }


def multiplier_init(key: jax.Array, arch: Architecture, *, first: float) -> Params:
    """Parameters of the multiplier network, which gives about `first` in every state."""
    key_trunk, key_head = jax.random.split(key)
    head = dense_init(key_head, arch.hidden[-1], 1, scale=0.01)
    return {
        "trunk": mlp_init(key_trunk, arch.feature_dim, arch.hidden, normalise=True),
        "head": head | {"b": head["b"] + np.float32(np.log(np.expm1(first)))},
    }


def human(params: Params, features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean, within (-1, 1), and log of the standard deviation of the human's actions, both (batch, move_dim)."""
    mean, log_std = jnp.split(dense(params["head"], mlp(params["trunk"], features)), 2, axis=-1)
    return jnp.tanh(mean), jnp.clip(log_std, *_LOG_STD_RANGE)


def multiplier(params: Params, features: jax.Array) -> jax.Array:
    """lambda(s) >= 0, shape (batch,)."""
    return jax.nn.softplus(dense(params["head"], mlp(params["trunk"], features))[..., 0])


def human_loss(params: Params, features: jax.Array, move: jax.Array, his: jax.Array) -> jax.Array:
    """Negative log-likelihood of the human's actions, but for a constant; `his` says which of the batch are."""
    mean, log_std = human(params, features)
    each = jnp.mean(0.5 * ((move - mean) / jnp.exp(log_std)) ** 2 + log_std, axis=-1)
    return jnp.sum(his * each) / jnp.maximum(jnp.sum(his), 1.0)


def tied(loss: jax.Array, mode: jax.Array, human_params: Params, params: Params, features: jax.Array) -> jax.Array:
    """(loss + lambda * distance of the policy's mode) / (1 + lambda) for every state, shape (batch,)."""
    weight = multiplier(params, features)
    return (loss + weight * distance(mode, human(human_params, features)[0])) / (1.0 + weight)


def excess(mode: jax.Array, human_params: Params, features: jax.Array, slack: float) -> jax.Array:
    """How much farther from the human the policy's mode is than it may be, shape (batch,); negative where it is not."""
    mean, log_std = human(human_params, features)
    return distance(mode, mean) - allowed(log_std, slack)


def distance(mode: jax.Array, mean: jax.Array) -> jax.Array:
    """Of the policy's mode from the human's mean, shape (batch,)."""
    return jnp.sqrt(jnp.mean((mode - mean) ** 2, axis=-1) + _TINY)


def allowed(log_std: jax.Array, slack: float) -> jax.Array:
    """How far the policy may be from the human's mean, shape (batch,): as far as he is himself, and a slack."""
    return jnp.sqrt(jnp.mean(jnp.exp(2.0 * log_std), axis=-1)) + slack


def multiplier_loss(params: Params, features: jax.Array, beyond: jax.Array) -> jax.Array:
    """Gradient ascent on lambda * excess: up where the policy is too far from the human, down to 0 where it is not."""
    return -jnp.mean(multiplier(params, features) * beyond)
