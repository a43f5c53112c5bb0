"""The network of classifiers and rewards: a small convolution net per camera, one head over all of them.

In the place of its own nets it may have the frozen ones of a trunk, which knows already where things are.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rewards.trunk import CameraNet, Shape

_GRID = 4
"""Cells along a side that the trunk's features are pooled to, whatever the images' size."""
_LARGEST = 96
"""Pixels along a side above which images are first scaled down."""


class Architecture(NamedTuple):
    """All that decides the network's shape."""

    cameras: tuple[str, ...]
    channels: tuple[int, ...] = (16, 32, 64, 64)
    embedding: int = 128
    dropout: float = 0.1
    hidden: int = 128
    """Width of the head."""
    trunk: Shape | None = None
    """Where the cameras' nets are a frozen trunk's; `channels` and `embedding` then mean nothing."""


class Network(nn.Module):
    """Frames -> logit of success, or a reward."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        if architecture.trunk is not None:
            width = architecture.trunk.embedding
            self.trunks = nn.ModuleDict({name: CameraNet(architecture.trunk) for name in architecture.cameras})
        else:
            width = architecture.embedding
            self.trunks = nn.ModuleDict({name: _trunk(architecture.channels) for name in architecture.cameras})
            flat = architecture.channels[-1] * _GRID * _GRID
            self.embeddings = nn.ModuleDict(
                {name: nn.Sequential(nn.Linear(flat, width), nn.LayerNorm(width)) for name in architecture.cameras}
            )
        width *= len(architecture.cameras)
        self.head = nn.Sequential(
            nn.Dropout(architecture.dropout),
            nn.Linear(width, architecture.hidden),
            nn.LayerNorm(architecture.hidden),
            nn.ReLU(),
            nn.Linear(architecture.hidden, 1),
        )

    def look(self, frames: Mapping[str, np.ndarray]) -> Tensor:
        """Logits, shape (n,), of uint8 images, shape (n, height, width, 3), by camera."""
        return self(self.prepared(frames))

    def prepared(self, frames: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """Uint8 images (n, height, width, 3) by camera -> float (n, 3, height, width) in [0, 1], of the nets' size."""
        # A frozen trunk looks at images of its own size alone.
        largest = _LARGEST if self.architecture.trunk is None else None
        # What comes off the wire is read-only, which torch warns of.
        return {name: as_floats(torch.from_numpy(np.array(image)), largest) for name, image in frames.items()}

    def forward(self, frames: Mapping[str, Tensor]) -> Tensor:
        """Logits, shape (n,), of float images in [0, 1], shape (n, 3, height, width), by camera."""
        return self.judge(self.embed(frames))

    def embed(self, frames: Mapping[str, Tensor]) -> Tensor:
        """What the cameras' nets make of frames, one after the other, shape (n, width)."""
        return torch.cat([self._embed(name, frames[name]) for name in self.architecture.cameras], 1)

    def judge(self, embedded: Tensor) -> Tensor:
        """Logits, shape (n,), of what `embed` made of frames."""
        return self.head(embedded).squeeze(1)

    def _embed(self, name: str, frames: Tensor) -> Tensor:
        if self.architecture.trunk is not None:
            return self.trunks[name](frames)
        features = functional.adaptive_avg_pool2d(self.trunks[name](frames - 0.5), _GRID)
        return torch.tanh(self.embeddings[name](features.flatten(1)))


def as_floats(pixels: Tensor, largest: int | None = _LARGEST) -> Tensor:
    """Uint8 images (n, height, width, 3) -> float (n, 3, height, width) in [0, 1], at most `largest` along a side."""
    images = pixels.permute(0, 3, 1, 2).float() / 255.0
    longest = max(images.shape[2:])
    if largest is not None and longest > largest:
        size = [max(1, round(side * largest / longest)) for side in images.shape[2:]]
        images = functional.interpolate(images, size=size, mode="area")
    return images


def _trunk(channels: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for after in channels:
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        before = after
    return nn.Sequential(*layers)
