"""Residual nets of basic blocks (He et al. 2016, arXiv 1512.03385: ResNet-18 and -34; one block a stage: ResNet-10).

For frozen weights only: every batch normalisation is folded into the convolution before it, which is the same function
at a fraction of the memory traffic. What comes out is the last stage before the pooling, a 32nd of the picture's size.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np

from networks.architecture import ArchitectureError
from networks.layers import Params

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, in which such weights were trained."""
_EPSILON = 1e-5
_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.conv1\.weight")


def apply(params: Params, image: jax.Array) -> jax.Array:
    """Features of shape (batch, height / 32, width / 32, channels) for uint8 images (batch, height, width, 3)."""
    x = (image.astype(jnp.float32) / 255.0 - jnp.array(_MEAN)) / jnp.array(_STD)
    x = jax.nn.relu(_convolve(params["stem"], x, stride=2, pad=3))
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)])
    for stage in sorted(name for name in params if name.startswith("stage")):
        for i in range(len(params[stage])):
            # Every stage but the first begins by halving the picture.
            x = _basic_block(params[stage][f"block_{i}"], x, stride=2 if i == 0 and stage != "stage_1" else 1)
    return x


def tensors_of(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our tensors from those of a ResNet as torchvision and timm name them (conv1, bn1, layer1.0.conv1, ...).

    Raises:
        ArchitectureError: Something is missing, or the blocks are of another kind (ResNet-50's bottlenecks).
    """
    blocks = sorted((int(found[1]), int(found[2])) for name in state if (found := _BLOCK.fullmatch(name)))
    if not blocks or "layer1.0.conv3.weight" in state:
        raise ArchitectureError(
            "these weights are no ResNet of basic blocks (wanted conv1.weight, bn1.*, layer1.0.conv1.weight, ..., "
            "layer4.*, as in ResNet-10, -18 and -34 of torchvision or timm)"
        )
    out = _folded(state, "conv1", "bn1", "stem")
    for stage, i in blocks:
        theirs, ours = f"layer{stage}.{i}", f"stage_{stage}/block_{i}"
        out |= _folded(state, f"{theirs}.conv1", f"{theirs}.bn1", f"{ours}/conv_0")
        out |= _folded(state, f"{theirs}.conv2", f"{theirs}.bn2", f"{ours}/conv_1")
        if f"{theirs}.downsample.0.weight" in state:
            out |= _folded(state, f"{theirs}.downsample.0", f"{theirs}.downsample.1", f"{ours}/shortcut")
    return out


def _folded(state: dict[str, np.ndarray], conv: str, norm: str, name: str) -> dict[str, np.ndarray]:
    """A convolution (out, in, h, w) and its batch normalisation as one (h, w, in, out) with a bias."""
    try:
        weight = np.asarray(state[f"{conv}.weight"], np.float64)
        gain, offset, mean, variance = (
            np.asarray(state[f"{norm}.{part}"], np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
    except KeyError as error:
        raise ArchitectureError(f"these weights are no whole ResNet: {error.args[0]} is missing") from error
    scale = gain / np.sqrt(variance + _EPSILON)
    w = (weight * scale[:, None, None, None]).transpose(2, 3, 1, 0)
    return {f"{name}/w": w.astype(np.float32), f"{name}/b": (offset - mean * scale).astype(np.float32)}


def _basic_block(params: Params, x: jax.Array, *, stride: int) -> jax.Array:
    out = jax.nn.relu(_convolve(params["conv_0"], x, stride=stride, pad=1))
    out = _convolve(params["conv_1"], out, stride=1, pad=1)
    shortcut = _convolve(params["shortcut"], x, stride=stride, pad=0) if "shortcut" in params else x
    return jax.nn.relu(out + shortcut)


def _convolve(params: Params, x: jax.Array, *, stride: int, pad: int) -> jax.Array:
    if min(x.shape[1:3]) < params["w"].shape[0]:
        # XLA would take so small a picture for the kernel and the kernel for the picture, which a CPU computes 30 times
        # slower; padded where the compiler cannot see it, the picture is the larger of the two.
        x, pad = jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))), 0
    padding = [(pad, pad), (pad, pad)]
    out = jax.lax.conv_general_dilated(
        x, params["w"], (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return out + params["b"]
