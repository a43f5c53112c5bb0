"""Discrete grippers: action values over the classes shut, hold and open, 9 of them for two hands.

After HIL-SERL (Luo et al. 2024, arXiv 2410.21845): a gripper's decision is discrete, so a Q-network takes it beside
the continuous policy. To hold is to repeat the command in force, which the observation shows. While a gripper is
shut, to shut it and to hold it are one and the same; `fitting` says which classes an executed action may have been.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from networks.architecture import Architecture
from networks.layers import Params, dense, dense_init, mlp, mlp_init

_CLASSES = 3
"""Shut, hold, open, in this order."""
_ALIKE = 0.1
"""Commands that differ by less, of a range of 2, are one."""


def init(key: jax.Array, arch: Architecture) -> Params:
    """Parameters of the value network; its encoder is the policy's."""
    key_trunk, key_head = jax.random.split(key)
    return {
        "trunk": mlp_init(key_trunk, arch.feature_dim, arch.hidden, normalise=True),
        "head": dense_init(key_head, arch.hidden[-1], _CLASSES ** len(arch.grippers), scale=0.01),
    }


def values(params: Params, features: jax.Array) -> jax.Array:
    """Value of every joint class, shape (batch, 3 ** grippers), for features of shape (batch, n)."""
    return dense(params["head"], mlp(params["trunk"], features))


def in_force(observation: dict[str, jax.Array], arch: Architecture) -> jax.Array:
    """The command of each gripper as the last action left it, shape (batch, grippers)."""
    return jnp.stack([observation[each.vector][:, each.element] for each in arch.grippers], axis=-1)


def commands(chosen: jax.Array, present: jax.Array) -> jax.Array:
    """What joint classes, shape (batch,), command where `present`, shape (batch, grippers), is in force."""
    digits = jnp.asarray(_joint_classes(present.shape[-1]))[chosen]
    return jnp.take_along_axis(_options(present), digits[..., None], axis=-1)[..., 0]


def fitting(command: jax.Array, present: jax.Array) -> jax.Array:
    """1 for every joint class that commands this, or what is nearest to it, else 0; shape (batch, 3 ** grippers).

    Args:
        command: What was executed, shape (batch, grippers); a person's need not be -1 or 1.
        present: What was in force before, shape (batch, grippers).
    """
    distance = jnp.abs(_options(present) - command[..., None])
    fits = distance <= distance.min(axis=-1, keepdims=True) + _ALIKE
    joint = _joint_classes(command.shape[-1])
    each = jnp.stack([fits[:, hand, joint[:, hand]] for hand in range(joint.shape[1])])
    return jnp.all(each, axis=0).astype(jnp.float32)


def toggles(command: jax.Array, present: jax.Array) -> jax.Array:
    """How many grippers are told to go to their other side, shape (batch,)."""
    return jnp.sum((command > 0) != (present > 0), axis=-1).astype(jnp.float32)


def moves(action: jax.Array, arch: Architecture) -> jax.Array:
    """The entries of actions that the Gaussian decides, shape (batch, arch.move_dim)."""
    return action[..., _move_entries(arch)] if arch.grippers else action


def grips(action: jax.Array, arch: Architecture) -> jax.Array:
    """The grippers' entries of actions, shape (batch, grippers)."""
    return action[..., np.array([each.entry for each in arch.grippers])]


def whole(move: jax.Array, grip: jax.Array, arch: Architecture) -> jax.Array:
    """Actions put together again from what `moves` and `grips` take out of them."""
    order = np.argsort([*_move_entries(arch), *(each.entry for each in arch.grippers)])
    return jnp.concatenate([move, grip], axis=-1)[..., order]


def _move_entries(arch: Architecture) -> np.ndarray:
    return np.setdiff1d(np.arange(arch.action_dim), [each.entry for each in arch.grippers])


def _options(present: jax.Array) -> jax.Array:
    return jnp.stack([-jnp.ones_like(present), present, jnp.ones_like(present)], axis=-1)


def _joint_classes(grippers: int) -> np.ndarray:
    """The class of each gripper in every joint class, shape (3 ** grippers, grippers)."""
    return np.array(list(itertools.product(range(_CLASSES), repeat=grippers)))
