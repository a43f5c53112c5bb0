"""The roof: the fastest float32 matrix product that numpy or JAX reaches here, over several sizes."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from blocks import Block
from worker import serve

_SIZES = (256, 384, 512, 768, 1024)
_FLOP = 4e8


def prepare(block: Block, variant: str) -> Callable[[], dict[str, Any]]:
    """One repetition times every size by process CPU time and reports the best GFLOP/s."""
    product: Callable[..., Any] = np.matmul if variant == "numpy" else jax.jit(jnp.matmul)
    rng = np.random.default_rng(0)
    pairs = [[rng.standard_normal((n, n), np.float32) for _ in range(2)] for n in _SIZES]
    if variant == "jax":
        pairs = [[jnp.asarray(matrix) for matrix in pair] for pair in pairs]

    def rate(a: Any, b: Any) -> float:
        count = max(1, round(_FLOP / (2 * len(a) ** 3)))
        began_s, out = time.process_time(), None
        for _ in range(count):
            out = product(a, b)
        jax.block_until_ready(out)
        return 2e-9 * len(a) ** 3 * count / (time.process_time() - began_s)

    def run() -> dict[str, Any]:
        rates = {len(a): rate(a, b) for a, b in pairs}
        return {"gflop_per_s": max(rates.values()), "size": max(rates, key=lambda n: rates[n])}

    run()
    return run


if __name__ == "__main__":
    serve(prepare)
