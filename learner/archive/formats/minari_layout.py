"""Where a Minari data set keeps what (Farama-Foundation/Minari, data format hdf5), and where we keep exact records."""

import json
import math
from typing import Any

from wire.specs import ArraySpec

METADATA = "metadata.json"
DATA = "main_data.hdf5"
VERSION = "0.5.4"
"""The first that knows images that are not JPEG."""
RECORDS = "handrail"
"""Of an episode's group: the record of each step. Minari does not look at it."""


def is_image(space: Any) -> bool:
    """Whether Minari takes a space for images, which it may keep as JPEG."""
    if not isinstance(space, dict) or space.get("type") != "Box" or space.get("dtype") != "uint8":
        return False
    shape = space.get("shape") or []
    return len(shape) in (2, 3) and min(shape[:2]) >= 32


def box(array: ArraySpec) -> dict[str, Any]:
    """An array as Minari writes the space of it."""
    low = 0 if array.dtype == "uint8" and array.low is None else -math.inf if array.low is None else array.low
    high = 255 if array.dtype == "uint8" and array.high is None else math.inf if array.high is None else array.high
    bounds = {"low": _filled(array.shape, low), "high": _filled(array.shape, high)}
    return {"type": "Box", "dtype": array.dtype, "shape": list(array.shape), **bounds}


def dictionary(subspaces: dict[str, Any]) -> str:
    """A dictionary of spaces, as text."""
    return json.dumps({"type": "Dict", "subspaces": subspaces})


def _filled(shape: tuple[int, ...], value: float) -> Any:
    return value if not shape else [_filled(shape[1:], value) for _ in range(shape[0])]
