"""The critic of discrete grippers: a double DQN, which is also their policy; the other critics see only the moves.

HIL-SERL (Luo et al. 2024, arXiv 2410.21845): y = (r - penalty * toggles) + discount * mask * Q_target(s', a*) with a*
the argmax of Q_online(s') (van Hasselt et al. 2016); the penalty is in this critic's reward alone. Departures:
demonstrated and corrected commands, and those of past runs' successes, get a margin over all others (Hester et al.
2018, "Deep Q-learning from Demonstrations", equation 2), which fades as the pull of the continuous policy does, for a
value that must first travel back from rare successes learns when to grasp too late; a command that may have been either
of two classes trains both.
"""

import jax
import jax.numpy as jnp

from learner.agents.base import Batch, Metrics
from networks import gripper
from networks.architecture import Architecture
from networks.layers import Params


def td_target(
    online: Params,
    target: Params,
    next_features: jax.Array,
    batch: Batch,
    arch: Architecture,
    *,
    discount: float,
    toggle_penalty: float,
) -> jax.Array:
    """The double-DQN target, unclipped, shape (batch,)."""
    best = jnp.argmax(gripper.values(online, next_features), axis=-1)
    value = jnp.take_along_axis(gripper.values(target, next_features), best[:, None], axis=-1)[:, 0]
    return batch["reward"] - toggle_penalty * toggles(batch, arch) + discount * batch["mask"] * value


def toggles(batch: Batch, arch: Architecture) -> jax.Array:
    """How many grippers each action of the batch sent to their other side, shape (batch,)."""
    return gripper.toggles(gripper.grips(batch["action"], arch), gripper.in_force(batch["observation"], arch))


def loss(
    params: Params,
    features: jax.Array,
    batch: Batch,
    target: jax.Array,
    arch: Architecture,
    pull: jax.Array,
    margin: float,
) -> tuple[jax.Array, Metrics]:
    """Squared error of the executed classes to the target, and the margin of prior ones.

    Args:
        params: Of the value network.
        features: Of the batch's observations, shape (batch, n); no gradient leaves through them.
        batch: The minibatch.
        target: From `td_target`, shape (batch,).
        arch: The architecture.
        pull: Weight of the margin for each transition, shape (batch,); zero for what is not to be imitated.
        margin: By how much a prior command shall be above all others.
    """
    values = gripper.values(params, jax.lax.stop_gradient(features))
    present = gripper.in_force(batch["observation"], arch)
    fits = gripper.fitting(gripper.grips(batch["action"], arch), present)
    squared = jnp.sum(fits * (values - target[:, None]) ** 2, axis=-1) / jnp.sum(fits, axis=-1)
    imitated = jnp.max(jnp.where(fits > 0, values, -jnp.inf), axis=-1)
    short = jnp.max(values + margin * (1.0 - fits), axis=-1) - imitated
    metrics = {"critic/grasp_loss": jnp.mean(squared), "critic/grasp_margin_loss": jnp.mean(pull * short)}
    return jnp.mean(squared + pull * short), metrics
