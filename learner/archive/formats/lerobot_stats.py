"""The statistics that LeRobotDataset keeps of every feature, for whoever normalises by them."""

from typing import Any

import numpy as np

_QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


class VectorStats:
    """Of numbers, which are kept until the end: they are a fraction of what the images take."""

    def __init__(self) -> None:
        self._values: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        """Take in (n, length) or (n,) numbers."""
        self._values.append(np.asarray(values, np.float64).reshape(len(values), -1))

    def result(self) -> dict[str, Any]:
        """min, max, mean, std, count and quantiles, each of the feature's length."""
        values = np.concatenate(self._values)
        found = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
        quantiles = np.quantile(values, list(_QUANTILES.values()), axis=0)
        found |= dict(zip(_QUANTILES, quantiles, strict=True))
        return {name: value.tolist() for name, value in found.items()} | {"count": [len(values)]}


class ImageStats:
    """Of images, by how often each of the 256 shades came: exact, in constant memory."""

    def __init__(self) -> None:
        self._counts = np.zeros((3, 256), np.int64)
        self._images = 0

    def add(self, images: np.ndarray) -> None:
        """Take in uint8 (n, height, width, 3)."""
        self._images += len(images)
        for channel in range(3):
            self._counts[channel] += np.bincount(images[..., channel].ravel(), minlength=256)

    def result(self) -> dict[str, Any]:
        """As of a vector, in 0..1 and of shape (3, 1, 1)."""
        shades = np.arange(256) / 255.0
        weights = self._counts / self._counts.sum(axis=1, keepdims=True)
        mean = weights @ shades
        spread = np.sqrt(np.maximum(weights @ shades**2 - mean**2, 0.0))
        below = np.cumsum(self._counts, axis=1)
        seen = [shades[counts > 0] for counts in self._counts]
        found = {"min": [each[0] for each in seen], "max": [each[-1] for each in seen], "mean": mean, "std": spread}
        for name, share in _QUANTILES.items():
            found[name] = [shades[int(np.searchsorted(each, np.ceil(share * each[-1])))] for each in below]
        return {name: np.reshape(value, (3, 1, 1)).tolist() for name, value in found.items()} | {
            "count": [self._images]
        }
