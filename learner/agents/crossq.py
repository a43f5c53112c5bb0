"""SAC or RLPD with batch-normalised critics and without target critics: CrossQ.

Bhatt et al. 2024, "CrossQ: Batch Normalization in Deep Reinforcement Learning for Greater Sample Efficiency and
Simplicity" (arXiv 1902.05605). Observations with their actions, and next observations with the policy's, pass through
the critics together, so that the moments are those of both; the targets are what comes out for the latter. Departures:
SAC's own here; the norm stands before the activation; no renormalisation, so that early steps are not a case of their
own; Adam's momentum stays at 0.9, and the actor at its period. The policy is trained by the moments of the
minibatch, not by the kept ones: those lag behind an encoder that learns, and what the critics then say is noise.
"""

import jax
import jax.numpy as jnp

from learner.agents.base import Batch, Metrics
from learner.agents.sac import CriticView, Sac, State
from networks import critic, gripper, policy
from networks.layers import Params, following_moments

_MOMENTS_WEIGHT = 0.01
"""Of a minibatch in the kept moments: the paper's momentum of 0.99."""


class CrossQ(Sac):
    """See the module; every method but `__init__` is pure."""

    def prepared(self, state: State, batch: Batch, key: jax.Array) -> Batch:
        """The minibatch with the joint pass: what follows, its value, and the moments.

        next_features (batch, n), next_move (batch, d), next_log_probability (batch,), next_values (members, batch).
        """
        after = self._features(state.encoder, state.normaliser, batch["next_observation"])
        move, log_probability = policy.sample(policy.distribution(state.policy, after), key)
        batch = batch | {"next_features": after, "next_move": move, "next_log_probability": log_probability}
        here = self._features(state.encoder, state.normaliser, batch["observation"])
        said, moments = self._joint(state.critics, here, batch)
        values = critic.means(state.critics, said)[:, here.shape[0] :]
        return jax.lax.stop_gradient(batch | {"next_values": values, "moments": moments})

    def td_target(self, state: State, batch: Batch, key: jax.Array) -> jax.Array:
        """SAC's, of the critics themselves in the joint pass; unclipped, shape (batch,)."""
        values = batch["next_values"]
        if self.config.subset < self._members:
            values = values[jax.random.choice(key, self._members, (self.config.subset,), replace=False)]
        return self.backed_up(state, batch, jnp.min(values, axis=0), batch["next_log_probability"])

    def critic_loss(
        self, trained: dict[str, Params], normaliser: Params, batch: Batch, target: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """SAC's, of the first half of the joint pass; with the features and the values."""
        features = self._features(trained["encoder"], normaliser, batch["observation"])
        critics = trained["critics"]
        said = self._joint(critics, features, batch)[0][:, : features.shape[0]]
        return jnp.mean(critic.errors(critics, said, target)), (features, critic.means(critics, said))

    def policy_loss(
        self, params: Params, state: State, batch: Batch, critic_view: CriticView, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """SAC's, by the moments of this minibatch."""
        judging = following_moments(state.critics, batch["moments"], weight=1.0)
        return super().policy_loss(params, state._replace(critics=judging), batch, critic_view, key)

    def settled(self, state: State, batch: Batch) -> State:
        """The state whose critics keep the moments of this minibatch too."""
        return state._replace(critics=following_moments(state.critics, batch["moments"], weight=_MOMENTS_WEIGHT))

    def followed(self, critics: Params, target: Params | None) -> Params:
        """No target critics."""
        return {}

    def _joint(self, critics: Params, features: jax.Array, batch: Batch) -> tuple[jax.Array, Params]:
        moves = gripper.moves(batch["action"], self.arch)
        both = jnp.concatenate([features, batch["next_features"]]), jnp.concatenate([moves, batch["next_move"]])
        return critic.logits_in_training(critics, *both)
