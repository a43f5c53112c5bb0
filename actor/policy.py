"""The policy that acts: whole, verified weight sets are swapped in between steps, else the last good one stays."""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from networks import parameters, policy, trunk
from networks.architecture import Architecture, ArchitectureError, architecture_for
from networks.trunk import FrozenTrunk
from wire.specs import EnvSpec
from wire.types import Action, Observation
from wire.weights import Weights, WeightsRefused, decode_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loaded:
    version: int
    params: Any
    frozen: Any
    """Parameters of the trunk, or {}."""
    function: Any
    """It belongs to the parameters, so that both are swapped at once."""


class PolicySlot:
    """Holds the newest policy. `offer` verifies and prepares off the loop's thread, `act` only swaps a reference."""

    def __init__(self, spec: EnvSpec, *, explores: bool = True, seed: int = 0, trunk_file: Path | None = None) -> None:
        """A slot without weights.

        Args:
            spec: Of the environment.
            explores: Whether actions are drawn from the policy's distribution; else they are its mode.
            seed: Of what is drawn.
            trunk_file: Looked at for a frozen trunk before those installed are.
        """
        self._spec, self._explores = spec, explores
        self._trunk_file = trunk_file
        self._key = jax.random.key(seed)
        self._loaded: _Loaded | None = None
        self._plan: list[tuple[Action, int]] = []
        """The rest of a chunk, with the version of the weights that decided on it."""
        self._compiled: dict[str, Any] = {}
        self._arrived = threading.Event()
        self.trouble = ""
        """Why an episode is to end; a policy of ours never asks for that, see actor.external."""
        self.refused = 0
        """Weight sets that were torn, foreign or not finite."""
        self.refusal = ""
        """Why the last of them was."""
        self.loaded_s = 0.0
        """Monotonic time at which the newest set was taken."""

    @property
    def version(self) -> int:
        """Version of the weights in use; 0 before the first."""
        return 0 if self._loaded is None else self._loaded.version

    def offer(self, data: bytes) -> bool:
        """Verify encoded weights and take them; False, and the last good set stays, where they are not acceptable."""
        try:
            self.load(data)
        except (WeightsRefused, ArchitectureError) as error:
            self.refused += 1
            self.refusal = str(error)
            log.warning("weights refused: %s", error)
            return False
        return True

    def load(self, data: bytes, *, trained_in: EnvSpec | None = None) -> None:
        """Like `offer`, but raises WeightsRefused or ArchitectureError; `trained_in` is their spec where it differs."""
        weights: Weights = decode_weights(data, fingerprint=(trained_in or self._spec).fingerprint())
        arch = Architecture.from_json(weights.architecture)
        fitting = architecture_for(
            self._spec,
            hidden=arch.hidden,
            embedding=arch.embedding,
            discrete_grippers=bool(arch.grippers),
        )
        if _outside(arch) != _outside(fitting):
            raise ArchitectureError(f"these weights are of a network for other observations or actions: {arch}")
        params = jax.device_put(parameters.unflatten(weights.tensors, arch))
        frozen = trunk.find(arch, extra=self._trunk_file)
        if weights.architecture not in self._compiled:
            # Compile here, in the uplink's thread: the control loop must never wait for a compiler.
            function = _compiled(arch, params, frozen, self._spec, explores=self._explores)
            self._compiled = {weights.architecture: function}
        fixed = {} if frozen is None else frozen.params
        self._loaded = _Loaded(weights.version, params, fixed, self._compiled[weights.architecture])
        self.loaded_s = time.monotonic()
        self._arrived.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the first weights; whether there are any."""
        return self._arrived.wait(timeout_s)

    def reset(self) -> None:
        """Drop what is left of a chunk: the next action is decided on anew."""
        self._plan = []

    def act(self, observation: Observation) -> tuple[Action, int]:
        """The action for one observation, float32 (n,), and the version of the weights that chose it."""
        if not self._plan:
            # A chunk is carried out to its end by the weights that decided on it.
            decided = self.decide(observation)
            self._plan = [(action, self.version) for action in decided]
        return self._plan.pop(0)

    def decide(self, observation: Observation) -> np.ndarray:
        """All actions of one decision, float32 (chunk, n); no plan is begun."""
        loaded = self._loaded
        if loaded is None:
            raise RuntimeError("no weights yet; call wait() before the first act()")
        decided, self._key = loaded.function(loaded.params, loaded.frozen, observation, self._key)
        return np.asarray(decided).reshape(-1, *self._spec.action.shape)


def _outside(arch: Architecture) -> tuple[Any, ...]:
    """What of a network its environment decides."""
    return arch.frames, arch.vectors, arch.action_dim, arch.grippers


def _compiled(arch: Architecture, params: Any, frozen: FrozenTrunk | None, spec: EnvSpec, *, explores: bool) -> Any:
    """A jitted function to an action and the next key, already run once."""

    @jax.jit
    def act(params: Any, fixed: Any, observation: Any, key: Any) -> Any:
        # Inside, so that one call does it all: the loop neither waits for a second one nor for its compilation.
        following, key = jax.random.split(key)
        batch = {name: value[None] for name, value in observation.items()}
        if frozen is not None:
            batch = frozen.features(fixed, batch, arch.frames)
        return policy.act(params, batch, key if explores else None, arch)[0], following

    blank = {name: np.zeros(array.shape, array.dtype) for name, array in spec.observation.items()}
    jax.block_until_ready(act(params, {} if frozen is None else frozen.params, blank, jax.random.key(0)))
    return act
