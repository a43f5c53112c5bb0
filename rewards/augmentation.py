"""What a success must not depend on: a few pixels of the camera's place, and the light (DrQ, Kostrikov et al. 2021)."""

import torch
from torch import Tensor
from torch.nn import functional


def shifted(images: Tensor, pixels: int, rng: torch.Generator) -> Tensor:
    """Every image moved by up to `pixels` either way, its edge repeated; shape (n, 3, height, width) as given."""
    if pixels == 0:
        return images
    n, _, height, width = images.shape
    padded = functional.pad(images, (pixels,) * 4, mode="replicate")
    tops, lefts = (torch.randint(0, 2 * pixels + 1, (n, 1), generator=rng) for _ in range(2))
    rows = (tops + torch.arange(height))[:, None, :, None]
    columns = (lefts + torch.arange(width))[:, None, None, :]
    return padded[torch.arange(n)[:, None, None, None], torch.arange(3)[None, :, None, None], rows, columns]


def coloured(images: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Another light for every image: brightness, contrast, saturation, and a gain for each channel; within [0, 1]."""
    if strength == 0:
        return images
    n = len(images)

    def factor(size: tuple[int, ...], most: float) -> Tensor:
        return 1.0 + strength * most * (2.0 * torch.rand(size, generator=rng) - 1.0)

    images = images * factor((n, 1, 1, 1), 0.5) * factor((n, 3, 1, 1), 0.2)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * factor((n, 1, 1, 1), 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * factor((n, 1, 1, 1), 0.5)
    return images.clamp(0.0, 1.0)
