"""A replay as a first program has it: both observations of every transition, in arrays, drawn by index.

`variant`: how many transitions it holds, and then `limit`: the bytes of a batch copied in one piece instead.
"""

from collections.abc import Callable

import numpy as np
from blocks import Block
from worker import resident_bytes, serve


def prepare(block: Block, variant: str) -> Callable[[], dict[str, float]]:
    """One repetition is one minibatch."""
    words = variant.split()
    count, before = int(words[0]), resident_bytes()
    rng = np.random.default_rng(0)
    shapes = {f"camera_{i}": ((block.image, block.image, 3), np.uint8) for i in range(block.cameras)}
    shapes["state"] = ((block.vector,), np.float32)
    sides = ("observation", "next_observation")
    kept = {(side, name): np.empty((count, *shape), dtype) for side in sides for name, (shape, dtype) in shapes.items()}
    kept |= {("action", ""): np.empty((count, block.action), np.float32)}
    kept |= {(name, ""): np.empty(count, np.float32) for name in ("reward", "mask")}
    for column in kept.values():
        column[:] = rng.integers(0, 256, column.shape[1:], np.uint8)
    size = (resident_bytes() - before) / count
    ready = {key: np.empty((block.batch, *column.shape[1:]), column.dtype) for key, column in kept.items()}

    def gather() -> dict[str, float]:
        rows = rng.integers(0, count, block.batch)
        batch = {key: column[rows] for key, column in kept.items()}
        del batch  # Only now: whoever learns has all of it at once.
        return {"bytes_per_step": size}

    def copy() -> dict[str, float]:
        first = int(rng.integers(0, count - block.batch + 1))
        for key, column in kept.items():
            np.copyto(ready[key], column[first : first + block.batch])
        return {}

    run = copy if "limit" in words else gather
    run()
    return run


if __name__ == "__main__":
    serve(prepare)
