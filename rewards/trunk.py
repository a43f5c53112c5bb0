"""Frozen trunks of our own (`handrail trunk train`) in torch: small nets, one a camera, that know where things are.

The same function as networks.encoder.camera, of the same file; that one is JAX, and no process has both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from rewards.score import ModelError
from wire.errors import plain

_METADATA = "trunk"
_FOLD = 2
_CONV = "conv_{}"
_WANTED = "rewards stand on one of our own: handrail trunk train task=<task> out=<file>"


class Shape(NamedTuple):
    """What decides the shape of a camera's net."""

    image_size: int
    """Height and width of its pictures, pixels."""
    channels: tuple[int, ...]
    """Of its convolutions."""
    embedding: int
    """Numbers that it makes of a picture."""


class _Told(msgspec.Struct):
    """What a trunk's file says of itself."""

    family: str
    image_size: int
    cameras: tuple[str, ...] = ()


class CameraNet(nn.Module):
    """Pictures (n, 3, height, width), floats in 0..1, to embeddings (n, embedding) in -1..1; nothing is trained."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.image_size = shape.image_size
        widths = (3 * _FOLD**2, *shape.channels)
        # All but the last one halve the picture.
        strides = [2] * (len(shape.channels) - 1) + [1]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=stride)
            for before, after, stride in zip(widths, widths[1:], strides, strict=False)
        )
        side = shape.image_size // (_FOLD * 2 ** (len(shape.channels) - 1))
        self.embed = nn.Linear((side * side + 2) * shape.channels[-1], shape.embedding)
        self.norm = nn.LayerNorm(shape.embedding, eps=1e-6)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        if image.shape[2:] != (self.image_size, self.image_size):
            raise ModelError(f"this trunk looks at {self.image_size} x {self.image_size} pixels, got {image.shape[2:]}")
        x = image - 0.5
        x = torch.cat([x[:, :, i::_FOLD, j::_FOLD] for i in range(_FOLD) for j in range(_FOLD)], 1)
        for convolution in self.convolutions:
            # What XLA calls SAME: the odd pixel of a halving is added behind.
            border = (0, 1, 0, 1) if convolution.stride == (2, 2) else (1, 1, 1, 1)
            x = functional.relu(convolution(functional.pad(x, border)))
        flat = torch.cat([x.permute(0, 2, 3, 1).flatten(1), _expected_position(x)], 1)
        return torch.tanh(self.norm(self.embed(flat)))


def load_nets(path: Path, cameras: Mapping[str, tuple[int, ...]]) -> tuple[Shape, dict[str, CameraNet]]:
    """The nets of these cameras, name -> shape of their pictures, from a trunk's file.

    Raises:
        ModelError: It is no trunk, one of another family, or one for other cameras or pictures.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            told = msgspec.json.decode((file.metadata() or {}).get(_METADATA, ""), type=_Told)
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        _require_fitting(path, told, cameras)
        shape = _shape(tensors, next(iter(cameras)), told.image_size)
        return shape, {name: _net(tensors, name, shape) for name in cameras}
    except ModelError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path} holds no trunk ({plain(error)}); {_WANTED}") from None


def _require_fitting(path: Path, told: _Told, cameras: Mapping[str, tuple[int, ...]]) -> None:
    if told.family != "small":
        raise ModelError(f"{path} is a trunk of the family {plain(told.family)}; {_WANTED}")
    for name, seen in cameras.items():
        if name not in told.cameras or tuple(seen[:2]) != (told.image_size, told.image_size):
            raise ModelError(
                f"the trunk {path} is for the cameras {', '.join(told.cameras)} at {told.image_size} pixels, and these "
                f"runs have {name} at {seen[0]} x {seen[1]}; train one for them: handrail trunk train"
            )


def _shape(tensors: dict[str, Tensor], camera: str, image_size: int) -> Shape:
    depth = sum(name.startswith(f"{camera}/conv_") and name.endswith("/w") for name in tensors)
    channels = tuple(tensors[f"{camera}/{_CONV.format(i)}/w"].shape[-1] for i in range(depth))
    return Shape(image_size, channels, tensors[f"{camera}/embed/w"].shape[-1])


def _net(tensors: dict[str, Tensor], camera: str, shape: Shape) -> CameraNet:
    net = CameraNet(shape)
    state: dict[str, Tensor] = {}
    for i in range(len(shape.channels)):
        name = f"{camera}/{_CONV.format(i)}"
        state[f"convolutions.{i}.weight"] = tensors[f"{name}/w"].permute(3, 2, 0, 1)
        state[f"convolutions.{i}.bias"] = tensors[f"{name}/b"]
    state |= {"embed.weight": tensors[f"{camera}/embed/w"].T, "embed.bias": tensors[f"{camera}/embed/b"]}
    state |= {"norm.weight": tensors[f"{camera}/norm/gain"], "norm.bias": tensors[f"{camera}/norm/offset"]}
    net.load_state_dict(state)
    return net


def _expected_position(x: Tensor) -> Tensor:
    """Soft-argmax: (n, c, h, w) -> (n, 2c), row and column of every channel's mass in -1..1."""
    mass = torch.softmax(x.flatten(2), -1).view_as(x)
    rows, columns = (torch.linspace(-1, 1, side) for side in x.shape[2:])
    return torch.cat([mass.sum(3) @ rows, mass.sum(2) @ columns], 1)
