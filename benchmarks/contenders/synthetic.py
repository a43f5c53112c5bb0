"""Experience of random numbers, of a block's shapes."""

from collections.abc import Iterator

import numpy as np
from blocks import Block

from wire.specs import ArraySpec, EnvSpec
from wire.types import Source, Step

_EPISODE = 50


def spec_of(block: Block) -> EnvSpec:
    """An environment of the block's shapes."""
    frame = ArraySpec(shape=(block.image, block.image, 3), dtype="uint8")
    return EnvSpec(
        env="sim",
        task="synthetic",
        robot="none",
        observation={
            "state": ArraySpec(shape=(block.vector,), dtype="float32"),
            **{f"camera_{i}": frame for i in range(block.cameras)},
        },
        action=ArraySpec(shape=(block.action,), dtype="float32", low=-1, high=1),
        action_names=tuple(f"a{i}" for i in range(block.action)),
        action_frame="none",
        rate_hz=10,
        max_episode_steps=_EPISODE,
        reward="synthetic-1",
    )


def steps_of(block: Block, count: int) -> Iterator[Step]:
    """Synthetic steps; every third episode is a demonstration."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, block.image, block.image, 3), np.uint8)

    def observation() -> dict[str, np.ndarray]:
        seen = {"state": rng.standard_normal(block.vector, np.float32)}
        return seen | {f"camera_{i}": noise[rng.integers(64)] for i in range(block.cameras)}

    for number in range(count):
        episode, t = divmod(number, _EPISODE)
        last = t == _EPISODE - 1
        yield Step(
            episode=episode,
            t=t,
            observation=observation(),
            action=rng.uniform(-1, 1, block.action).astype(np.float32),
            source=Source.DEMO if episode % 3 == 0 else Source.POLICY,
            reward=float(last),
            terminated=last,
            truncated=False,
            final_observation=observation() if last else None,
        )
