"""Tanh-squashed diagonal Gaussian policy (Haarnoja et al. 2018, "Soft Actor-Critic", appendix C)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from networks import chunks, encoder, grid, gripper
from networks.architecture import Architecture
from networks.layers import Params, dense, dense_init, mlp, mlp_init

_LOG_STD_RANGE = (-5.0, 2.0)


class Gaussian(NamedTuple):
    """Before the tanh: mean and log of the standard deviation, both (batch, move_dim)."""

    mean: jax.Array
    log_std: jax.Array


def init(key: jax.Array, arch: Architecture) -> Params:
    """Parameters of the head (the encoder's are apart: the critic trains those)."""
    key_trunk, key_head = jax.random.split(key)
    return {
        "trunk": mlp_init(key_trunk, arch.feature_dim, arch.hidden, normalise=True),
        # A small last layer: the first actions are centred, none is saturated.
        "head": dense_init(key_head, arch.hidden[-1], 2 * arch.move_dim, scale=0.01),
    }


def with_spread(params: Params, spread: float) -> Params:
    """The parameters with one standard deviation for every action, before the tanh: for whom learns none."""
    head, means = params["head"], params["head"]["w"].shape[1] // 2
    constant = {"w": head["w"].at[:, means:].set(0.0), "b": head["b"].at[means:].set(jnp.log(spread))}
    return params | {"head": head | constant}


def distribution(params: Params, features: jax.Array) -> Gaussian:
    """The Gaussian for features of shape (batch, arch.feature_dim)."""
    mean, log_std = jnp.split(dense(params["head"], mlp(params["trunk"], features)), 2, axis=-1)
    return Gaussian(mean, jnp.clip(log_std, *_LOG_STD_RANGE))


def sample(gaussian: Gaussian, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Actions in (-1, 1) of shape (batch, move_dim) and their log-probabilities (batch,)."""
    noise = jax.random.normal(key, gaussian.mean.shape)
    raw = gaussian.mean + jnp.exp(gaussian.log_std) * noise
    log_normal = -0.5 * noise**2 - gaussian.log_std - 0.5 * jnp.log(2 * jnp.pi)
    # log(1 - tanh(x)^2), in the form that does not underflow.
    log_squash = 2.0 * (jnp.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))
    return jnp.tanh(raw), jnp.sum(log_normal - log_squash, axis=-1)


def mode(gaussian: Gaussian) -> jax.Array:
    """The action at the mean, in (-1, 1): what is executed in evaluation."""
    return jnp.tanh(gaussian.mean)


def act(params: Params, observation: dict[str, jax.Array], key: jax.Array | None, arch: Architecture) -> jax.Array:
    """Actions for a batch of observations, shape (batch, action_dim); the mode where `key` is None.

    Of a policy over chunks all actions of one, shape (batch, chunk.length * action_dim); where `key` is None, of those
    that it always proposes.

    Args:
        params: What travels to the robot: {"encoder", "normaliser", "policy"}, and "gripper" where that is discrete;
            over chunks {"encoder", "normaliser", "flow", "critics"}, over a grid {"encoder", "normaliser", "critics",
            "active"}.
        observation: As `networks.encoder.apply` takes it.
        key: Source of exploration noise, or None for the deterministic policy. Discrete grippers do not explore.
        arch: The architecture that `params` were made for.
    """
    features = encoder.apply(params["encoder"], params["normaliser"], observation, arch)
    if arch.chunk is not None:
        key = jax.random.key(0) if key is None else key
        count = arch.chunk.candidates
        return chunks.best_of(params["flow"], params["critics"], features, key, arch, candidates=count)[0]
    if arch.grid is not None:
        return grid.act(params, features, key, arch)
    gaussian = distribution(params["policy"], features)
    move = mode(gaussian) if key is None else sample(gaussian, key)[0]
    if not arch.grippers:
        return move
    chosen = jnp.argmax(gripper.values(params["gripper"], features), axis=-1)
    return gripper.whole(move, gripper.commands(chosen, gripper.in_force(observation, arch)), arch)
