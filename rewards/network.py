"""The success classifier's network: a small convolution trunk per camera, one head over all of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

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


class Network(nn.Module):
    """Frames -> logit of success."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.trunks = nn.ModuleDict({name: _trunk(architecture.channels) for name in architecture.cameras})
        flat = architecture.channels[-1] * _GRID * _GRID
        self.embeddings = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(flat, architecture.embedding), nn.LayerNorm(architecture.embedding))
                for name in architecture.cameras
            }
        )
        width = architecture.embedding * len(architecture.cameras)
        self.head = nn.Sequential(
            nn.Dropout(architecture.dropout), nn.Linear(width, 128), nn.LayerNorm(128), nn.ReLU(), nn.Linear(128, 1)
        )

    def look(self, frames: Mapping[str, np.ndarray]) -> Tensor:
        """Logits, shape (n,), of uint8 images, shape (n, height, width, 3), by camera."""
        # What comes off the wire is read-only, which torch warns of.
        return self({name: as_floats(torch.from_numpy(np.array(image))) for name, image in frames.items()})

    def forward(self, frames: Mapping[str, Tensor]) -> Tensor:
        """Logits, shape (n,), of float images in [0, 1], shape (n, 3, height, width), by camera."""
        seen = []
        for name in self.architecture.cameras:
            features = functional.adaptive_avg_pool2d(self.trunks[name](frames[name] - 0.5), _GRID)
            seen.append(torch.tanh(self.embeddings[name](features.flatten(1))))
        return self.head(torch.cat(seen, 1)).squeeze(1)


def as_floats(pixels: Tensor) -> Tensor:
    """Uint8 images (n, height, width, 3) -> float (n, 3, height, width) in [0, 1], at most 96 pixels along a side."""
    images = pixels.permute(0, 3, 1, 2).float() / 255.0
    longest = max(images.shape[2:])
    if longest > _LARGEST:
        size = [max(1, round(side * _LARGEST / longest)) for side in images.shape[2:]]
        images = functional.interpolate(images, size=size, mode="area")
    return images


def _trunk(channels: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for after in channels:
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        before = after
    return nn.Sequential(*layers)
