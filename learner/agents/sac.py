"""Soft actor-critic, and with prior data in every minibatch, LayerNorm and a high update ratio: RLPD.

Ball et al. 2023, "Efficient Online Reinforcement Learning with Offline Data" (arXiv 2302.02948); Haarnoja et al. 2018.
Departures: the targets are clipped to the returns that are possible; the policy is drawn to prior actions
(`bc_weight`) and acts by its Polyak average; the cameras' encoder is trained by the critics' loss only and the next
observation passes through the online encoder, so there is no target encoder. What corrections teach beside what they
show is in `lagrange` and `takeover`, the discrete gripper in `grasp`; actor and critics then decide on the rest.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learner.agents import grasp, lagrange, takeover
from learner.agents.base import Batch, Judge, Metrics, error_by_source, judging
from learner.agents.steps import Stepper, apply_gradients, augmented
from learner.config import SacConfig
from networks import critic, encoder, gripper, hypersphere, policy
from networks.architecture import Architecture, ArchitectureError, Critics
from networks.layers import Params

CriticView = tuple[jax.Array, jax.Array]
"""What the critics made of a minibatch: features (batch, n) and mean value of its actions (batch,); no gradients."""


class State(NamedTuple):
    """Everything that training changes, and the normaliser, which it does not."""

    encoder: Params
    critics: Params
    target_critics: Params
    policy: Params
    average_policy: Params
    """Polyak average of the policy: what acts. Single updates make success swing by ten points; their mean does not."""
    average_encoder: Params
    """Of the encoder that acts with it: an average policy misreads what the newest encoder makes of a picture."""
    log_temperature: jax.Array
    normaliser: Params
    optimisers: dict[str, Any]
    seed: jax.Array
    step: jax.Array
    """Gradient steps taken; every random number of a step follows from (seed, step)."""
    human: Params
    """Model of the human's actions, and its multiplier; empty unless interventions=lagrange."""
    multiplier: Params
    gripper: Params
    """Critic of the discrete grippers, and its Polyak average, which acts; empty where there is none."""
    target_gripper: Params


