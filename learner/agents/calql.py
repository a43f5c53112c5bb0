"""Conservative Q-learning, and calibrated by what the data's own trajectories achieved: CQL(H) and Cal-QL.

Kumar et al. 2020, "Conservative Q-Learning for Offline RL" (arXiv 2006.04779), equation 4 with the entropy as its
regulariser; Nakamoto et al. 2023, "Cal-QL" (arXiv 2303.05479), equation 5.1. The critics' loss is that of SAC plus
`conservatism` times how far the actions of the policy, and uniform ones, are valued above those of the data; Cal-QL
does not push the policy's below the return that the data achieved from there, so that fine-tuning does not have to
unlearn values that are too low. Departures: SAC's own, the pull to good actions among them, one learning rate for actor
and critics, and a fixed weight, not the Lagrangian one. It is SAC in everything else, its state too, so that what was
trained offline goes on online as any of them.
"""

import jax
import jax.numpy as jnp

from learner.agents.base import Batch
from learner.agents.sac import Sac, State
from learner.config import CqlConfig
from networks import critic, policy
from networks.layers import Params


class CalQl(Sac):
    """See the module; every method but `__init__` is pure."""

    config: CqlConfig

    def td_target(self, state: State, batch: Batch, key: jax.Array) -> jax.Array:
        """SAC's, with the best of `backup_actions` next actions: the max-target backup of both papers' code."""
        if self.config.backup_actions == 1:
            return super().td_target(state, batch, key)
        features = self._features(state.encoder, state.normaliser, batch["next_observation"])
        actions, _ = _sampled(state.policy, features, key, self.config.backup_actions)
        values = jnp.min(_values(state.target_critics, features, actions), axis=0)
        return batch["reward"] + self.config.discount * batch["mask"] * jnp.max(values, axis=0)

    def prepared(self, state: State, batch: Batch, key: jax.Array) -> Batch:
        """The minibatch with the actions that the critics' loss compares the data's with, see `conservative_gap`.

        compared (3n, batch, d): n uniform ones, n of the policy, n of the policy at the next observation;
        log_density (3n, batch) of each under what it was drawn from; floor (batch,): below which the policy's are not
        pushed down.
        """
        n = self.config.compared_actions
        key_uniform, key_here, key_next = jax.random.split(key, 3)
        here = self._features(state.encoder, state.normaliser, batch["observation"])
        after = self._features(state.encoder, state.normaliser, batch["next_observation"])
        own, own_density = _sampled(state.policy, here, key_here, n)
        following, following_density = _sampled(state.policy, after, key_next, n)
        uniform = jax.random.uniform(key_uniform, own.shape, minval=-1.0, maxval=1.0)
        uniform_density = jnp.full(own_density.shape, -own.shape[-1] * jnp.log(2.0))
        floor = batch["return_to_go"] if self.config.calibrated else jnp.full_like(batch["reward"], -jnp.inf)
        drawn = {
            "compared": jnp.concatenate([uniform, own, following]),
            "log_density": jnp.concatenate([uniform_density, own_density, following_density]),
            "floor": floor,
        }
        return batch | jax.lax.stop_gradient(drawn)

    def critic_loss(
        self, trained: dict[str, Params], normaliser: Params, batch: Batch, target: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """SAC's plus the conservative gap, mean over critics and batch; with the features and the values."""
        loss, (features, values) = super().critic_loss(trained, normaliser, batch, target)
        compared = _values(trained["critics"], features, batch["compared"])
        gap = conservative_gap(compared, values, batch["log_density"], batch["floor"], self.config.gap_temperature)
        return loss + self.config.conservatism * jnp.mean(gap), (features, values)


def conservative_gap(
    compared: jax.Array, values: jax.Array, log_density: jax.Array, floor: jax.Array, temperature: float = 1.0
) -> jax.Array:
    """Soft maximum of the compared actions' values, less the value of the data's action, (members, batch).

    Args:
        compared: Values (members, 3n, batch), the first third of uniform actions.
        values: Of the data's actions, (members, batch).
        log_density: Of every compared action under what it was drawn from, (3n, batch): importance weights.
        floor: (batch,). The policy's actions, not the uniform ones, count as valued at least this high.
        temperature: Of the soft maximum, in the unit of the values.
    """
    third = compared.shape[1] // 3
    calibrated = jnp.concatenate([compared[:, :third], jnp.maximum(compared[:, third:], floor)], axis=1)
    return temperature * jax.nn.logsumexp(calibrated / temperature - log_density, axis=1) - values


def _sampled(params: Params, features: jax.Array, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """`n` actions of the policy for each row: (n, batch, d), and their log-densities (n, batch)."""
    gaussian = policy.distribution(params, features)
    return jax.vmap(lambda key: policy.sample(gaussian, key))(jax.random.split(key, n))


def _values(critics: Params, features: jax.Array, actions: jax.Array) -> jax.Array:
    """Of `n` actions (n, batch, d) for each row of features (batch, f): (members, n, batch)."""
    n, batch, size = actions.shape
    rows = jnp.broadcast_to(features, (n, *features.shape)).reshape(n * batch, -1)
    return critic.apply(critics, rows, actions.reshape(n * batch, size)).reshape(-1, n, batch)
