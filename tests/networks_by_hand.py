"""Networks written down a second time, in plain numpy, to compare ours with."""

import numpy as np


def resnet_state(blocks: tuple[int, ...], *, width: int, seed: int) -> dict[str, np.ndarray]:
    """Random weights of a ResNet of basic blocks, named as torchvision does."""
    rng, state = np.random.default_rng(seed), {}

    def add(conv: str, norm: str, n_in: int, n_out: int, size: int) -> None:
        fan = n_in * size * size
        state[f"{conv}.weight"] = rng.normal(0, (2 / fan) ** 0.5, (n_out, n_in, size, size)).astype(np.float32)
        state[f"{norm}.weight"] = rng.uniform(0.5, 1.5, n_out).astype(np.float32)
        state[f"{norm}.bias"] = rng.normal(0, 0.3, n_out).astype(np.float32)
        state[f"{norm}.running_mean"] = rng.normal(0, 0.3, n_out).astype(np.float32)
        state[f"{norm}.running_var"] = rng.uniform(0.5, 1.5, n_out).astype(np.float32)

    add("conv1", "bn1", 3, width, 7)
    n_in = width
    for stage, count in enumerate(blocks, start=1):
        n_out = width * 2 ** (stage - 1)
        for i in range(count):
            name = f"layer{stage}.{i}"
            add(f"{name}.conv1", f"{name}.bn1", n_in, n_out, 3)
            add(f"{name}.conv2", f"{name}.bn2", n_out, n_out, 3)
            if n_in != n_out:
                add(f"{name}.downsample.0", f"{name}.downsample.1", n_in, n_out, 1)
            n_in = n_out
    return state


def resnet_by_hand(state: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """The last stage, (n, h, w, channels), of uint8 images (n, h, w, 3); batch normalisation as in the paper."""
    x = (images / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = x.transpose(0, 3, 1, 2)
    x = np.maximum(_normalised(state, "bn1", _convolved(x, state["conv1.weight"], 2, 3)), 0)
    x = _pooled(x)
    stage = 1
    while f"layer{stage}.0.conv1.weight" in state:
        i = 0
        while f"layer{stage}.{i}.conv1.weight" in state:
            name, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            out = _convolved(x, state[f"{name}.conv1.weight"], stride, 1)
            out = np.maximum(_normalised(state, f"{name}.bn1", out), 0)
            out = _normalised(state, f"{name}.bn2", _convolved(out, state[f"{name}.conv2.weight"], 1, 1))
            if f"{name}.downsample.0.weight" in state:
                x = _convolved(x, state[f"{name}.downsample.0.weight"], stride, 0)
                x = _normalised(state, f"{name}.downsample.1", x)
            x, i = np.maximum(out + x, 0), i + 1
        stage += 1
    return x.transpose(0, 2, 3, 1)


def _convolved(x: np.ndarray, weight: np.ndarray, stride: int, pad: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("ncijhw,ochw->noij", windows, weight)


def _normalised(state: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    gain, offset, mean, variance = (
        state[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * gain + offset


def _pooled(x: np.ndarray) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max((-1, -2))
