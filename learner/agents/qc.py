"""Q-chunking: critics of action chunks, a flow that proposes them, and the best of several proposals to act on.

Li et al. 2025, "Reinforcement Learning with Action Chunking" (arXiv 2507.07969), QC: the critics learn
sum_k discount^k r_(t+k) + discount^h * mask * max over proposals of the mean target value at t+h; the flow imitates all
that was done. Departures: demonstrations and corrections are half of every minibatch, for a handful of them would drown
in uniform draws; targets take the best of `target_candidates`, fewer than acting does; they are clipped to the returns
that are possible; the acting flow is the Polyak average of the trained one. A window that ends with the task is filled
up with its last action and learned from, where the paper leaves out all that end early; one that ends otherwise
(a time limit, a hold) is left out. With chunks of one action this is the same agent without chunks.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learner.agents.base import Batch, Judge, Metrics, error_by_source, judging
from learner.agents.steps import Stepper, apply_gradients, augmented
from learner.config import QcConfig
from networks import chunks, critic, encoder
from networks.architecture import Architecture, Critics
from networks.layers import Params


class State(NamedTuple):
    """Everything that training changes, and the normaliser, which it does not."""

    encoder: Params
    critics: Params
    target_critics: Params
    flow: Params
    average_flow: Params
    average_encoder: Params
    normaliser: Params
    optimisers: dict[str, Any]
    seed: jax.Array
    step: jax.Array


class Qc:
    """See the module; every method but `__init__` is pure."""

    def __init__(self, config: QcConfig, arch: Architecture, return_bounds: tuple[float, float] | None) -> None:
        assert arch.chunk is not None
        self.config, self.arch = config, arch
        self.ensemble = Critics(members=arch.chunk.critics, norm="layer")
        self._bounds = return_bounds if config.clip_targets else None
        adam = optax.flatten(optax.adam(config.learning_rate))
        self._optimisers = {"critics": adam, "flow": adam, "encoder": optax.adam(config.encoder_learning_rate)}
        self.stepper = Stepper(self._gradient_step, arch, period=1)

    def init(self, seed: int, normaliser: dict[str, np.ndarray]) -> State:
        """The state before the first update."""
        key_encoder, key_critics, key_flow = jax.random.split(jax.random.key(seed), 3)
        trained = {
            "encoder": encoder.init(key_encoder, self.arch),
            "critics": critic.init(key_critics, self.arch, self.ensemble),
            "flow": chunks.init(key_flow, self.arch),
        }
        return State(
            **trained,
            target_critics=jax.tree.map(jnp.copy, trained["critics"]),
            average_flow=jax.tree.map(jnp.copy, trained["flow"]),
            average_encoder=jax.tree.map(jnp.copy, trained["encoder"]),
            normaliser=jax.tree.map(jnp.asarray, normaliser),
            optimisers={name: optimiser.init(trained[name]) for name, optimiser in self._optimisers.items()},
            seed=jnp.uint32(seed),
            step=jnp.uint32(0),
        )

    def td_target(self, state: State, batch: Batch, key: jax.Array) -> jax.Array:
        """Rewards of the chunk + bootstrap * best mean target value after it; unclipped, shape (batch,)."""
        features = encoder.apply(state.encoder, state.normaliser, batch["next_observation"], self.arch)
        count = self.config.target_candidates
        best = chunks.best_of(state.flow, state.target_critics, features, key, self.arch, candidates=count)
        return batch["reward"] + batch["bootstrap"] * best[1]

    def critic_loss(
        self, trained: dict[str, Params], normaliser: Params, batch: Batch, target: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Mean squared error of every critic to the target over the valid windows, with features and values."""
        features = encoder.apply(trained["encoder"], normaliser, batch["observation"], self.arch)
        values = critic.apply(trained["critics"], features, batch["action"])
        return _mean_of_valid(jnp.mean((values - target) ** 2, axis=0), batch), (features, values)

    def flow_loss(self, params: Params, features: jax.Array, batch: Batch, key: jax.Array) -> jax.Array:
        """Flow matching to the executed chunks over the valid windows; no gradient reaches the encoder."""
        return _mean_of_valid(chunks.flow_loss(params, features, batch["action"], key), batch)

    def update(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One gradient step per stacked minibatch."""
        return self.stepper(state, batch)

    def policy(self, state: State) -> Params:
        """What travels to the robot: the critics too, for they choose among the proposals."""
        acting = {"encoder": state.average_encoder, "normaliser": state.normaliser}
        return acting | {"flow": state.average_flow, "critics": state.target_critics}

    def judge(self, state: State) -> Judge | None:
        """The averaged critics."""
        return judging(self.arch, self.ensemble, state)

    def _gradient_step(self, state: State, batch: Batch, *, with_actor: bool) -> tuple[State, Metrics]:
        """All of it in every step: the flow is no dearer than the critics (`with_actor` is for agents that save it)."""
        key = jax.random.fold_in(jax.random.key(state.seed), state.step)
        key_target, key_flow, *keys = jax.random.split(key, 4)
        how = {"shift_pixels": self.config.shift_pixels, "colour_jitter": self.config.colour_jitter}
        batch = augmented(batch, jnp.stack(keys), **how)
        target = self.td_target(state, batch, key_target)
        clipped = target if self._bounds is None else jnp.clip(target, *self._bounds)
        trained = {"encoder": state.encoder, "critics": state.critics}
        gradient_of = jax.value_and_grad(self.critic_loss, has_aux=True)
        (loss, (features, values)), gradients = gradient_of(trained, state.normaliser, batch, clipped)
        flow_gradient = jax.value_and_grad(self.flow_loss)
        features = jax.lax.stop_gradient(features)
        flow_loss, gradients["flow"] = flow_gradient(state.flow, features, batch, key_flow)
        state = apply_gradients(self._optimisers, state, gradients)
        state = state._replace(
            target_critics=optax.incremental_update(state.critics, state.target_critics, self.config.polyak),
            average_flow=optax.incremental_update(state.flow, state.average_flow, self.config.policy_polyak),
            average_encoder=optax.incremental_update(state.encoder, state.average_encoder, self.config.policy_polyak),
            step=state.step + 1,
        )
        metrics = {"critic/loss": loss, "critic/q_mean": values.mean(), "critic/target_mean": target.mean()}
        metrics |= error_by_source(values, clipped, batch)
        return state, metrics | {"actor/loss": flow_loss, "critic/valid_windows": jnp.mean(batch["valid"])}


def _mean_of_valid(each: jax.Array, batch: Batch) -> jax.Array:
    return jnp.sum(batch["valid"] * each) / jnp.maximum(jnp.sum(batch["valid"]), 1.0)
