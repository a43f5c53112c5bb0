"""Which transitions of the replay one source of batches may draw: a list of their numbers that forgets its oldest."""

from collections.abc import Collection

import numpy as np


class IndexRing:
    """The newest `capacity` transition numbers of one source of batches, oldest first out."""

    def __init__(self, capacity: int) -> None:
        self._items = np.zeros(capacity, np.int64)
        self._start = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, item: int) -> None:
        """Append; the ring must not be full."""
        self._items[(self._start + self._size) % len(self._items)] = item
        self._size += 1

    def pop(self) -> int:
        """Remove and return the oldest."""
        item = int(self._items[self._start])
        self._start = (self._start + 1) % len(self._items)
        self._size -= 1
        return item

    def remove(self, items: Collection[int]) -> None:
        """Take these members out, wherever they are; the others keep their order."""
        kept = self._items[(self._start + np.arange(self._size)) % len(self._items)]
        kept = kept[~np.isin(kept, list(items))]
        self._items[: len(kept)] = kept
        self._start, self._size = 0, len(kept)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw `n` members with replacement, int64 (n,)."""
        return self._items[(self._start + rng.integers(self._size, size=n)) % len(self._items)]
