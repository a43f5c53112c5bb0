"""Augmentation moves pictures a little, each for itself, and nothing else."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learning import vector_spec

from learner.augmentation import augment, chosen_symmetries, random_shift, recolour, symmetric
from wire.errors import UserError
from wire.specs import ArraySpec

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


# Declared symmetries.

SPEC = vector_spec(
    task="pick_cube",
    robot="panda",
    actions=4,
    action_names=("x", "y", "z", "gripper"),
    observation={
        "object": ArraySpec(shape=(8,), dtype="float32"),
        "proprio": ArraySpec(shape=(12,), dtype="float32"),
    },
)


def transitions(n: int = 400) -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def observation() -> dict[str, np.ndarray]:
        proprio = rng.normal(size=(2, n, 12)).astype(np.float32)
        proprio[..., 8:10] = (0.47, 0.0)  # The tool is in the middle of the workspace.
        return {"object": rng.normal(size=(2, n, 8)).astype(np.float32), "proprio": proprio}

    return {
        "observation": observation(),
        "next_observation": observation(),
        "action": rng.uniform(-1, 1, (2, n, 4)).astype(np.float32),
        "reward": np.zeros((2, n), np.float32),
    }


def test_half_of_the_transitions_are_mirrored_whole_and_a_second_time_is_the_first():
    symmetries = chosen_symmetries(SPEC, ["mirror"])
    before, batch = transitions(), transitions()
    symmetric(np.random.default_rng(1), batch, symmetries)
    flipped = batch["action"][..., 1] != before["action"][..., 1]
    assert 0.4 < flipped.mean() < 0.6
    for part in ("observation", "next_observation"):
        np.testing.assert_array_equal(batch[part]["object"][..., 1] != before[part]["object"][..., 1], flipped)
        np.testing.assert_array_equal(batch[part]["object"][..., 0], before[part]["object"][..., 0])
    symmetric(np.random.default_rng(1), batch, symmetries)
    for part in ("observation", "next_observation"):
        for name, values in before[part].items():
            np.testing.assert_allclose(batch[part][name], values, atol=1e-6)
    np.testing.assert_array_equal(batch["action"], before["action"])


def test_pictures_are_flipped_left_to_right():
    spec = vector_spec(
        task="pick_cube",
        robot="panda",
        actions=4,
        action_names=("x", "y", "z", "gripper"),
        observation={
            "front": ArraySpec(shape=(12, 12, 3), dtype="uint8"),
            "proprio": ArraySpec(shape=(12,), dtype="float32"),
        },
    )
    batch = transitions(50)
    for part in ("observation", "next_observation"):
        batch[part]["front"] = np.stack([IMAGES[:50]] * 2).copy()
        del batch[part]["object"]
    before = batch["action"].copy()
    symmetric(np.random.default_rng(1), batch, chosen_symmetries(spec, ["mirror"]))
    flipped = batch["action"][..., 1] != before[..., 1]
    for part in ("observation", "next_observation"):
        for was, image in zip(flipped.ravel(), batch[part]["front"].reshape(-1, 12, 12, 3), strict=True):
            np.testing.assert_array_equal(image, GRADIENT[:, ::-1] if was else GRADIENT)


def test_tool_and_thing_move_together_by_one_offset_and_what_lies_between_them_stays():
    before, batch = transitions(), transitions()
    batch["observation"]["proprio"][0, 0, 8:10] = before["observation"]["proprio"][0, 0, 8:10] = (0.64, 0.0)
    symmetric(np.random.default_rng(1), batch, chosen_symmetries(SPEC, ["translation"]))
    moved = {name: batch["observation"][name] - before["observation"][name] for name in ("object", "proprio")}
    later = batch["next_observation"]["object"] - before["next_observation"]["object"]
    np.testing.assert_allclose(moved["object"][..., :2], moved["proprio"][..., 8:10], atol=1e-6)
    np.testing.assert_allclose(moved["object"], later, atol=1e-6)
    assert (moved["object"][..., 2:] == 0).all()
    assert (moved["proprio"][..., [0, 1, 2, 3, 4, 5, 6, 7, 10, 11]] == 0).all()
    assert 0.02 < np.abs(moved["object"][..., :2]).max() <= 0.05 + 1e-6
    assert (batch["observation"]["proprio"][..., 8] <= 0.64 + 1e-6).all(), "nothing is moved out of the workspace"
    np.testing.assert_array_equal(batch["action"], before["action"])


def test_what_is_not_declared_is_refused_by_name():
    with pytest.raises(UserError, match="mirror is not declared for toy with state; declared: none"):
        chosen_symmetries(vector_spec(), ["mirror"])
