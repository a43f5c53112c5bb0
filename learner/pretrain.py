"""Train a trunk of our own: small nets, one a camera, whose embeddings tell where the things of a task are.

Each camera's embedding has a linear read-out of its own, and all of them together one more, so that what a camera can
see must lie open in its embedding, and what only both can tell is not lost. The read-outs are thrown away.
"""

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.progress import track

from learner.augmentation import recolour
from learner.config import TrunkConfig
from networks import encoder, parameters, trunk
from networks.layers import Params, dense, dense_init

log = logging.getLogger(__name__)
Item = TypeVar("Item")

_CHANNELS = (16, 32, 32)
_HELD_OUT = 0.05
"""Share of the pictures that the error is measured on."""
_JOINT = "joint"
_CONSOLE = Console(stderr=True)


def pretrain(config: TrunkConfig) -> dict[str, Any]:
    """Render, train, write the file; returns what came of it: the error of every label on held-out pictures."""
    from envs.sim.labelled import labelled_pictures

    log.info("rendering %d moments of %s at %d px", config.pictures, config.task, config.image_size)
    data = labelled_pictures(
        config.task,
        count=config.pictures,
        image_size=config.image_size,
        seed=config.seed,
        knock=config.knock,
        counted=lambda count: _watched(range(count), "rendering", count),
    )
    nets, facts = fit(data.pictures, data.labels, config)
    layout = trunk.Layout(family="small", image_size=config.image_size, cameras=tuple(sorted(data.pictures)))
    # Half precision is more than such features are worth, and what is shipped is half as large.
    tensors = {name: tensor.astype(np.float16) for name, tensor in parameters.flatten(nets).items()}
    trunk.save(Path(config.out), layout, tensors)
    return {"trunk": config.out, "labels": data.unit} | facts


def fit(pictures: dict[str, np.ndarray], labels: np.ndarray, config: TrunkConfig) -> tuple[Params, dict[str, Any]]:
    """Train one net per camera to tell the labels.

    Args:
        pictures: Camera -> uint8 (n, height, width, 3).
        labels: float32 (n, k).
        config: Sizes and seed.

    Returns:
        The nets, camera -> parameters, and the root mean squared error of every label, in its own unit.
    """
    held = max(1, int(_HELD_OUT * len(labels)))
    mean, std = labels[held:].mean(0), labels[held:].std(0) + 1e-6
    wanted = (labels - mean) / std
    rng, batch = np.random.default_rng(config.seed), min(config.batch_size, len(labels) - held)
    per_epoch = (len(labels) - held) // batch
    steps = config.epochs * per_epoch
    optimiser = optax.adam(optax.cosine_decay_schedule(config.learning_rate, max(1, steps)))
    key = jax.random.key(config.seed)
    trained = _init(key, pictures, labels.shape[1], config)
    state = optimiser.init(trained)
    step = jax.jit(partial(_step, optimiser), donate_argnums=(0, 1))
    orders = (held + rng.permutation(len(labels) - held) for _ in range(config.epochs))
    batches = (order[i * batch : (i + 1) * batch] for order in orders for i in range(per_epoch))
    for i, rows in enumerate(_watched(batches, "training", steps)):
        shown = {name: column[rows] for name, column in pictures.items()}
        trained, state = step(trained, state, shown, wanted[rows], jax.random.fold_in(key, i))
    tell = jax.jit(lambda trained, shown: _read_outs(trained, shown)[_JOINT])
    told = [
        tell(trained, {name: column[i : min(i + 256, held)] for name, column in pictures.items()})
        for i in range(0, held, 256)
    ]
    error = np.sqrt(np.mean(((np.concatenate(told) - wanted[:held]) * std) ** 2, axis=0))
    return trained["nets"], {"steps": steps, "held_out": held, "rms_error": [round(float(each), 4) for each in error]}


def _watched(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The items, with a progress bar on a terminal and a line for every tenth of them elsewhere."""
    if _CONSOLE.is_terminal:
        yield from track(items, what, total, console=_CONSOLE, transient=True)
        return
    for i, item in enumerate(items):
        if i % max(1, total // 10) == 0:
            log.info("%s: %d of %d", what, i, total)
        yield item


def _init(key: jax.Array, pictures: dict[str, np.ndarray], labels: int, config: TrunkConfig) -> dict[str, Params]:
    keys = jax.random.split(key, len(pictures) + 1)
    shapes = {name: column.shape[1:] for name, column in sorted(pictures.items())}
    size = config.features
    nets = {
        name: encoder.camera_init(k, shape, channels=_CHANNELS, embedding=size)
        for k, (name, shape) in zip(keys, shapes.items(), strict=False)
    }
    heads = {name: dense_init(k, size, labels) for k, name in zip(keys, shapes, strict=False)}
    return {"nets": nets, "heads": heads | {_JOINT: dense_init(keys[-1], size * len(shapes), labels)}}


def _read_outs(trained: dict[str, Params], pictures: dict[str, jax.Array]) -> dict[str, jax.Array]:
    seen = {name: encoder.camera(trained["nets"][name], pictures[name]) for name in sorted(pictures)}
    told = {name: dense(trained["heads"][name], embedding) for name, embedding in seen.items()}
    return told | {_JOINT: dense(trained["heads"][_JOINT], jnp.concatenate(list(seen.values()), axis=-1))}


def _step(optimiser: Any, trained: Any, state: Any, pictures: Any, wanted: jax.Array, key: jax.Array) -> Any:
    keys = jax.random.split(key, len(pictures))
    shown = {
        name: jax.lax.optimization_barrier(recolour(k, pictures[name]))
        for k, name in zip(keys, sorted(pictures), strict=True)
    }

    def loss_of(trained: Any) -> jax.Array:
        # What a camera cannot see it cannot tell; absolute errors keep that from drowning the rest.
        return sum((jnp.mean(jnp.abs(told - wanted)) for told in _read_outs(trained, shown).values()), jnp.zeros(()))

    updates, state = optimiser.update(jax.grad(loss_of)(trained), state)
    return optax.apply_updates(trained, updates), state
