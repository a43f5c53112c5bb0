"""What the encoder makes of pictures and vectors."""

import jax
import jax.numpy as jnp
import numpy as np
from learning import SEEING, TINY, make_batch, normaliser

from networks import encoder
from networks.architecture import Architecture

TWO = Architecture(
    frames={"front": (16, 16, 3), "wrist": (16, 24, 3)}, vectors={"a": 2, "b": 3}, action_dim=2, hidden=(8,)
)


def observation(arch: Architecture, size: int = 4) -> dict[str, np.ndarray]:
    return {name: value[0] for name, value in make_batch(arch, 1, size)["observation"].items()}


def features(arch: Architecture, seen: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(encoder.apply(encoder.init(jax.random.key(0), arch), normaliser(arch), seen, arch))


def test_the_features_have_the_length_that_the_architecture_promises():
    for arch in (TINY, SEEING, TWO):
        assert features(arch, observation(arch)).shape == (4, arch.feature_dim)


def test_bytes_and_floats_of_one_picture_give_the_same_features():
    seen = observation(SEEING)
    floats = seen | {"front": seen["front"].astype(np.float32)}
    np.testing.assert_array_equal(features(SEEING, seen), features(SEEING, floats))


def test_the_order_of_the_observation_does_not_matter():
    seen = observation(TWO)
    np.testing.assert_array_equal(features(TWO, seen), features(TWO, dict(reversed(seen.items()))))


def test_every_row_is_encoded_for_itself():
    seen = observation(TWO)
    alone = [features(TWO, {name: value[i : i + 1] for name, value in seen.items()}) for i in range(4)]
    np.testing.assert_allclose(features(TWO, seen), np.concatenate(alone), atol=1e-5)


def test_vectors_are_normalised_and_clipped_to_ten_deviations():
    seen = {"state": np.array([[3.0, -2.0, 1e9]], np.float32)}
    scale = {"mean": jnp.asarray([1.0, 0.0, 0.0]), "std": jnp.asarray([2.0, 4.0, 1.0])}
    np.testing.assert_allclose(encoder.vectors(scale, seen, TINY), [[1.0, -0.5, 10.0]])


def test_each_camera_has_a_net_of_its_own_and_each_picture_matters():
    params = encoder.init(jax.random.key(0), TWO)
    assert set(params) == {"front", "wrist"}
    seen = observation(TWO)
    for name in TWO.frames:
        changed = seen | {name: 255 - seen[name]}
        assert not np.allclose(features(TWO, seen), features(TWO, changed))


def test_the_expected_position_says_where_a_thing_is():
    pixels = np.zeros((3, 5, 5, 1), np.float32)
    for i, (row, column) in enumerate([(0, 0), (2, 2), (4, 1)]):
        pixels[i, row, column] = 50.0
    np.testing.assert_allclose(
        encoder._expected_position(jnp.asarray(pixels)), [[-1, -1], [0, 0], [1, -0.5]], atol=1e-5
    )


def test_in_half_precision_gradients_still_reach_parameters_in_single():
    params = encoder.init(jax.random.key(0), TWO)
    observation = {name: np.zeros((2, n), np.float32) for name, n in TWO.vectors.items()}
    rng = np.random.default_rng(0)
    observation |= {name: rng.integers(0, 256, (2, *shape), np.uint8) for name, shape in TWO.frames.items()}
    normaliser = encoder.identity_normaliser(TWO)

    def total(params, half):
        seen = encoder.apply(encoder.in_half(params, half=half), normaliser, observation, TWO)
        assert seen.dtype == np.float32
        return seen.sum()

    full, half = (jax.grad(total)(params, half) for half in (False, True))
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(half))
    flat = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(each)]) for each in (full, half)]
    assert np.corrcoef(*flat)[0, 1] > 0.99
    assert np.abs(flat[0] - flat[1]).max() > 0
