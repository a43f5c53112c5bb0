"""Data-parallel learning: every device takes its share of each minibatch, all hold the same parameters.

The agents know nothing of it. Their jitted updates are functions of whole arrays; where those lie is said here, and the
compiler adds the sums over devices.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from wire.errors import UserError


class Placement:
    """Where states and batches lie."""

    def __init__(self, devices: int, *, batch_size: int) -> None:
        """Learn on the first `devices` of the machine's; 0 is all of them.

        Raises:
            UserError: There are not so many, or they cannot share a minibatch evenly.
        """
        here = jax.local_devices()
        count = devices or len(here)
        if count > len(here):
            raise UserError(
                f"learner.devices={devices}, but JAX sees {len(here)} ({here[0].platform}); lower it, or set it to 0"
            )
        if batch_size % count:
            raise UserError(
                f"agent.batch_size={batch_size} cannot be shared by {count} devices; set a multiple of {count}, or "
                "learner.devices=1"
            )
        self._mesh = Mesh(np.array(here[:count]), ("data",)) if count > 1 else None

    def whole(self, state: Any) -> Any:
        """The state on every device."""
        return state if self._mesh is None else jax.device_put(state, NamedSharding(self._mesh, PartitionSpec()))

    def shared(self, batch: Any) -> Any:
        """Stacked minibatches, (utd, batch, ...), every device with its part of the second axis."""
        if self._mesh is None:
            return batch
        return jax.device_put(batch, NamedSharding(self._mesh, PartitionSpec(None, "data")))
