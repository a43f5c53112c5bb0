"""Features of a frozen trunk, computed once per frame when it comes in, instead of for every batch it is drawn into."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from learner.augmentation import augment
from learner.config import AgentConfig
from networks import trunk
from networks.architecture import ArchitectureError
from networks.config import RUN_TRUNK, trunk_file
from networks.trunk import FrozenTrunk
from wire.specs import EnvSpec
from wire.types import Observation


class FeatureCache:
    """Turns the frames of one observation into features of several views of them.

    Which random views the n-th observation gets follows from the seed and n, so the same archive gives the same cache.
    """

    def __init__(
        self, trunk: FrozenTrunk, spec: EnvSpec, *, views: int, shift_pixels: int, colour_jitter: bool, seed: int
    ) -> None:
        """A cache for the cameras of `spec`.

        Args:
            trunk: What computes the features.
            spec: Of the environment.
            views: How many to keep: the frame as it is, and shifted and recoloured ones beside it.
            shift_pixels: Largest shift of these, pixels.
            colour_jitter: Whether these are recoloured.
            seed: Of shifts and colours.

        Raises:
            ArchitectureError: The trunk is not made for these cameras, or there are none.
        """
        self.trunk = trunk
        self.cameras = [name for name, array in sorted(spec.observation.items()) if array.is_frame]
        if not self.cameras:
            raise ArchitectureError(
                f"agent.encoder=trunk is for images, and {spec.task} shows none; set obs=pixels, or agent.encoder=conv"
            )
        trunk.require_fitting({name: spec.observation[name].shape for name in self.cameras})
        self.views = views
        self.shape = (int(np.prod(trunk.shape)),)
        """Of what is kept of one view, in half precision."""
        self._key = jax.random.key(seed)
        self._seen = 0
        self._compute = jax.jit(self._features)
        self._how = {"shift_pixels": shift_pixels, "colour_jitter": colour_jitter}

    def __call__(self, observation: Observation) -> dict[str, np.ndarray]:
        """Features float16 (views, n) of every camera's frame."""
        frames = {name: observation[name] for name in self.cameras}
        self._seen += 1
        return jax.tree.map(np.asarray, self._compute(self.trunk.params, frames, np.uint32(self._seen)))

    def _features(
        self, params: dict, frames: dict[str, jax.Array], count: jax.Array | np.uint32
    ) -> dict[str, jax.Array]:
        views = {name: image[None].astype(jnp.float32) for name, image in frames.items()}
        if self.views > 1:
            more = {name: jnp.repeat(image, self.views - 1, axis=0) for name, image in views.items()}
            more = augment(jax.random.fold_in(self._key, count), more, **self._how)
            views = {name: jnp.concatenate([views[name], more[name]]) for name in views}
        found = self.trunk.features(params, views, self.cameras)
        largest = float(jnp.finfo(jnp.float16).max)
        return {name: jnp.clip(found[name], -largest, largest).astype(jnp.float16) for name in self.cameras}


def feature_cache(
    config: AgentConfig, spec: EnvSpec, run: Path, *, seed: int, resume: bool = False, init: str | None = None
) -> FeatureCache | None:
    """The cache that an agent asks for, or None; its trunk lies in the run's folder from now on.

    A run that goes on with itself (`resume`), or with the networks of another (`init`), keeps the trunk of those.

    Raises:
        ArchitectureError: There is no such trunk, or it does not fit the environment.
    """
    if config.encoder != "trunk":
        return None
    kept = run / RUN_TRUNK
    if not (resume and kept.exists()):
        sizes = [array.shape[0] for array in spec.observation.values() if array.is_frame]
        earlier = None if init is None else Path(init) / RUN_TRUNK
        if earlier is not None and earlier.exists():
            source = earlier
        else:
            source = trunk_file(config.trunk, task=spec.task, image_size=max(sizes, default=0))
        trunk.load(source)
        shutil.copyfile(source, kept)
    return FeatureCache(
        trunk.load(kept),
        spec,
        views=config.views,
        shift_pixels=config.shift_pixels,
        colour_jitter=config.colour_jitter,
        seed=seed,
    )
