"""Implicit Q-learning: values of the best actions in the data, never of any other, and a policy that imitates those.

Kostrikov et al. 2021, "Offline Reinforcement Learning with Implicit Q-Learning" (arXiv 2110.06169). Departures: the
policy is a tanh-Gaussian of constant spread fitted by weighted mean squared error on its mode, as in `bc` (the
log-likelihood of an action on the bound is infinite); it acts by its Polyak average; no cosine decay of its learning
rate, since a run may go on; the cameras' encoder is trained by the losses of the values alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learner.agents.base import Batch, Judge, Metrics, error_by_source, judging
from learner.agents.steps import Stepper, apply_gradients, augmented
from learner.config import IqlConfig
from networks import critic, encoder, policy
from networks.architecture import Architecture, Critics
from networks.layers import Params, dense, dense_init, mlp, mlp_init


class State(NamedTuple):
    """Everything that training changes, and the normaliser, which it does not."""

    encoder: Params
    critics: Params
    target_critics: Params
    value: Params
    policy: Params
    average_policy: Params
    average_encoder: Params
    normaliser: Params
    optimisers: dict[str, Any]
    seed: jax.Array
    step: jax.Array


class Iql:
    """See the module; every method but `__init__` is pure."""

    def __init__(self, config: IqlConfig, arch: Architecture) -> None:
        self.config = config
        self.arch = arch
        self.ensemble = Critics(members=2, norm="layer")
        adam = optax.flatten(optax.adam(config.learning_rate))
        self._optimisers = {"critics": adam, "value": adam, "policy": adam}
        self._optimisers["encoder"] = optax.adam(config.encoder_learning_rate)
        self.stepper = Stepper(self._gradient_step, arch, period=1)

    def init(self, seed: int, normaliser: dict[str, np.ndarray]) -> State:
        """The state before the first update."""
        key_encoder, key_critics, key_policy, key_value = jax.random.split(jax.random.key(seed), 4)
        trained = {
            "encoder": encoder.init(key_encoder, self.arch),
            "critics": critic.init(key_critics, self.arch, self.ensemble),
            "value": _value_init(key_value, self.arch),
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

    def value_loss(
        self, trained: dict[str, Params], state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array, jax.Array]]:
        """Equations 5 and 6: expectile of the targets' values, and TD error to the value that follows.

        With it the features, both critics' values (2, batch), their target and the advantage, (batch,) each.
        """
        features = encoder.apply(trained["encoder"], state.normaliser, batch["observation"], self.arch)
        held = jnp.min(critic.apply(state.target_critics, jax.lax.stop_gradient(features), batch["action"]), axis=0)
        value = _value(trained["value"], features)
        advantage = held - value
        after = encoder.apply(state.encoder, state.normaliser, batch["next_observation"], self.arch)
        target = batch["reward"] + self.config.discount * batch["mask"] * _value(state.value, after)
        values = critic.apply(trained["critics"], features, batch["action"])
        loss = jnp.mean(expectile_loss(advantage, self.config.expectile)) + jnp.mean((values - target) ** 2)
        return loss, jax.lax.stop_gradient((features, values, target, advantage))

    def policy_loss(self, params: Params, features: jax.Array, action: jax.Array, advantage: jax.Array) -> jax.Array:
        """Equation 7: imitation of every action, weighted by the exponential of its advantage."""
        weight = jnp.minimum(jnp.exp(self.config.inverse_temperature * advantage), self.config.largest_weight)
        distance = jnp.mean((policy.mode(policy.distribution(params, features)) - action) ** 2, axis=-1)
        return jnp.mean(weight * distance)

    def update(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One gradient step of everything per stacked minibatch."""
        return self.stepper(state, batch)

    def policy(self, state: State) -> Params:
        """What travels to the robot."""
        return {"encoder": state.average_encoder, "normaliser": state.normaliser, "policy": state.average_policy}

    def judge(self, state: State) -> Judge | None:
        """The averaged critics."""
        return judging(self.arch, self.ensemble, state)

    def _gradient_step(self, state: State, batch: Batch, *, with_actor: bool = True) -> tuple[State, Metrics]:
        config = self.config
        keys = jax.random.split(jax.random.fold_in(jax.random.key(state.seed), state.step))
        batch = augmented(batch, keys, shift_pixels=config.shift_pixels, colour_jitter=config.colour_jitter)
        trained = {"encoder": state.encoder, "critics": state.critics, "value": state.value}
        gradient_of = jax.value_and_grad(self.value_loss, has_aux=True)
        (loss, (features, values, target, advantage)), gradients = gradient_of(trained, state, batch)
        policy_gradient = jax.value_and_grad(self.policy_loss)
        actor_loss, gradients["policy"] = policy_gradient(state.policy, features, batch["action"], advantage)
        state = apply_gradients(self._optimisers, state, gradients)
        state = state._replace(
            target_critics=optax.incremental_update(state.critics, state.target_critics, config.polyak),
            average_policy=optax.incremental_update(state.policy, state.average_policy, config.policy_polyak),
            average_encoder=optax.incremental_update(state.encoder, state.average_encoder, config.policy_polyak),
            step=state.step + 1,
        )
        metrics = {"critic/loss": loss, "critic/q_mean": values.mean(), "critic/target_mean": target.mean()}
        metrics |= {"critic/advantage": advantage.mean(), "actor/loss": actor_loss}
        return state, metrics | error_by_source(values, target, batch)


def expectile_loss(error: jax.Array, expectile: float) -> jax.Array:
    """|expectile - 1(error < 0)| * error^2: at 0.5 half of the squared error; near 1 only the largest matter."""
    return jnp.where(error < 0, 1.0 - expectile, expectile) * error**2


def _value_init(key: jax.Array, arch: Architecture) -> Params:
    key_trunk, key_head = jax.random.split(key)
    trunk = mlp_init(key_trunk, arch.feature_dim, arch.hidden, normalise=True)
    return {"trunk": trunk, "head": dense_init(key_head, arch.hidden[-1], 1)}


def _value(params: Params, features: jax.Array) -> jax.Array:
    return dense(params["head"], mlp(params["trunk"], features))[..., 0]
