"""Contrastive preference learning: a policy from preferences between segments, without a reward and without values.

Hejna et al. 2024, "Contrastive Preference Learning" (arXiv 2310.13639). People prefer what has the less regret, and in
the maximum-entropy view an action's advantage is scale * log pi(a|s); so the policy itself takes the place of a reward
in the Bradley-Terry model, and what is left is one supervised loss. Departures: the density is that of a Gaussian of
variance one half round the squashed mean, which has a value on the bound too (see `bc`); no dropout; what is imitated
before preferences count are the segments of the pairs, the worse ones too.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learner.agents.base import Batch, Judge, Metrics
from learner.agents.steps import Stepper
from learner.augmentation import augment
from learner.config import CplConfig
from networks import encoder, policy
from networks.architecture import Architecture
from networks.layers import Params

_SPREAD = 0.007


class State(NamedTuple):
    """Everything that training changes, and the normaliser, which it does not."""

    trained: dict[str, Params]
    normaliser: Params
    optimiser: Any
    seed: jax.Array
    step: jax.Array


class Cpl:
    """See the module; every method but `__init__` is pure.

    Its batches hold segments: (utd, batch, 2, length, ...), the better one of each pair first.
    """

    def __init__(self, config: CplConfig, arch: Architecture) -> None:
        self.config = config
        self.arch = arch
        self._optimiser = optax.adam(config.learning_rate)
        self.stepper = Stepper(self._gradient_step, arch, period=1)

    def init(self, seed: int, normaliser: dict[str, np.ndarray]) -> State:
        """The state before the first update."""
        key_encoder, key_policy = jax.random.split(jax.random.key(seed))
        trained = {"encoder": encoder.init(key_encoder, self.arch), "policy": policy.init(key_policy, self.arch)}
        return State(
            trained=trained,
            normaliser=jax.tree.map(jnp.asarray, normaliser),
            optimiser=self._optimiser.init(trained),
            seed=jnp.uint32(seed),
            step=jnp.uint32(0),
        )

    def log_likelihood(self, trained: dict[str, Params], normaliser: Params, batch: Batch) -> jax.Array:
        """Of every action of a minibatch of segments, but for a constant, (batch, 2, length)."""
        shape = batch["action"].shape[:3]
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[3:]), batch["observation"])
        features = encoder.apply(trained["encoder"], normaliser, flat, self.arch)
        mode = policy.mode(policy.distribution(trained["policy"], features))
        return -jnp.sum((mode.reshape(*shape, -1) - batch["action"]) ** 2, axis=-1)

    def preference_loss(self, log_likelihood: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The paper's loss with its conservative bias, undiscounted; and the share of pairs ordered as preferred."""
        advantage = self.config.scale * jnp.sum(log_likelihood, axis=-1)
        better, worse = advantage[:, 0], advantage[:, 1]
        return jnp.mean(jax.nn.softplus(self.config.bias * worse - better)), jnp.mean(better > worse)

    def update(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One gradient step per stacked minibatch."""
        return self.stepper(state, batch)

    def policy(self, state: State) -> Params:
        """What travels to the robot; like a clone it hardly explores."""
        still = policy.with_spread(state.trained["policy"], _SPREAD)
        return {"encoder": state.trained["encoder"], "normaliser": state.normaliser, "policy": still}

    def judge(self, state: State) -> Judge | None:
        """Nothing: it has no critics."""
        return None

    def _gradient_step(self, state: State, batch: Batch, *, with_actor: bool = True) -> tuple[State, Metrics]:
        key = jax.random.fold_in(jax.random.key(state.seed), state.step)
        batch = batch | {"observation": self._augmented(key, batch["observation"])}
        imitating = state.step < self.config.bc_steps

        def loss_of(trained: dict[str, Params]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            likelihood = self.log_likelihood(trained, state.normaliser, batch)
            preferred, agreement = self.preference_loss(likelihood)
            error = -jnp.mean(likelihood) / batch["action"].shape[-1]
            return jnp.where(imitating, error, preferred), (error, agreement)

        (loss, (error, agreement)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.trained)
        updates, optimiser = self._optimiser.update(gradient, state.optimiser)
        trained = optax.apply_updates(state.trained, updates)
        metrics = {"actor/loss": loss, "actor/imitation_error": error, "actor/agreement": agreement}
        return state._replace(trained=trained, optimiser=optimiser, step=state.step + 1), metrics

    def _augmented(self, key: jax.Array, observation: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Every frame for itself."""
        shape = next(iter(observation.values())).shape[:3]
        flat = {name: leaf.reshape(-1, *leaf.shape[3:]) for name, leaf in observation.items()}
        how = {"shift_pixels": self.config.shift_pixels, "colour_jitter": self.config.colour_jitter}
        return {name: leaf.reshape(*shape, *leaf.shape[1:]) for name, leaf in augment(key, flat, **how).items()}
