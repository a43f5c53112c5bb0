"""Ensemble of independent action values: every member has all of its layers for itself, the last one too.

A value is one number, or the mean of a distribution over bins that is fitted by classification: HL-Gauss (Farebrother
et al. 2024, "Stop Regressing", arXiv 2403.03950), where a target is a narrow Gaussian over the bins.
"""

import jax
import jax.numpy as jnp

from networks import hypersphere
from networks.architecture import Architecture, Critics
from networks.layers import Params, dense, dense_init, mlp, mlp_in_training, mlp_init

_SPREAD_BINS = 0.75
"""Standard deviation of a target, in bins; the paper's."""
_MARGIN_BINS = 4
"""Beyond the values that are possible, on either side: else the Gaussian of an extreme one would be cut in half."""


def categorical(members: int, norm: str, bins: int, bounds: tuple[float, float]) -> Critics:
    """Critics whose bins cover values in `bounds`, and a margin."""
    width = (bounds[1] - bounds[0]) / (bins - 1 - 2 * _MARGIN_BINS)
    span = (bounds[0] - _MARGIN_BINS * width, bounds[1] + _MARGIN_BINS * width)
    return Critics(members=members, norm=norm, bins=bins, span=span)  # type: ignore[arg-type]


def init(key: jax.Array, arch: Architecture, critics: Critics) -> Params:
    """Parameters with a leading axis of length `critics.members` on every array."""

    def one(key: jax.Array) -> Params:
        key_trunk, key_head = jax.random.split(key)
        n_in, n_out = arch.feature_dim + arch.decision_dim, max(critics.bins, 1)
        if critics.norm == "hypersphere":
            made = {
                "trunk": hypersphere.init(key_trunk, n_in, arch.hidden[0], blocks=len(arch.hidden) - 1),
                "head": hypersphere.head_init(key_head, arch.hidden[0], n_out),
            }
        else:
            normalise, batch = critics.norm == "layer", critics.norm == "batch"
            made = {
                "trunk": mlp_init(key_trunk, n_in, arch.hidden, normalise=normalise, batch=batch),
                "head": dense_init(key_head, arch.hidden[-1], n_out),
            }
        return made | ({"support": jnp.linspace(*critics.span, critics.bins)} if critics.bins else {})

    return jax.vmap(one)(jax.random.split(key, critics.members))


def apply(params: Params, features: jax.Array, action: jax.Array) -> jax.Array:
    """Values of shape (members, batch) for features (batch, n) and actions (batch, arch.decision_dim).

    Batch normalisation uses the moments that are kept; see `logits_in_training`.
    """
    return means(params, logits(params, features, action))


def logits(params: Params, features: jax.Array, action: jax.Array) -> jax.Array:
    """What the heads say, (members, batch, bins or 1)."""
    x = jnp.concatenate([features, action], axis=-1)

    def one(p: Params) -> jax.Array:
        if "embed" in p["trunk"]:
            return hypersphere.head(p["head"], hypersphere.apply(p["trunk"], x))
        return dense(p["head"], mlp(p["trunk"], x))

    return jax.vmap(one)(params)


def logits_in_training(params: Params, features: jax.Array, action: jax.Array) -> tuple[jax.Array, Params]:
    """As `logits`, batch-normalised by the moments of this very batch; and those, see `layers.following_moments`."""
    x = jnp.concatenate([features, action], axis=-1)

    def one(p: Params) -> tuple[jax.Array, Params]:
        hidden, moments = mlp_in_training(p["trunk"], x)
        return dense(p["head"], hidden), {"trunk": moments}

    return jax.vmap(one)(params)


def means(params: Params, said: jax.Array) -> jax.Array:
    """The values, (members, batch), in what the heads say."""
    if "support" not in params:
        return said[..., 0]
    support = jax.lax.stop_gradient(params["support"])
    return jnp.einsum("mbn,mn->mb", jax.nn.softmax(said), support)


def errors(params: Params, said: jax.Array, target: jax.Array) -> jax.Array:
    """How far what the heads say is from the targets (batch,): (members, batch).

    Squared error of a number, cross-entropy of bins.
    """
    if "support" not in params:
        return (said[..., 0] - target) ** 2
    wanted = gaussian_bins(jax.lax.stop_gradient(params["support"][0]), target)
    return -jnp.sum(wanted * jax.nn.log_softmax(said), axis=-1)


def gaussian_bins(support: jax.Array, target: jax.Array) -> jax.Array:
    """The share of each bin, middles `support` (n,), in a narrow Gaussian about each target (batch,): (batch, n)."""
    width = support[1] - support[0]
    edges = jnp.append(support - width / 2, support[-1] + width / 2)
    middle = jnp.clip(target, support[0], support[-1])[:, None]
    below = jax.scipy.special.erf((edges - middle) / (jnp.sqrt(2.0) * _SPREAD_BINS * width))
    mass = below[:, 1:] - below[:, :-1]
    return mass / jnp.sum(mass, axis=-1, keepdims=True)
