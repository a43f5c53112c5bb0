"""TD3+BC: the policy follows the critics while it stays near the data's actions; with PRDC, near the nearest of them.

Fujimoto and Gu 2021, "A Minimalist Approach to Offline Reinforcement Learning" (arXiv 2106.06860); Ran et al. 2023,
"Policy Regularization with Dataset Constraint for Offline RL" (PRDC, arXiv 2306.06569). Departures: LayerNorm in actor
and critics, targets clipped to the returns that are possible, and the cameras' encoder trained by the critics' loss
only. The policy is the mode of a tanh-Gaussian of constant spread, so that it runs on the robot as every other.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learner.agents.base import Batch, Judge, Metrics, error_by_source, judging
from learner.agents.steps import Stepper, apply_gradients, augmented
from learner.config import Td3BcConfig
from learner.neighbours import Neighbours
from networks import critic, encoder, policy
from networks.architecture import Architecture, Critics
from networks.layers import Params


class State(NamedTuple):
    """Everything that training changes, and the normaliser, which it does not."""

    encoder: Params
    critics: Params
    target_critics: Params
    policy: Params
    average_policy: Params
    """TD3's target policy; it acts, too."""
    average_encoder: Params
    """With which it acts."""
    normaliser: Params
    optimisers: dict[str, Any]
    seed: jax.Array
    step: jax.Array


class Td3Bc:
    """See the module; every method but `__init__` and `study` is pure."""

    def __init__(self, config: Td3BcConfig, arch: Architecture, return_bounds: tuple[float, float] | None) -> None:
        self.config = config
        self.arch = arch
        self.ensemble = Critics(members=2, norm="layer")
        self._bounds = return_bounds if config.clip_targets else None
        self._neighbours: Neighbours | None = None
        adam = optax.flatten(optax.adam(config.learning_rate))
        self._optimisers = {"critics": adam, "policy": adam, "encoder": optax.adam(config.encoder_learning_rate)}
        self.stepper = Stepper(self._gradient_step, arch, period=config.actor_period)

    def study(self, neighbours: Neighbours) -> None:
        """Know the data that the policy shall stay near; before the first update, where `neighbours` is set."""
        self._neighbours = neighbours

    def init(self, seed: int, normaliser: dict[str, np.ndarray]) -> State:
        """The state before the first update."""
        key_encoder, key_critics, key_policy = jax.random.split(jax.random.key(seed), 3)
        trained = {
            "encoder": encoder.init(key_encoder, self.arch),
            "critics": critic.init(key_critics, self.arch, self.ensemble),
            "policy": policy.with_spread(policy.init(key_policy, self.arch), self.config.spread),
        }
        return State(
            **trained,
            target_critics=jax.tree.map(jnp.copy, trained["critics"]),
            average_policy=jax.tree.map(jnp.copy, trained["policy"]),
            average_encoder=jax.tree.map(jnp.copy, trained["encoder"]),
            normaliser=jax.tree.map(jnp.asarray, normaliser),
            optimisers={name: optimiser.init(trained[name]) for name, optimiser in self._optimisers.items()},
            seed=jnp.uint32(seed),
            step=jnp.uint32(0),
        )

    def critic_loss(
        self, trained: dict[str, Params], normaliser: Params, batch: Batch, target: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Mean squared error of both critics to the target, with the features and the values."""
        features = encoder.apply(trained["encoder"], normaliser, batch["observation"], self.arch)
        values = critic.apply(trained["critics"], features, batch["action"])
        return jnp.mean((values - target) ** 2), (features, values)

    def td_target(self, state: State, batch: Batch, key: jax.Array) -> jax.Array:
        """TD3's: the smaller value of the target policy's action, which is shaken a little; (batch,)."""
        features = encoder.apply(state.encoder, state.normaliser, batch["next_observation"], self.arch)
        action = policy.mode(policy.distribution(state.average_policy, features))
        noise = self.config.target_noise * jax.random.normal(key, action.shape)
        noise = jnp.clip(noise, -self.config.noise_clip, self.config.noise_clip)
        shaken = jnp.clip(action + noise, -1.0, 1.0)
        value = jnp.min(critic.apply(state.target_critics, features, shaken), axis=0)
        target = batch["reward"] + self.config.discount * batch["mask"] * value
        return target if self._bounds is None else jnp.clip(target, *self._bounds)

    def policy_loss(
        self, params: Params, critics: Params, features: jax.Array, batch: Batch, vectors: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """- alpha * Q / mean |Q| + distance to the data: invariant to the scale of the reward."""
        action = policy.mode(policy.distribution(params, features))
        value = critic.apply(critics, features, action)[0]
        near = batch["action"] if self._neighbours is None else self.nearest(vectors, jax.lax.stop_gradient(action))
        distance = jnp.mean((action - near) ** 2)
        scale = self.config.alpha / jax.lax.stop_gradient(jnp.maximum(jnp.mean(jnp.abs(value)), 1e-6))
        return distance - scale * jnp.mean(value), {"actor/distance": distance}

    def nearest(self, vectors: jax.Array, action: jax.Array) -> jax.Array:
        """The action of the data's nearest pair of observation and action, (batch, d)."""
        assert self._neighbours is not None
        shape = jax.ShapeDtypeStruct(action.shape, jnp.float32)
        return jax.pure_callback(self._neighbours.nearest_action, shape, vectors, action)

    def update(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One critic step per stacked minibatch, and an actor step after every `actor_period` of them."""
        return self.stepper(state, batch)

    def policy(self, state: State) -> Params:
        """What travels to the robot."""
        return {"encoder": state.average_encoder, "normaliser": state.normaliser, "policy": state.average_policy}

    def judge(self, state: State) -> Judge | None:
        """The averaged critics."""
        return judging(self.arch, self.ensemble, state)

    def _gradient_step(self, state: State, batch: Batch, *, with_actor: bool) -> tuple[State, Metrics]:
        config = self.config
        key_target, *keys = jax.random.split(jax.random.fold_in(jax.random.key(state.seed), state.step), 3)
        how = {"shift_pixels": config.shift_pixels, "colour_jitter": config.colour_jitter}
        batch = augmented(batch, jnp.stack(keys), **how)
        target = self.td_target(state, batch, key_target)
        trained = {"encoder": state.encoder, "critics": state.critics}
        gradient_of = jax.value_and_grad(self.critic_loss, has_aux=True)
        (loss, (features, values)), gradients = gradient_of(trained, state.normaliser, batch, target)
        state = apply_gradients(self._optimisers, state, gradients)._replace(step=state.step + 1)
        metrics = {"critic/loss": loss, "critic/q_mean": values.mean(), "critic/target_mean": target.mean()}
        metrics |= error_by_source(values, target, batch)
        if with_actor:
            vectors = encoder.vectors(state.normaliser, batch["observation"], self.arch)
            policy_gradient = jax.value_and_grad(self.policy_loss, has_aux=True)
            features = jax.lax.stop_gradient(features)
            (actor_loss, more), gradient = policy_gradient(state.policy, state.critics, features, batch, vectors)
            state = apply_gradients(self._optimisers, state, {"policy": gradient})
            # Both targets move with the actor: equation 15 of TD3 (Fujimoto et al. 2018) and its delay.
            state = state._replace(
                target_critics=optax.incremental_update(state.critics, state.target_critics, config.polyak),
                average_policy=optax.incremental_update(state.policy, state.average_policy, config.polyak),
                average_encoder=optax.incremental_update(state.encoder, state.average_encoder, config.polyak),
            )
            metrics |= more | {"actor/loss": actor_loss}
        return state, metrics
