"""Random shift (Yarats et al. 2021, "DrQ-v2") and colour jitter of camera images, inside the jitted update."""

import jax
import jax.numpy as jnp


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
