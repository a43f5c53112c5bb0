"""Random shift (Yarats et al. 2021, "DrQ-v2") and colour jitter of camera images, inside the jitted update.

And what a task declares of its symmetries, before it: batches are mirrored and moved along the table on the host (after
Pinneri et al. 2023, "Equivariant Data Augmentation for Generalization in Offline Reinforcement Learning",
arXiv 2309.07578, who learn which moves change nothing; here a person says so).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.symmetry import Mirror, Symmetries, Translation, symmetries_of
from wire.errors import UserError
from wire.specs import EnvSpec

SYMMETRIES = ("mirror", "translation")


def augment(
    key: jax.Array, observation: dict[str, jax.Array], *, shift_pixels: int, colour_jitter: bool
) -> dict[str, jax.Array]:
    """Shift and recolour every camera's images, each image and camera for itself; all else passes untouched.

    Args:
        key: Source of randomness.
        observation: Images uint8 (batch, height, width, 3) and vectors (batch, n).
        shift_pixels: Largest shift in either direction; 0 is off. The border is repeated.
        colour_jitter: Whether to draw a gain (1 +- 0.25) and an offset (+-15) per image and channel.
    """
    out = dict(observation)
    for i, name in enumerate(name for name in sorted(observation) if observation[name].ndim == 4):
        key_shift, key_colour = jax.random.split(jax.random.fold_in(key, i))
        image = observation[name]
        if shift_pixels:
            image = random_shift(key_shift, image, shift_pixels)
        if colour_jitter:
            image = recolour(key_colour, image)
        # Without the barrier XLA fuses the gather into the first convolution's input and repeats it there.
        out[name] = jax.lax.optimization_barrier(image)
    return out


def random_shift(key: jax.Array, images: jax.Array, pixels: int) -> jax.Array:
    """Shift every image by its own offset of at most `pixels` in each direction, repeating the border."""
    padded = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
    offsets = jax.random.randint(key, (images.shape[0], 2), 0, 2 * pixels + 1)

    def crop(image: jax.Array, offset: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), images.shape[1:])

    return jax.vmap(crop)(padded, offsets)


def recolour(key: jax.Array, images: jax.Array) -> jax.Array:
    """Gain and offset per image and channel; floats in 0..255."""
    key_gain, key_offset = jax.random.split(key)
    n, height, width, channels = images.shape
    gain = jax.random.uniform(key_gain, (n, channels), minval=0.75, maxval=1.25)
    offset = jax.random.uniform(key_offset, (n, channels), minval=-15.0, maxval=15.0)
    # One picture row at a time, and gain and offset laid out along it by a product with zeros and ones: XLA fuses
    # anything else into the pixels' loop and then makes the random numbers anew for every pixel.
    along_row = jnp.tile(jnp.eye(channels), (1, width))
    gain, offset = (jnp.matmul(each, along_row, precision="highest") for each in (gain, offset))
    rows = images.reshape(n, height, width * channels) * gain[:, None] + offset[:, None]
    return jnp.clip(rows, 0.0, 255.0).reshape(images.shape)


def chosen_symmetries(spec: EnvSpec, names: list[str]) -> Symmetries:
    """Those of an environment's symmetries that were asked for; raises UserError where one is not declared."""
    declared = symmetries_of(spec)
    for name in names:
        if getattr(declared, name) is None:
            there = [each for each in SYMMETRIES if getattr(declared, each) is not None]
            raise UserError(
                f"learner.symmetries={name} is not declared for {spec.task} with {', '.join(spec.observation)}; "
                f"declared: {', '.join(there) or 'none'}"
            )
    return Symmetries(**{name: getattr(declared, name) for name in names})


def symmetric(rng: np.random.Generator, batch: dict[str, Any], symmetries: Symmetries) -> None:
    """Mirror half of a batch's transitions and move all of them, in place.

    Args:
        rng: Source of randomness.
        batch: Arrays of the caller's own, with any number of leading axes: see learner.agents.base.Batch.
        symmetries: What to do.
    """
    shape = batch["reward"].shape
    if symmetries.mirror is not None:
        _mirror(batch, rng.random(shape) < 0.5, symmetries.mirror)
    if symmetries.translation is not None:
        largest_m = symmetries.translation.largest_m
        _move(batch, rng.uniform(-largest_m, largest_m, (*shape, 2)).astype(np.float32), symmetries.translation)


def _mirror(batch: dict[str, Any], which: np.ndarray, mirror: Mirror) -> None:
    batch["action"][which] *= np.array(mirror.action, np.float32)
    for observation in (batch["observation"], batch["next_observation"]):
        for name, elements in mirror.vectors.items():
            signs, offsets = np.array(elements, np.float32).T
            observation[name][which] = signs * observation[name][which] + offsets
        for name in mirror.frames:
            observation[name][which] = observation[name][which][..., ::-1, :]


def _move(batch: dict[str, Any], offset_m: np.ndarray, translation: Translation) -> None:
    both = (batch["observation"], batch["next_observation"])
    inside = np.ones(offset_m.shape[:-1], bool)
    for observation in both:
        for name, places in translation.inside.items():
            moved = observation[name][..., list(places)] + offset_m
            inside &= ((moved >= translation.low_m) & (moved <= translation.high_m)).all(axis=-1)
    # What would leave the workspace stays where it was.
    offset_m = offset_m * inside[..., None]
    for observation in both:
        for name, axes in translation.vectors.items():
            for axis, elements in enumerate(axes):
                observation[name][..., list(elements)] += offset_m[..., axis, None]
