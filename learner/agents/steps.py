"""How a gradient step becomes a block of them: compiled, scanned where that pays, each optimiser on its own."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax

from learner.agents.base import Batch, Metrics, minibatch
from learner.augmentation import augment
from networks.architecture import Architecture
from networks.layers import Params

State = TypeVar("State", bound=NamedTuple)


class Stepper:
    """Runs `step(state, batch, with_actor=...)` over stacked minibatches, with the actor in every `period`-th.

    The whole block is one compiled call, except with convolutions on a CPU: XLA runs their gradients fifteen times
    slower inside a scan there, so each step is a call of its own.
    """

    def __init__(self, step: Callable[..., tuple[Any, Metrics]], arch: Architecture, period: int) -> None:
        self._step = step
        self._arch = arch
        self._period = period
        self.block = jax.jit(self._scanned, donate_argnums=0)
        self.single = {
            with_actor: jax.jit(partial(step, with_actor=with_actor), donate_argnums=0) for with_actor in (False, True)
        }

    def __call__(self, state: Any, batch: Batch) -> tuple[Any, Metrics]:
        """The state after all minibatches, and the mean of every metric. Consumes `state`."""
        if not self._arch.convolves or jax.default_backend() != "cpu":
            return self.block(state, batch)
        collected: list[Metrics] = []
        for i in range(batch["reward"].shape[0]):
            state, metrics = self.single[(i + 1) % self._period == 0](state, minibatch(batch, i))
            collected.append(metrics)
        names = {name for metrics in collected for name in metrics}
        return state, {name: jnp.stack([m[name] for m in collected if name in m]).mean() for name in names}

    def _scanned(self, state: Any, batch: Batch) -> tuple[Any, Metrics]:
        period = self._period
        groups = jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[0] // period, period, *leaf.shape[1:]), batch)

        def group_step(state: Any, group: Batch) -> tuple[Any, Metrics]:
            without = partial(self._step, with_actor=False)
            state, metrics = jax.lax.scan(without, state, minibatch(group, slice(0, period - 1)))
            state, last = self._step(state, minibatch(group, period - 1), with_actor=True)
            shared = {name: jnp.append(metrics[name], last[name]).mean() for name in metrics}
            return state, last | shared

        state, metrics = jax.lax.scan(group_step, state, groups)
        return state, jax.tree.map(jnp.mean, metrics)


def apply_gradients(optimisers: dict[str, Any], state: State, gradients: dict[str, Params]) -> State:
    """Step only the optimisers that were given gradients: an idle Adam would still move by its momentum.

    Args:
        optimisers: Of every trained part of the state, by its name there.
        state: With the optimisers' own states in `optimisers`.
        gradients: Of some of the parts.
    """
    updated, states = {}, dict(state.optimisers)  # type: ignore[attr-defined]
    for name, gradient in gradients.items():
        updates, states[name] = optimisers[name].update(gradient, states[name])
        updated[name] = optax.apply_updates(getattr(state, name), updates)
    return state._replace(**updated, optimisers=states)


def augmented(batch: Batch, keys: jax.Array, *, shift_pixels: int, colour_jitter: bool) -> Batch:
    """Both observations of a minibatch, each augmented for itself; `keys` (2,)."""
    how = {"shift_pixels": shift_pixels, "colour_jitter": colour_jitter}
    return batch | {
        "observation": augment(keys[0], batch["observation"], **how),
        "next_observation": augment(keys[1], batch["next_observation"], **how),
    }
