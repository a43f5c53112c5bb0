"""What travels is put together again exactly, or refused by name."""

import jax
import numpy as np
import pytest
from learning import SEEING, TINY, normaliser

from networks import encoder, parameters, policy
from networks.architecture import Architecture, ArchitectureError


def made(arch: Architecture) -> dict:
    return {
        "encoder": encoder.init(jax.random.key(1), arch),
        "normaliser": normaliser(arch),
        "policy": policy.init(jax.random.key(2), arch),
    }


@pytest.mark.parametrize("arch", [TINY, SEEING], ids=["vectors", "cameras"])
def test_flat_tensors_give_the_parameters_again(arch: Architecture):
    params = made(arch)
    tensors = parameters.flatten(params)
    assert "policy/head/w" in tensors
    back = parameters.unflatten(dict(reversed(tensors.items())), arch)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_flat_tensors_are_copies():
    params = made(TINY)
    params["normaliser"]["mean"] = np.zeros(3, np.float32)
    tensors = parameters.flatten(params)
    params["normaliser"]["mean"][:] = 9
    assert not tensors["normaliser/mean"].any()


def test_what_is_missing_too_much_or_of_another_shape_is_named():
    tensors = parameters.flatten(made(TINY))
    del tensors["policy/head/b"]
    tensors["policy/extra"] = np.zeros(1, np.float32)
    tensors["normaliser/std"] = np.zeros(9, np.float32)
    with pytest.raises(ArchitectureError) as refused:
        parameters.unflatten(tensors, TINY)
    assert str(refused.value) == (
        "these weights do not fit their architecture: normaliser/std has shape (9,), wanted (3,); "
        "policy/extra is not part of the network; policy/head/b is missing"
    )
