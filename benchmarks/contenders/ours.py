"""Handrail's own update: `learner.agents.sac.Sac` under RLPD's settings.

Of a block with a trunk, features lie ready, as the replay keeps them; the variant `recomputed` shifts and recolours the
pictures of every batch and computes theirs anew.
"""

from collections.abc import Callable
from typing import Any

import jax
import msgspec
import numpy as np
from blocks import Block, batch_of
from worker import serve

from learner.agents.sac import Sac
from learner.augmentation import augment
from learner.config import RlpdConfig
from networks import resnet
from networks.architecture import Architecture
from networks.parameters import nested
from networks.trunk import FrozenTrunk, Layout


def prepare(block: Block, variant: str) -> Callable[[], None]:
    """One repetition is one call of `Sac.update`."""
    config = RlpdConfig(
        utd=block.utd,
        actor_period=block.utd,
        batch_size=block.batch,
        critics=block.critics,
        subset=block.subset,
        hidden=list(block.hidden),
        embedding=block.embedding,
    )
    arch = Architecture(
        frames={f"camera_{i}": (block.image, block.image, 3) for i in range(block.cameras)},
        vectors={"state": block.vector},
        action_dim=block.action,
        hidden=block.hidden,
        channels=block.channels,
        embedding=block.embedding,
    )
    trunk = resnet10(block) if block.trunk else None
    if trunk is not None:
        arch = msgspec.structs.replace(arch, trunk=trunk.describe())
    agent = Sac(config, arch, (0.0, 1.0))
    normaliser = {"mean": np.zeros(block.vector, np.float32), "std": np.ones(block.vector, np.float32)}
    state = agent.init(0, normaliser)
    batch = batch_of(block)
    featured = (lambda drawn: drawn) if trunk is None else features_of(block, trunk)
    kept = batch if variant == "recomputed" else featured(batch)

    def run() -> None:
        nonlocal state
        state, _ = agent.update(state, featured(kept) if variant == "recomputed" else kept)
        jax.block_until_ready(state)

    for _ in range(2):
        run()
    return run


def features_of(block: Block, trunk: FrozenTrunk) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What makes a batch with features, float16, of one with pictures."""
    cameras = [f"camera_{i}" for i in range(block.cameras)]

    @jax.jit
    def compute(params: Any, seen: dict[str, Any]) -> dict[str, Any]:
        frames = {name: seen[name].reshape(-1, *seen[name].shape[2:]) for name in cameras}
        frames = augment(jax.random.key(0), frames, shift_pixels=4, colour_jitter=True)
        found = trunk.features(params, frames, cameras)
        rows = (block.utd, block.batch)
        return {**seen, **{name: found[name].reshape(*rows, -1).astype(np.float16) for name in cameras}}

    def featured(batch: dict[str, Any]) -> dict[str, Any]:
        return batch | {name: compute(trunk.params, batch[name]) for name in ("observation", "next_observation")}

    return featured


def resnet10(block: Block) -> FrozenTrunk:
    """Random weights: what they compute does not matter here."""
    rng = np.random.default_rng(0)
    state: dict[str, np.ndarray] = {}

    def layer(conv: str, norm: str, n_out: int, n_in: int, size: int) -> None:
        state[f"{conv}.weight"] = rng.standard_normal((n_out, n_in, size, size)) / np.sqrt(n_in * size**2)
        for part, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            state[f"{norm}.{part}"] = np.full(n_out, value)

    layer("conv1", "bn1", 64, 3, 7)
    for stage, (n_in, n_out) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), 1):
        layer(f"layer{stage}.0.conv1", f"layer{stage}.0.bn1", n_out, n_in, 3)
        layer(f"layer{stage}.0.conv2", f"layer{stage}.0.bn2", n_out, n_out, 3)
        if n_in != n_out:
            layer(f"layer{stage}.0.downsample.0", f"layer{stage}.0.downsample.1", n_out, n_in, 1)
    return FrozenTrunk(
        Layout(family="resnet", image_size=block.image), nested(resnet.tensors_of(state)), digest="0" * 64
    )


if __name__ == "__main__":
    serve(prepare)
