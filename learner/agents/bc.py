"""Behaviour cloning: the policy's mode regresses onto what was shown.

Mean squared error on the squashed mean, not log-likelihood: human actions often sit on the bound, where the density of
a tanh-Gaussian is infinite. Which actions those are is the replay's to say: with `agent=bc` demonstrations alone, with
`agent=hg_dagger` also what a person corrects while the policy drives (HG-DAgger, Kelly et al. 2019, arXiv 1810.02890).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learner.agents.base import Batch, Judge, Metrics, minibatch
from learner.augmentation import augment
from learner.config import BcConfig
from networks import encoder, policy
from networks.architecture import Architecture
from networks.layers import Params

_SPREAD = 0.007
_LATER_SPREAD = 0.1


class State(NamedTuple):
    """Everything that training changes, and the normaliser, which it does not."""

    trained: dict[str, Params]
    normaliser: Params
    optimiser: Any
    seed: jax.Array
    step: jax.Array


class Bc:
    """See the module; every method but `__init__` is pure."""

    def __init__(self, config: BcConfig, arch: Architecture) -> None:
        self.config = config
        self.arch = arch
        self._optimiser = optax.adam(config.learning_rate)
        self._step = jax.jit(self._gradient_step, donate_argnums=0)

    def init(self, seed: int, normaliser: dict[str, np.ndarray]) -> State:
        """The state before the first update."""
        key_encoder, key_policy = jax.random.split(jax.random.key(seed))
        # Nothing here trains the spread; another agent may go on from this one, and explores at first with this.
        cloned = policy.with_spread(policy.init(key_policy, self.arch), _LATER_SPREAD)
        trained = {"encoder": encoder.init(key_encoder, self.arch), "policy": cloned}
        return State(
            trained=trained,
            normaliser=jax.tree.map(jnp.asarray, normaliser),
            optimiser=self._optimiser.init(trained),
            seed=jnp.uint32(seed),
            step=jnp.uint32(0),
        )

    def policy_loss(self, trained: dict[str, Params], normaliser: Params, batch: Batch) -> jax.Array:
        """Mean squared error between the policy's mode and the executed action."""
        features = encoder.apply(trained["encoder"], normaliser, batch["observation"], self.arch)
        return jnp.mean((policy.mode(policy.distribution(trained["policy"], features)) - batch["action"]) ** 2)

    def update(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One gradient step per stacked minibatch."""
        losses = []
        for i in range(batch["reward"].shape[0]):
            state, loss = self._step(state, minibatch(batch, i))
            losses.append(loss)
        return state, {"actor/loss": jnp.stack(losses).mean()}

    def policy(self, state: State) -> Params:
        """What travels to the robot; a clone hardly explores."""
        still = policy.with_spread(state.trained["policy"], _SPREAD)
        return {"encoder": state.trained["encoder"], "normaliser": state.normaliser, "policy": still}

    def judge(self, state: State) -> Judge | None:
        """Nothing: it has no critics."""
        return None

    def _gradient_step(self, state: State, batch: Batch) -> tuple[State, jax.Array]:
        key = jax.random.fold_in(jax.random.key(state.seed), state.step)
        how = {"shift_pixels": self.config.shift_pixels, "colour_jitter": self.config.colour_jitter}
        batch = batch | {"observation": augment(key, batch["observation"], **how)}
        loss, gradient = jax.value_and_grad(self.policy_loss)(state.trained, state.normaliser, batch)
        updates, optimiser = self._optimiser.update(gradient, state.optimiser)
        trained = optax.apply_updates(state.trained, updates)
        return state._replace(trained=trained, optimiser=optimiser, step=state.step + 1), loss
