"""Augmentation moves pictures a little, each for itself, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learner.augmentation import augment, random_shift, recolour

PIXELS = 3
GRADIENT = np.broadcast_to((16 * np.arange(12)[:, None] + np.arange(12)).astype(np.uint8)[..., None], (12, 12, 3))
IMAGES = np.stack([GRADIENT] * 200)


def offset_of(shifted: np.ndarray) -> tuple[int, int]:
    """By how much the gradient was moved, read from its middle."""
    row, column = divmod(int(shifted[6, 6, 0]), 16)
    return row - 6, column - 6


def test_a_shift_keeps_size_and_dtype_and_repeats_the_border():
    shifted = np.asarray(random_shift(jax.random.key(0), IMAGES, PIXELS))
    assert (shifted.shape, shifted.dtype) == (IMAGES.shape, IMAGES.dtype)
    for image in shifted:
        down, right = offset_of(image)
        rows = np.clip(np.arange(12) + down, 0, 11)
        columns = np.clip(np.arange(12) + right, 0, 11)
        np.testing.assert_array_equal(image, GRADIENT[rows][:, columns])


def test_offsets_reach_every_value_up_to_the_limit_and_differ_between_images():
    offsets = [offset_of(image) for image in np.asarray(random_shift(jax.random.key(0), IMAGES, PIXELS))]
    for axis in (0, 1):
        assert {offset[axis] for offset in offsets} == set(range(-PIXELS, PIXELS + 1))
    assert len(set(offsets)) > 30


def test_recolouring_stays_in_range_and_is_one_gain_and_offset_per_image_and_channel():
    recoloured = np.asarray(recolour(jax.random.key(0), jnp.full((50, 4, 4, 3), 100.0)))
    assert recoloured.min() >= 100 * 0.75 - 15
    assert recoloured.max() <= 100 * 1.25 + 15
    flat = recoloured.reshape(50, 16, 3)
    assert (flat == flat[:, :1]).all()
    assert len(np.unique(flat[:, 0])) > 140


def test_vectors_and_the_switched_off_pass_untouched():
    observation = {"front": IMAGES[:4], "state": np.ones((4, 3), np.float32)}
    off = augment(jax.random.key(0), observation, shift_pixels=0, colour_jitter=False)
    np.testing.assert_array_equal(off["front"], observation["front"])
    on = augment(jax.random.key(0), observation, shift_pixels=PIXELS, colour_jitter=True)
    np.testing.assert_array_equal(on["state"], observation["state"])
    assert not np.array_equal(on["front"], observation["front"])


@pytest.mark.parametrize("colour_jitter", [False, True])
def test_cameras_are_augmented_each_for_itself_and_equal_keys_alike(colour_jitter: bool):
    observation = {"front": IMAGES[:8], "wrist": IMAGES[:8]}
    how = {"shift_pixels": PIXELS, "colour_jitter": colour_jitter}
    one, again = (augment(jax.random.key(4), observation, **how) for _ in range(2))
    np.testing.assert_array_equal(one["front"], again["front"])
    assert not np.array_equal(one["front"], one["wrist"])
