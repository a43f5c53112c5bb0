"""Where the replay keeps what was observed: in the host's memory, or on the device that learns, where that has room."""

from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

_SHARE = 0.6
"""Of the device's memory that a replay may fill: the rest is for batches and what gradients need."""


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
