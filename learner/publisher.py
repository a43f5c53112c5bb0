"""The learner's policy on its way to the actors and to disk: only what acts travels, never critics or optimisers."""

from networks import parameters
from networks.architecture import Architecture
from networks.layers import Params
from wire.weights import Weights, encode_weights

POLICY_FILE = "policy.weights"


def encode_policy(params: Params, arch: Architecture, *, version: int, fingerprint: str) -> bytes:
    """The policy as verified bytes: version, spec fingerprint, architecture, tensors, digest."""
    tensors = parameters.flatten(params)
    return encode_weights(
        Weights(version=version, fingerprint=fingerprint, architecture=arch.to_json(), tensors=tensors)
    )
