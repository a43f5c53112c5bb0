"""Growing Q-networks: critics alone, over a grid of actions that begins coarse and grows finer.

Seyde et al. 2024, "Growing Q-Networks" (arXiv 2404.04253), over the decoupled values of Seyde et al. 2023 (arXiv
2210.12566); see networks.grid. With two choices an entry exploration is bold and the maximum easy to find; with nine,
control is smooth. Targets are of n steps: double Q-learning entry by entry, Huber loss on the mean over the entries.
Departures: prior data in half of every minibatch, LayerNorm, targets clipped to the returns that are possible, the
lower of two target critics, and their Polyak average both as target and to act by; the grid grows at fixed shares of
`grow_steps`, not when returns stall; draws are uniform. Demonstrations and corrections lie between the points: they are
snapped to the nearest one, and `human/snap_error` says how far. They shall be worth a margin more than other choices
(Hester et al. 2018, "Deep Q-learning from Demonstrations"); the farther off the point, the less that is demanded.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learner.agents.base import Batch, Judge, Metrics, error_by_source
from learner.agents.steps import Stepper, apply_gradients, augmented
from learner.config import GqnConfig
from networks import encoder, grid
from networks.architecture import Architecture
from networks.layers import Params


class State(NamedTuple):
    """Everything that training changes, and the normaliser, which it does not."""

    encoder: Params
    critics: Params
    target_critics: Params
    average_encoder: Params
    """With which the target critics act."""
    normaliser: Params
    optimisers: dict[str, Any]
    seed: jax.Array
    step: jax.Array


class Gqn:
    """See the module; every method but `__init__` is pure."""

    def __init__(self, config: GqnConfig, arch: Architecture, return_bounds: tuple[float, float] | None) -> None:
        assert arch.grid is not None
        self.config, self.arch = config, arch
        self._bounds = return_bounds if config.clip_targets else None
        sizes = grid.stages(config.first_bins, config.bins)
        self._open = np.stack([grid.open_points(config.bins, size) for size in sizes])
        adam = optax.flatten(optax.adam(config.learning_rate))
        self._optimisers = {"critics": adam, "encoder": optax.adam(config.encoder_learning_rate)}
        self.stepper = Stepper(self._gradient_step, arch, period=1)

    def init(self, seed: int, normaliser: dict[str, np.ndarray]) -> State:
        """The state before the first update."""
        key_encoder, key_critics = jax.random.split(jax.random.key(seed))
        trained = {"encoder": encoder.init(key_encoder, self.arch), "critics": grid.init(key_critics, self.arch)}
        return State(
            **trained,
            target_critics=jax.tree.map(jnp.copy, trained["critics"]),
            average_encoder=jax.tree.map(jnp.copy, trained["encoder"]),
            normaliser=jax.tree.map(jnp.asarray, normaliser),
            optimisers={name: optimiser.init(trained[name]) for name, optimiser in self._optimisers.items()},
            seed=jnp.uint32(seed),
            step=jnp.uint32(0),
        )

    def active(self, step: jax.Array) -> jax.Array:
        """1 for the points that are open after so many gradient steps, (bins,): stage i of n from share i / n on."""
        share = step / (self.config.grow_steps * self.config.utd)
        stage = jnp.minimum(jnp.floor(share * len(self._open)), len(self._open) - 1)
        return jnp.asarray(self._open)[stage.astype(jnp.int32)]

    def td_target(self, state: State, batch: Batch) -> jax.Array:
        """Rewards of n steps + bootstrap * the lower target value of the best action then; unclipped, (batch,)."""
        features = encoder.apply(state.encoder, state.normaliser, batch["next_observation"], self.arch)
        chosen = grid.best(grid.values(state.critics, features, self.arch), self.active(state.step))
        value = jnp.min(grid.taken(grid.values(state.target_critics, features, self.arch), chosen), axis=0)
        return batch["reward"] + batch["bootstrap"] * value

    def critic_loss(
        self, trained: dict[str, Params], state: State, batch: Batch, target: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Huber loss of every critic over the valid windows, plus the margin; with values and snapping errors."""
        features = encoder.apply(trained["encoder"], state.normaliser, batch["observation"], self.arch)
        active = self.active(state.step)
        # Of the n steps' actions the first is decided on.
        chosen, off = grid.snapped(batch["action"][:, : self.arch.action_dim], active)
        worth = grid.values(trained["critics"], features, self.arch)
        values = grid.taken(worth, chosen)
        valid = batch["valid"] / jnp.maximum(jnp.sum(batch["valid"]), 1.0)
        loss = jnp.sum(valid * jnp.mean(optax.huber_loss(values, target[None]), axis=0))
        pull = self.config.bc_weight * self._fade(state) * batch["prior"]
        loss += jnp.mean(pull * self.demanded(worth, chosen, off, active))
        return loss, (values, off)

    def demanded(self, worth: jax.Array, chosen: jax.Array, off: jax.Array, active: jax.Array) -> jax.Array:
        """By how much the `chosen` entries fall short of being worth a margin more than any other, (batch,)."""
        other = jnp.arange(active.shape[-1]) != chosen[..., None]
        rivals = jnp.where(active > 0, worth + self.config.margin * other, -jnp.inf).max(axis=-1)
        shown = jnp.take_along_axis(worth, jnp.broadcast_to(chosen, worth.shape[:-1])[..., None], axis=-1)[..., 0]
        return jnp.mean((rivals - shown) * jnp.maximum(1.0 - off, 0.0), axis=(0, 2))

    def update(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One gradient step per stacked minibatch."""
        return self.stepper(state, batch)

    def policy(self, state: State) -> Params:
        """What travels to the robot: the averaged critics, and which points are open."""
        acting = {"encoder": state.average_encoder, "normaliser": state.normaliser, "critics": state.target_critics}
        return acting | {"active": self.active(state.step)}

    def judge(self, state: State) -> Judge | None:
        """Nothing: its values are of points, not of whole actions between them."""
        return None

    def _fade(self, state: State) -> jax.Array:
        return jnp.maximum(1.0 - state.step / (self.config.bc_fade_steps * self.config.utd), 0.0)

    def _gradient_step(self, state: State, batch: Batch, *, with_actor: bool) -> tuple[State, Metrics]:
        """There is no actor; `with_actor` is for agents that have one."""
        keys = jax.random.split(jax.random.fold_in(jax.random.key(state.seed), state.step))
        how = {"shift_pixels": self.config.shift_pixels, "colour_jitter": self.config.colour_jitter}
        batch = augmented(batch, keys, **how)
        target = self.td_target(state, batch)
        clipped = target if self._bounds is None else jnp.clip(target, *self._bounds)
        trained = {"encoder": state.encoder, "critics": state.critics}
        gradient_of = jax.value_and_grad(self.critic_loss, has_aux=True)
        (loss, (values, off)), gradients = gradient_of(trained, state, batch, clipped)
        metrics = {"critic/loss": loss, "critic/q_mean": values.mean(), "critic/target_mean": target.mean()}
        metrics |= error_by_source(values, clipped, batch)
        shown = jnp.maximum(jnp.sum(batch["human"]), 1.0)
        metrics["human/snap_error"] = jnp.sum(batch["human"] * off.mean(axis=-1)) / shown
        metrics["actor/open_points"] = jnp.sum(self.active(state.step))
        state = apply_gradients(self._optimisers, state, gradients)
        newest, average = (state.critics, state.encoder), (state.target_critics, state.average_encoder)
        followed: Any = optax.incremental_update(newest, average, self.config.polyak)
        return state._replace(target_critics=followed[0], average_encoder=followed[1], step=state.step + 1), metrics
