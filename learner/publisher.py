"""The learner's policy on its way to the actors and to disk: only what acts travels, never critics or optimisers."""

import os
from pathlib import Path

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


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file whole or not at all, also when the power fails: write, sync, rename, sync the folder."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