class Sac:
    """See the module; every method but `__init__` is pure."""

    def __init__(
        self,
        config: SacConfig,
        arch: Architecture,
        return_bounds: tuple[float, float] | None,
        interventions: str = "plain",
    ) -> None:
        self.config = config
        self.arch = arch
        self._tied, self._charged = interventions == "lagrange", interventions == "takeover"
        self._bounds = return_bounds if config.clip_targets else None
        if self._bounds is not None and self._charged:
            self._bounds = takeover.lowered(self._bounds, cost=config.takeover_cost, discount=config.discount)
        self._members = (2 if arch.frames else 10) if config.critics is None else config.critics
        self.ensemble = self._ensemble()
        self._polyak = (0.01 if arch.convolves else 0.005) if config.polyak is None else config.polyak
        self._target_entropy = config.target_entropy_per_dim * arch.move_dim
        # As one vector each: thirty small arrays would be thirty times the handful of kernels that Adam takes.
        adam = optax.flatten(optax.adam(config.learning_rate))
        self._optimisers = {"critics": adam, "policy": adam, "log_temperature": adam}
        self._optimisers["encoder"] = optax.adam(config.encoder_learning_rate)
        if self._tied:
            multiplier = optax.flatten(optax.adam(config.multiplier_learning_rate))
            self._optimisers |= {"human": adam, "multiplier": multiplier}
        if arch.grippers:
            self._optimisers["gripper"] = adam
        self._halved = arch.convolves and config.precision == "bfloat16"
        self.stepper = Stepper(self._gradient_step, arch, config.actor_period)

    def init(self, seed: int, normaliser: dict[str, np.ndarray]) -> State:
        """The state before the first update."""
        key_encoder, key_critics, key_policy = jax.random.split(jax.random.key(seed), 3)
        trained = {
            "encoder": encoder.init(key_encoder, self.arch),
            "critics": critic.init(key_critics, self.arch, self.ensemble),
            "policy": policy.init(key_policy, self.arch),
            "log_temperature": jnp.asarray(np.log(self.config.initial_temperature), jnp.float32),
            "human": {},
            "multiplier": {},
            "gripper": {},
        }
        key_human, key_multiplier, key_gripper = jax.random.split(jax.random.fold_in(key_policy, 1), 3)
        if self._tied:
            trained["human"] = lagrange.human_init(key_human, self.arch)
            trained["multiplier"] = lagrange.multiplier_init(key_multiplier, self.arch, first=self.config.multiplier)
        if self.arch.grippers:
            trained["gripper"] = gripper.init(key_gripper, self.arch)
        return State(
            **trained,
            target_critics=self.followed(trained["critics"], None),
            average_policy=jax.tree.map(jnp.copy, trained["policy"]),
            average_encoder=jax.tree.map(jnp.copy, trained["encoder"]),
            target_gripper=jax.tree.map(jnp.copy, trained["gripper"]),
            normaliser=jax.tree.map(jnp.asarray, normaliser),
            optimisers={name: optimiser.init(trained[name]) for name, optimiser in self._optimisers.items()},
            seed=jnp.uint32(seed),
            step=jnp.uint32(0),
        )

    def critic_loss(
        self, trained: dict[str, Params], normaliser: Params, batch: Batch, target: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Mean error of every critic to the target, squared or of bins, with the features and the values."""
        features = self._features(trained["encoder"], normaliser, batch["observation"])
        critics = trained["critics"]
        said = critic.logits(critics, features, gripper.moves(batch["action"], self.arch))
        return jnp.mean(critic.errors(critics, said, target)), (features, critic.means(critics, said))

    def prepared(self, state: State, batch: Batch, key: jax.Array) -> Batch:
        """The minibatch with what target and critics' loss need besides; here that is nothing."""
        return batch

    def settled(self, state: State, batch: Batch) -> State:
        """The state after the critics' gradient step, with what moves without a gradient: weights, onto the sphere."""
        return state._replace(critics=self._kept(state.critics))

    def followed(self, critics: Params, target: Params | None) -> Params:
        """The target critics after a step, which follow the critics; None: before the first."""
        if target is None:
            return jax.tree.map(jnp.copy, critics)
        mixed: Any = optax.incremental_update(critics, target, self._polyak)
        # The mean of two points on a sphere lies inside it. SimbaV2 leaves it there; these judge too, so they go back.
        return self._kept(mixed)

    def td_target(self, state: State, batch: Batch, key: jax.Array) -> jax.Array:
        """r + discount * mask * min over a random subset of the target critics; unclipped, shape (batch,)."""
        config = self.config
        key_action, key_subset = jax.random.split(key)
        features = self._features(state.encoder, state.normaliser, batch["next_observation"])
        action, log_probability = policy.sample(policy.distribution(state.policy, features), key_action)
        members = state.target_critics
        if config.subset < self._members:
            # Drawn without replacement: with replacement a pair is now and then one critic twice.
            chosen = jax.random.choice(key_subset, self._members, (config.subset,), replace=False)
            members = jax.tree.map(lambda leaf: leaf[chosen], members)
        value = jnp.min(critic.apply(members, features, action), axis=0)
        return self.backed_up(state, batch, value, log_probability)

    def backed_up(self, state: State, batch: Batch, value: jax.Array, log_probability: jax.Array) -> jax.Array:
        """r + discount * mask * what follows, shape (batch,)."""
        if self.config.backup_entropy:
            value -= jnp.exp(state.log_temperature) * log_probability
        return batch["reward"] + self.config.discount * batch["mask"] * value

    def policy_loss(
        self, params: Params, state: State, batch: Batch, critic_view: CriticView, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Temperature * log-probability - mean over all critics, plus the pull to prior actions."""
        features, batch_value = critic_view
        gaussian = policy.distribution(params, features)
        action, log_probability = policy.sample(gaussian, key)
        value = jnp.mean(critic.apply(state.critics, features, action), axis=0)
        loss = jnp.exp(state.log_temperature) * log_probability - value
        metrics = {"actor/entropy": -jnp.mean(log_probability)}
        if self.config.bc_weight > 0:
            weight = self.imitation_weight(state, batch, batch_value > jax.lax.stop_gradient(value))
            shown = gripper.moves(batch["action"], self.arch)
            loss += self.config.bc_weight * weight * jnp.mean((policy.mode(gaussian) - shown) ** 2, axis=-1)
            metrics["actor/imitated"] = jnp.sum(weight) / jnp.maximum(jnp.sum(batch["prior"]), 1.0)
        if self._tied:
            loss = lagrange.tied(loss, policy.mode(gaussian), state.human, state.multiplier, features)
        return jnp.mean(loss), metrics

    def imitation_weight(self, state: State, batch: Batch, better: jax.Array) -> jax.Array:
        """How far the policy is drawn to each action of the batch, in 0..1, shape (batch,).

        Early critics know nothing, so at first every prior action counts; as that fades, those stay that the critics
        hold for `better` than the policy's own (the Q-filter of Nair et al. 2018, "Overcoming Exploration in RL").
        """
        return batch["prior"] * jnp.maximum(better, self._fade(state))

    def _fade(self, state: State) -> jax.Array:
        return jnp.maximum(1.0 - state.step / (self.config.bc_fade_steps * self.config.utd), 0.0)

    def temperature_loss(self, log_temperature: jax.Array, entropy: jax.Array) -> jax.Array:
        """Lagrangian of the constraint entropy >= target entropy."""
        return jnp.exp(log_temperature) * (entropy - self._target_entropy)

    def update(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One gradient step per stacked minibatch, an actor update after every `actor_period` of them."""
        return self.stepper(state, batch)

    def policy(self, state: State) -> Params:
        """What travels to the robot."""
        acting = {"encoder": state.average_encoder, "normaliser": state.normaliser, "policy": state.average_policy}
        return acting | ({"gripper": state.target_gripper} if self.arch.grippers else {})

    def judge(self, state: State) -> Judge | None:
        """The averaged critics."""
        return judging(self.arch, self.ensemble, state)

    def _gradient_step(self, state: State, batch: Batch, *, with_actor: bool) -> tuple[State, Metrics]:
        key = jax.random.fold_in(jax.random.key(state.seed), state.step)
        key_target, key_actor, *keys = jax.random.split(key, 4)
        how = {"shift_pixels": self.config.shift_pixels, "colour_jitter": self.config.colour_jitter}
        batch = augmented(batch, jnp.stack(keys), **how)
        if self._charged:
            batch = takeover.charged(batch, steps=self.config.takeover_steps, cost=self.config.takeover_cost)
        batch = self.prepared(state, batch, jax.random.fold_in(key, 1))
        target = self.td_target(state, batch, key_target)
        clipped = target if self._bounds is None else jnp.clip(target, *self._bounds)
        trained = {"encoder": state.encoder, "critics": state.critics}
        gradient_of = jax.value_and_grad(self.critic_loss, has_aux=True)
        (loss, (features, values)), gradients = gradient_of(trained, state.normaliser, batch, clipped)
        metrics = {"critic/loss": loss, "critic/q_mean": values.mean(), "critic/target_mean": target.mean()}
        metrics |= error_by_source(values, clipped, batch)
        features = jax.lax.stop_gradient(features)
        if self.arch.grippers:
            gradients["gripper"], more = self._gripper_gradient(state, batch, features)
            metrics |= more
        if self._tied:
            shown = gripper.moves(batch["action"], self.arch)
            gradient_of = jax.value_and_grad(lagrange.human_loss)
            metrics["human/model_loss"], gradients["human"] = gradient_of(state.human, features, shown, batch["human"])
        state = self.settled(apply_gradients(self._optimisers, state, gradients), batch)
        state = state._replace(
            target_critics=self.followed(state.critics, state.target_critics),
            target_gripper=optax.incremental_update(state.gripper, state.target_gripper, self._polyak),
            step=state.step + 1,
        )
        if with_actor:
            critic_view = (features, jax.lax.stop_gradient(values.mean(axis=0)))
            state, actor_metrics = self._actor_step(state, batch, critic_view, key_actor)
            metrics |= actor_metrics
        return state, metrics

    def _gripper_gradient(self, state: State, batch: Batch, features: jax.Array) -> tuple[Params, Metrics]:
        config = self.config
        target = grasp.td_target(
            state.gripper,
            state.target_gripper,
            self._features(state.encoder, state.normaliser, batch["next_observation"]),
            batch,
            self.arch,
            discount=config.discount,
            toggle_penalty=config.toggle_penalty,
        )
        if self._bounds is not None:
            cost = config.toggle_penalty * len(self.arch.grippers)
            target = jnp.clip(target, *takeover.lowered(self._bounds, cost=cost, discount=config.discount))
        pull = config.bc_weight * self._fade(state) * batch["prior"]
        gradient_of = jax.grad(grasp.loss, has_aux=True)
        return gradient_of(state.gripper, features, batch, target, self.arch, pull, config.gripper_margin)

    def _actor_step(self, state: State, batch: Batch, critic_view: CriticView, key: jax.Array) -> tuple[State, Metrics]:
        gradient_of = jax.value_and_grad(self.policy_loss, has_aux=True)
        (loss, metrics), gradient = gradient_of(state.policy, state, batch, critic_view, key)
        temperature_gradient = jax.grad(self.temperature_loss)(state.log_temperature, metrics["actor/entropy"])
        gradients = {"policy": gradient, "log_temperature": temperature_gradient}
        if self._tied:
            features, _ = critic_view
            mode = policy.mode(policy.distribution(state.policy, features))
            beyond = lagrange.excess(mode, state.human, features, self.config.human_slack)
            gradients["multiplier"] = jax.grad(lagrange.multiplier_loss)(state.multiplier, features, beyond)
            metrics["actor/multiplier"] = jnp.mean(lagrange.multiplier(state.multiplier, features))
            metrics["actor/beyond_human"] = jnp.mean(beyond > 0)
        state = apply_gradients(self._optimisers, state, gradients)
        newest, average = (state.encoder, state.policy), (state.average_encoder, state.average_policy)
        mixed: Any = optax.incremental_update(newest, average, self.config.policy_polyak)
        state = state._replace(average_encoder=mixed[0], average_policy=mixed[1])
        return state, metrics | {"actor/loss": loss, "actor/temperature": jnp.exp(state.log_temperature)}

    def _kept(self, critics: Params) -> Params:
        return hypersphere.projected(critics) if self.config.hyperspherical else critics

    def _ensemble(self) -> Critics:
        config = self.config
        norm = "batch" if config.batch_norm else "layer" if config.layer_norm else "none"
        norm = "hypersphere" if config.hyperspherical else norm
        if not config.categorical:
            return Critics(members=self._members, norm=norm)
        if self._bounds is None:
            raise ArchitectureError(
                "agent.categorical=true spreads bins over the returns that are possible, and this task does not state "
                "them, or agent.clip_targets=false ignores them; drop one of the two"
            )
        return critic.categorical(self._members, norm, config.bins, self._bounds)

    def _features(self, params: Params, normaliser: Params, observation: dict[str, jax.Array]) -> jax.Array:
        return encoder.apply(encoder.in_half(params, half=self._halved), normaliser, observation, self.arch)
