"""Where the replay keeps what was observed: in the host's memory, or on the device that learns, where that has room."""

import contextlib
import ctypes
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from learner.features import FeatureCache
from wire.specs import EnvSpec
from wire.types import Observation

_SHARE = 0.6
"""Of the device's memory that a replay may fill: the rest is for batches and what gradients need."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _LARGEST_BYTES = 1 << 29, 1 << 25


def keep_freed_memory() -> None:
    """Have glibc keep what a batch frees for the next one; where there is no glibc nothing is done.

    A batch of pictures is 50 MB. They went back to the system each time, and to fault them in again took longer than to
    copy the pictures.
    """
    with contextlib.suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        allocator.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BYTES)


class Column(Protocol):
    """Rows of one array each."""

    def put(self, first: int, values: np.ndarray) -> None:
        """Overwrite the rows from `first` on, (n, ...)."""
        ...

    def take(self, rows: np.ndarray) -> Any:
        """These rows, any shape of them; an array of the host or of the device."""
        ...


class HostColumn:
    """Rows in the host's memory."""

    def __init__(self, rows: int, shape: tuple[int, ...], dtype: str) -> None:
        self.array = np.empty((rows, *shape), dtype)

    def put(self, first: int, values: np.ndarray) -> None:
        """Overwrite the rows from `first` on, (n, ...)."""
        self.array[first : first + len(values)] = values

    def take(self, rows: np.ndarray) -> np.ndarray:
        """A copy of these rows."""
        # Out of range cannot happen; to check for it would take three times as long as the copy.
        return self.array.take(rows, 0, mode="clip")


class DeviceColumn:
    """Rows in the device's memory: what is drawn never crosses the bus, what is put crosses it once.

    Rows wait on the host until something is taken, and then go over together.
    """

    def __init__(self, rows: int, shape: tuple[int, ...], dtype: str) -> None:
        self._array = jnp.zeros((rows, *shape), dtype)
        self._waiting: dict[int, np.ndarray] = {}

    def put(self, first: int, values: np.ndarray) -> None:
        """Overwrite the rows from `first` on, (n, ...)."""
        for i, value in enumerate(values):
            self._waiting[first + i] = np.array(value, self._array.dtype)

    def take(self, rows: np.ndarray) -> jax.Array:
        """These rows, on the device."""
        self._flush()
        return _take(self._array, rows.astype(np.int32))

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows, values = list(self._waiting), list(self._waiting.values())
        # To a power of two by repetition: every length of its own would be a compilation of its own.
        spare = (1 << (len(rows) - 1).bit_length()) - len(rows)
        rows, values = rows + rows[-1:] * spare, values + values[-1:] * spare
        self._array = _put(self._array, np.array(rows, np.int32), np.stack(values))
        self._waiting.clear()


class Observations:
    """Every observation once, in a slot of its own: vectors on the host, frames or their features where they fit."""

    def __init__(self, spec: EnvSpec, slots: int, *, cache: FeatureCache | None = None, keep_on: str = "host") -> None:
        """Room for so many.

        Args:
            spec: Of the environment.
            slots: Observations.
            cache: What turns every frame into features as it comes in; they are kept in the frame's place.
            keep_on: Where frames, or their features, are kept: host, device, or auto: on the device where they fit.
        """
        self._cache = cache
        self._views = 1 if cache is None else cache.views
        arrays = spec.observation
        self._vectors = {
            name: HostColumn(slots, array.shape, array.dtype)
            for name, array in sorted(arrays.items())
            if not array.is_frame
        }
        kept = {name: (array.shape, array.dtype) for name, array in arrays.items() if array.is_frame}
        if cache is not None:
            kept = dict.fromkeys(kept, (cache.shape, "float16"))
        rows = slots * self._views
        size = sum(rows * int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in kept.values())
        on_device = keep_on == "device" or (keep_on == "auto" and fits_on_device(size))
        kind = DeviceColumn if on_device else HostColumn
        self._frames: dict[str, Column] = {name: kind(rows, shape, dtype) for name, (shape, dtype) in kept.items()}

    def put(self, slot: int, observation: Observation) -> None:
        """Keep an observation in this slot."""
        for name, column in self._vectors.items():
            column.put(slot, observation[name][None])
        features = {} if self._cache is None else self._cache(observation)
        for name, column in self._frames.items():
            column.put(slot * self._views, features.get(name, observation[name][None]))

    def take(self, slots: np.ndarray, rng: np.random.Generator | None = None) -> dict[str, Any]:
        """The observations in these slots, any shape of them; of each camera any view, without `rng` the first."""
        out: dict[str, Any] = {name: column.take(slots) for name, column in self._vectors.items()}
        for name, column in self._frames.items():
            view = 0 if rng is None or self._views == 1 else rng.integers(self._views, size=slots.shape)
            out[name] = column.take(slots * self._views + view)
        return out

    def vectors(self, slots: np.ndarray) -> np.ndarray:
        """The vectors in these slots, in alphabetical order of their names, float32 (n, d)."""
        seen = [column.take(slots) for column in self._vectors.values()]
        return np.concatenate(seen, axis=1) if seen else np.zeros((len(slots), 0), np.float32)


def fits_on_device(size: int) -> bool:
    """Whether `size` bytes are little enough for the first device; never on a CPU, which is the host itself."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return False
    return size <= _SHARE * (device.memory_stats() or {}).get("bytes_limit", 0)


@partial(jax.jit, donate_argnums=0)
def _put(array: jax.Array, rows: np.ndarray, values: np.ndarray) -> jax.Array:
    return array.at[rows].set(values)


@jax.jit
def _take(array: jax.Array, rows: np.ndarray) -> jax.Array:
    return array.at[rows].get(mode="clip")
