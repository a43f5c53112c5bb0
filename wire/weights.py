"""Bytes <-> Weights: a digest, then a MessagePack map that holds the tensors as one safetensors body.

The actor acts on what comes out of here, so a set is handed on whole or not at all: as it was sent, for this
environment, within the limits and finite. On any other bytes decoding raises WeightsRefused only.
"""

import hashlib
from typing import Annotated

import msgspec
import numpy as np
import safetensors
import safetensors.numpy

from wire.codec import DTYPES, LIMITS, MALFORMED, Count
from wire.errors import plain

_SAFETENSORS = {
    "BOOL" if dtype.kind == "b" else f"{dtype.kind.upper()}{8 * dtype.itemsize}": dtype.newbyteorder("<")
    for dtype in map(np.dtype, DTYPES)
}
_DIGEST_BYTES = 32
_FINITE_CHUNK = 1 << 15


class WeightsRefused(ValueError):
    """A weight set is torn, foreign, not finite or beyond the limits; the text says which."""


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """One whole set of network parameters."""

    version: int
    fingerprint: str
    """Of the EnvSpec it was trained for."""
    architecture: str
    """JSON text that describes the network."""
    tensors: dict[str, np.ndarray]


class _WeightsRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: Count
    fingerprint: Annotated[str, msgspec.Meta(max_length=64)]
    architecture: Annotated[str, msgspec.Meta(max_length=LIMITS.text_bytes)]
    body: bytes


_DECODER = msgspec.msgpack.Decoder(_WeightsRecord)


def encode_weights(weights: Weights) -> bytes:
    """A weight set as one digest and one body; raises ValueError where the learner should not publish it."""
    for name, tensor in weights.tensors.items():
        _check_tensor(name, tensor, ValueError)
    _check_architecture(weights.architecture, ValueError)
    if len(weights.tensors) > LIMITS.tensors:
        raise ValueError(f"the weight set has {len(weights.tensors)} tensors, the limit is {LIMITS.tensors}")
    # safetensors writes the memory as it lies, so a transposed view must be laid out first.
    tensors = {name: np.ascontiguousarray(tensor).reshape(tensor.shape) for name, tensor in weights.tensors.items()}
    payload = msgspec.msgpack.encode(
        _WeightsRecord(
            version=weights.version,
            fingerprint=weights.fingerprint,
            architecture=weights.architecture,
            body=safetensors.numpy.save(tensors),
        )
    )
    if len(payload) + _DIGEST_BYTES > LIMITS.weights_bytes:
        raise ValueError(f"a weight set of {len(payload)} bytes cannot travel; the limit is {LIMITS.weights_bytes}")
    return seal_weights(payload)


def seal_weights(payload: bytes) -> bytes:
    """The payload behind its digest."""
    return hashlib.sha256(payload).digest() + payload


def decode_weights(data: bytes | memoryview, *, fingerprint: str | None) -> Weights:
    """The weight set, whole and finite, its tensors read-only; raises WeightsRefused, saying why, on any other.

    `fingerprint` is that of the EnvSpec which the set must have been trained for; None takes any.
    """
    view = memoryview(data)
    if not _DIGEST_BYTES < len(view) <= LIMITS.weights_bytes:
        raise WeightsRefused(f"the weight set has {len(view)} bytes, wanted 33 to {LIMITS.weights_bytes}")
    if hashlib.sha256(view[_DIGEST_BYTES:]).digest() != view[:_DIGEST_BYTES]:
        raise WeightsRefused("the weight set does not match its digest: it is torn or was changed on the way")
    try:
        record = _DECODER.decode(view[_DIGEST_BYTES:])
    except MALFORMED as error:
        raise WeightsRefused(f"the weight set is malformed: {plain(error)}") from None
    if fingerprint is not None and record.fingerprint != fingerprint:
        raise WeightsRefused(
            f"weights {record.version} were trained for spec {plain(record.fingerprint)}, this actor has "
            f"{fingerprint}; start both with the same task and env"
        )
    _check_architecture(record.architecture, WeightsRefused)
    return Weights(
        version=record.version,
        fingerprint=record.fingerprint,
        architecture=record.architecture,
        tensors=_tensors(record.body),
    )


def _tensors(body: bytes) -> dict[str, np.ndarray]:
    """The tensors in a safetensors body; raises WeightsRefused."""
    # Every tensor is a JSON object. Counted before it is parsed: a header of nothing but empty tensors would cost
    # half a second and thirteen times its size for each megabyte.
    objects = body.count(b"{", 8, 8 + int.from_bytes(body[:8], "little"))
    if objects > LIMITS.tensors + 2:
        raise WeightsRefused(f"the weight set has some {objects} tensors, the limit is {LIMITS.tensors}")
    try:
        parts = safetensors.deserialize(body)
    except safetensors.SafetensorError as error:
        raise WeightsRefused(f"the weight set is malformed: {plain(error)}") from None
    if len(parts) > LIMITS.tensors:
        raise WeightsRefused(f"the weight set has {len(parts)} tensors, the limit is {LIMITS.tensors}")
    tensors = {}
    for name, part in parts:
        dtype = _SAFETENSORS.get(part["dtype"])
        if dtype is None:
            raise WeightsRefused(f"tensor {plain(name)} has dtype {part['dtype']}, which is not allowed")
        try:
            tensor = np.frombuffer(memoryview(part["data"]).toreadonly(), dtype).reshape(part["shape"])
        except ValueError as error:
            raise WeightsRefused(f"tensor {plain(name)} is malformed: {plain(error)}") from None
        _check_tensor(name, tensor, WeightsRefused)
        tensors[name] = tensor
    return tensors


def _check_architecture(text: str, error: type[ValueError]) -> None:
    if len(text.encode()) > LIMITS.text_bytes:
        raise error(f"the architecture has {len(text.encode())} bytes, the limit is {LIMITS.text_bytes}")


def _check_tensor(name: str, tensor: np.ndarray, error: type[ValueError]) -> None:
    """Raise `error` unless the tensor may travel and is finite."""
    if tensor.dtype.name not in DTYPES:
        raise error(f"tensor {plain(name)} has dtype {tensor.dtype}; the dtypes allowed are {', '.join(DTYPES)}")
    if len(name.encode()) > LIMITS.tensor_name_bytes or not name.isprintable() or "{" in name:
        raise error(
            f"tensor {plain(name)} needs a name of at most {LIMITS.tensor_name_bytes} printable bytes without braces"
        )
    if tensor.ndim > LIMITS.tensor_rank:
        raise error(f"tensor {name} has rank {tensor.ndim}, the limit is {LIMITS.tensor_rank}")
    # What other bytes than 0 and 1 mean in a bool depends on who reads them.
    if tensor.dtype.kind == "b" and tensor.size and tensor.view(np.uint8).max() > 1:
        raise error(f"tensor {name} is bool and holds values other than 0 and 1")
    if tensor.dtype.kind == "f" and not _finite(tensor):
        raise error(f"tensor {name} holds a NaN or an infinity")


def _finite(tensor: np.ndarray) -> bool:
    """Whether all values are finite, without a mask as large as the tensor."""
    flat = tensor.reshape(-1)
    return all(np.isfinite(flat[i : i + _FINITE_CHUNK]).all() for i in range(0, flat.size, _FINITE_CHUNK))
