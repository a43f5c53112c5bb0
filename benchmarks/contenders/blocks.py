"""The update blocks that all contenders run: sizes, matrix-product FLOPs, and batches of random numbers."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Block:
    """`utd` critic updates, then one update of actor and temperature."""

    name: str
    critics: int
    hidden: tuple[int, int]
    batch: int
    utd: int
    vector: int = 18
    action: int = 4
    subset: int = 2
    cameras: int = 0
    image: int = 64
    embedding: int = 64
    channels: tuple[int, ...] = (16, 32, 32)
    trunk: bool = False
    """Whether a frozen ResNet-10, and only a bottleneck that is trained, stands before the critics."""

    @property
    def features(self) -> int:
        """Length of what policy and critics see."""
        return self.vector + self.cameras * self.embedding

    def gflop(self) -> float:
        """Matrix products and convolutions of one block, forward and backward, 2 FLOPs per multiply-add."""
        first, second = self.hidden
        critic = (self.features + self.action) * first + first * second + second
        # A gradient to the input needs the first layer only for what is trained below it.
        inner = critic - (self.features + self.action) * first
        policy = self.features * first + first * second + 2 * second * self.action
        image, image_inner = self._image_macs()
        update = self.critics * (2 * critic + inner + self.cameras * self.embedding * first)
        update += policy + self.subset * critic + self.cameras * (3 * image + image_inner)
        actor = 3 * policy - self.features * first + self.critics * (critic + inner + self.action * first)
        return 2e-9 * self.batch * (self.utd * update + actor)

    def _image_macs(self) -> tuple[int, int]:
        """Multiply-adds of one camera's net for one picture: all of it, and what a gradient to the inside needs."""
        size, n_in, macs, first = self.image // 2, 12, 0, 0
        for i, n_out in enumerate(self.channels):
            size = size if i == len(self.channels) - 1 else size // 2
            macs += size * size * 9 * n_in * n_out
            first, n_in = first or macs, n_out
        macs += (size * size * n_in + 2 * n_in) * self.embedding
        return macs, macs - first


LARGE = Block("large", critics=10, hidden=(256, 256), batch=256, utd=20)
SMALL = Block("small", critics=2, hidden=(128, 128), batch=64, utd=8)
PIXELS = Block("pixels", critics=2, hidden=(256, 256), batch=128, utd=2, cameras=2)
CONV = Block("conv", critics=2, hidden=(256, 256), batch=256, utd=2, cameras=2)
TRUNK = Block("trunk", critics=2, hidden=(256, 256), batch=256, utd=2, cameras=2, trunk=True)
BLOCKS = {block.name: block for block in (LARGE, SMALL, PIXELS, CONV, TRUNK)}


def shrunk(block: Block) -> Block:
    """The same block at a size that only shows that everything runs."""
    return replace(block, hidden=(16, 16), batch=8, utd=2, image=64 if block.trunk else 16, embedding=8)


def to_json(block: Block) -> dict[str, Any]:
    """Plain values, for a contender's command line."""
    return asdict(block)


def from_json(values: dict[str, Any]) -> Block:
    """What `to_json` gave."""
    return Block(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def batch_of(block: Block) -> dict[str, Any]:
    """One block's minibatches, stacked as the learner's agents take them."""
    rng = np.random.default_rng(0)
    rows = (block.utd, block.batch)

    def observation() -> dict[str, np.ndarray]:
        seen = {"state": rng.standard_normal((*rows, block.vector), np.float32)}
        for i in range(block.cameras):
            seen[f"camera_{i}"] = rng.integers(0, 256, (*rows, block.image, block.image, 3), np.uint8)
        return seen

    return {
        "observation": observation(),
        "next_observation": observation(),
        "action": np.tanh(rng.standard_normal((*rows, block.action), np.float32)),
        "reward": (rng.random(rows) < 0.05).astype(np.float32),
        "mask": np.ones(rows, np.float32),
        "prior": np.zeros(rows, np.float32),
        "human": np.zeros(rows, np.float32),
        "source": np.zeros(rows, np.int8),
    }
