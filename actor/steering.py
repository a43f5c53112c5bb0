"""Critics that choose among the proposals of another policy: V-GPS (Nakamoto et al. 2024, arXiv 2410.13816).

They come from a file on this machine, which the run's learner leaves beside its policy and renews as it learns; over
the link they never travel. The file has the form of all weights: a digest, and the environment that it is for.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from actor.runs import trained_in
from networks import critic, encoder, parameters, trunk
from networks.architecture import Architecture, ArchitectureError, architecture_for
from networks.config import RUN_TRUNK
from networks.trunk import FrozenTrunk
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.types import Observation
from wire.weights import WeightsRefused, decode_weights

log = logging.getLogger(__name__)

CRITIC_FILE = "critic.weights"


class Steerer:
    """Ranks proposals by the lowest value of an ensemble, or by the mean where it judges chunks, as it was trained."""

    def __init__(
        self, source: Path, spec: EnvSpec, *, candidates: int, temperature: float = 0.0, seed: int = 0
    ) -> None:
        """Read the critics and compile what ranks.

        Args:
            source: Folder of a run, or a file critic.weights.
            spec: Of the environment in which the proposals are to be carried out.
            candidates: The most proposals that there are to choose from.
            temperature: Of the softmax over values that a proposal is drawn by; 0: the best is taken.
            seed: Of those draws.

        Raises:
            UserError: There are no critics, they are damaged, or for another environment.
        """
        self._file = source / CRITIC_FILE if source.is_dir() else source
        self._spec, self._candidates, self._temperature = spec, candidates, temperature
        self._rng = np.random.default_rng([seed, 5])
        self._stamp = (0, 0)
        self._text = ""
        """The architecture that `_rank` is compiled for."""
        self.version = 0
        """Of the critics in use, as their learner counts."""
        self._load()

    @property
    def length(self) -> int:
        """Actions of a proposal that are judged: the first of them, or as many as the critics' chunks have."""
        return 1 if self._arch.chunk is None else self._arch.chunk.length

    def choose(self, observation: Observation, proposals: np.ndarray) -> int:
        """Which of the proposals, float32 (candidates, chunk, n), to carry out."""
        values = self.values(observation, proposals)
        if self._temperature == 0 or len(values) == 1:
            return int(np.argmax(values))
        scaled = (values - values.max()) / self._temperature
        weights = np.exp(scaled)
        return int(self._rng.choice(len(values), p=weights / weights.sum()))

    def values(self, observation: Observation, proposals: np.ndarray) -> np.ndarray:
        """What each proposal is worth, float64 (candidates,)."""
        judged = np.clip(proposals[: self._candidates, : self.length].reshape(-1, self._width), -1.0, 1.0)
        # Always of one shape, so that the loop never waits for a compiler.
        padded = np.zeros((self._candidates, self._width), np.float32)
        padded[: len(judged)] = judged
        found = self._rank(self._params, self._fixed, observation, padded)
        return np.asarray(found, np.float64)[: len(judged)]

    @property
    def _width(self) -> int:
        return self.length * self._spec.action.shape[0]

    def refresh(self) -> None:
        """Read the file again where it has changed; what cannot be used leaves the critics as they are, and is said."""
        try:
            if self._stamp != _stamp(self._file):
                self._load()
                log.info("steers by version %d of the critics", self.version)
        except (OSError, UserError) as error:
            log.warning("the critics stay at version %d: %s", self.version, error)

    def _load(self) -> None:
        file, spec = self._file, self._spec
        try:
            stamp, data = _stamp(file), file.read_bytes()
        except OSError as error:
            raise UserError(
                f"steer= names a run whose learner has left critics, or their file, and there is no {file}; agents bc, "
                "hg_dagger and gqn, and agent.gripper=discrete, leave none"
            ) from error
        try:
            weights = decode_weights(data, fingerprint=trained_in(file.parent, spec).fingerprint())
            arch = Architecture.from_json(weights.architecture)
            if arch.critics is None:
                raise ArchitectureError("these are the weights of a policy, not of critics")
            fitting = architecture_for(spec, hidden=arch.hidden, embedding=arch.embedding)
            if (arch.frames, arch.vectors, arch.action_dim) != (fitting.frames, fitting.vectors, fitting.action_dim):
                raise ArchitectureError("these critics are for other observations or actions")
            params = parameters.unflatten(weights.tensors, arch)
            frozen = trunk.find(arch, extra=file.parent / RUN_TRUNK)
        except (WeightsRefused, ArchitectureError) as error:
            raise UserError(f"steer={file} cannot steer in this environment ({spec.task}): {error}") from error
        self._arch, self._params = arch, jax.device_put(params)
        self._fixed = {} if frozen is None else frozen.params
        self._stamp, self.version = stamp, weights.version
        if weights.architecture != self._text:
            self._text = weights.architecture
            self._rank = jax.jit(partial(_values, arch=arch, frozen=frozen))
            blank = {name: np.zeros(array.shape, array.dtype) for name, array in spec.observation.items()}
            self.values(blank, np.zeros((1, self.length, *spec.action.shape), np.float32))


def _values(
    params: Any, fixed: Any, observation: Any, proposals: jax.Array, *, arch: Architecture, frozen: FrozenTrunk | None
) -> jax.Array:
    batch = {name: value[None] for name, value in observation.items()}
    if frozen is not None:
        batch = frozen.features(fixed, batch, arch.frames)
    features = encoder.apply(params["encoder"], params["normaliser"], batch, arch)
    repeated = jnp.repeat(features, proposals.shape[0], axis=0)
    values = critic.apply(params["critics"], repeated, proposals)
    return jnp.mean(values, axis=0) if arch.chunk is not None else jnp.min(values, axis=0)


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_mtime_ns, found.st_size
