"""The ensemble's members share nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learning import TINY

from networks import critic
from networks.architecture import Critics

FEATURES = jax.random.normal(jax.random.key(7), (6, 3))
ACTIONS = jax.random.uniform(jax.random.key(8), (6, 2), minval=-1)


@pytest.fixture(params=["none", "layer", "batch"])
def params(request: pytest.FixtureRequest) -> critic.Params:
    return critic.init(jax.random.key(0), TINY, Critics(members=3, norm=request.param))


def test_every_array_has_a_leading_axis_of_members_and_every_weight_matrix_differs(params: critic.Params):
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        assert leaf.shape[0] == 3, path
        if path[-1].key == "w":
            assert not any(np.array_equal(leaf[i], leaf[j]) for i, j in ((0, 1), (0, 2), (1, 2))), path


def test_the_values_are_those_of_each_member_alone(params: critic.Params):
    values = critic.apply(params, FEATURES, ACTIONS)
    assert values.shape == (3, 6)
    for member in range(3):
        alone = jax.tree.map(lambda leaf, i=member: leaf[i : i + 1], params)
        np.testing.assert_allclose(critic.apply(alone, FEATURES, ACTIONS)[0], values[member], atol=1e-5)


def test_the_gradient_of_one_member_touches_no_other_not_even_in_the_last_layer(params: critic.Params):
    gradient = jax.grad(lambda p: jnp.sum(critic.apply(p, FEATURES, ACTIONS)[1]))(params)
    assert float(jnp.abs(gradient["head"]["w"][1]).max()) > 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert not leaf[np.array([0, 2])].any(), path
