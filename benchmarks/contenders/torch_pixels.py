"""The cameras' nets and the augmentation of `networks.encoder` and `learner.augmentation`, in eager PyTorch."""

import torch
from blocks import Block
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

_SHIFT = 4


def augment(name: str, frames: Tensor) -> Tensor:
    """Shift and recolour images uint8 (batch, height, width, 3) -> floats (batch, 3, height, width); vectors pass."""
    if frames.dtype != torch.uint8:
        return frames
    images = frames.permute(0, 3, 1, 2)
    n, _, height, width = images.shape
    padded = F.pad(images.float(), [_SHIFT] * 4, mode="replicate")
    top, left = torch.randint(0, 2 * _SHIFT + 1, (2, n))
    rows = (top[:, None] + torch.arange(height))[:, :, None]
    columns = (left[:, None] + torch.arange(width))[:, None, :]
    shifted = padded.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], rows, columns].permute(0, 3, 1, 2)
    gain = torch.empty(n, 3, 1, 1).uniform_(0.75, 1.25)
    offset = torch.empty(n, 3, 1, 1).uniform_(-15.0, 15.0)
    return torch.addcmul(offset, shifted, gain).clamp_(0.0, 255.0)


class Cameras(nn.Module):
    """One small convolutional net per camera."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.nets = nn.ModuleDict({f"camera_{i}": _Camera(block) for i in range(block.cameras)})

    def forward(self, seen: dict[str, Tensor]) -> list[Tensor]:
        """One embedding of shape (batch, embedding) per camera."""
        return [net(seen[name]) for name, net in self.nets.items()]


class _Camera(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        n_in, size, self.convolutions = 12, block.image // 2, nn.ModuleList()
        for i, n_out in enumerate(block.channels):
            stride = 1 if i == len(block.channels) - 1 else 2
            self.convolutions.append(nn.Conv2d(n_in, n_out, 3, stride, padding=1))
            n_in, size = n_out, size // stride
        line = torch.linspace(-1, 1, size)
        self.register_buffer("grid", torch.stack(torch.meshgrid(line, line, indexing="ij")).reshape(2, -1))
        self.embed = nn.Linear(size * size * n_in + 2 * n_in, block.embedding)
        self.norm = nn.LayerNorm(block.embedding, eps=1e-6)

    def forward(self, image: Tensor) -> Tensor:
        x = F.pixel_unshuffle(image / 255.0 - 0.5, 2)
        for convolution in self.convolutions:
            x = convolution(x).relu_()
        mass = x.flatten(2).softmax(-1)
        position = torch.einsum("ncp,dp->ndc", mass, self.grid)
        return self.norm(self.embed(torch.cat([x.flatten(1), position.flatten(1)], -1))).tanh()
