"""Bytes <-> Step, EnvSpec and Weights: the only place where data from outside becomes objects.

A step record is one format byte, a MessagePack map, and a CRC-32 of both, made once beside the camera and checked at
the far end, so that a bit flipped on either disk or on the way is found. An array is an extension value: its raw
little-endian bytes, then its dimensions, its rank and its dtype code (last, so that the data stays aligned).
Whatever is wrong with the bytes, decoding raises DecodeError only, and never allocates more than the bytes given.
"""

import dataclasses
import hashlib
import math
import struct
import zlib
from typing import Annotated, Any

import msgspec
import numpy as np
import safetensors
import safetensors.numpy
from msgspec.msgpack import Ext

from wire.specs import EnvSpec
from wire.types import Source, Step


@dataclasses.dataclass(frozen=True)
class Limits:
    """The most that either side accepts from the other."""

    record_bytes: int = 8 << 20
    weights_bytes: int = 256 << 20
    text_bytes: int = 64 << 10
    arrays: int = 64
    rank: int = 5
    name_bytes: int = 64
    tensors: int = 4096
    tensor_name_bytes: int = 256
    count: int = 2**53


LIMITS = Limits()

_ALLOWED = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_ALLOWED += ("float16", "float32", "float64")

DTYPES = {name: code for code, name in enumerate(_ALLOWED, start=1)}
"""The dtypes that may travel, with their code in format 1. Add at the end; never renumber."""

_NUMPY = {code: np.dtype(name).newbyteorder("<") for name, code in DTYPES.items()}
_SAFETENSORS = {"BOOL" if d.kind == "b" else f"{d.kind.upper()}{8 * d.itemsize}": d for d in _NUMPY.values()}
_STEP_FORMAT = b"\x01"
_ARRAY_EXT = 1
_DIMENSION = struct.Struct("<I")

Count = Annotated[int, msgspec.Meta(ge=0, le=LIMITS.count)]
"""A number that fits every reader: SQLite's integers, JSON's and ours."""
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LIMITS.name_bytes)]
_Arrays = Annotated[dict[_Name, Ext], msgspec.Meta(max_length=LIMITS.arrays)]


class DecodeError(ValueError):
    """The bytes are not a well-formed record."""


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


class _StepRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Step as it travels in format 1: the same fields, arrays still undecoded, every count bounded."""

    episode: Count
    t: Count
    observation: _Arrays
    action: Ext
    policy_action: Ext | None = None
    source: Source
    reward: float
    terminated: bool
    truncated: bool
    success: bool = False
    final_observation: _Arrays | None = None
    weights_version: Count = 0
    held: bool = False
    stamps: Annotated[dict[_Name, float], msgspec.Meta(max_length=LIMITS.arrays)] = {}


class _WeightsRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: Count
    fingerprint: Annotated[str, msgspec.Meta(max_length=64)]
    architecture: Annotated[str, msgspec.Meta(max_length=LIMITS.text_bytes)]
    body: bytes


def _pack(value: Any) -> Any:
    """What msgspec does not know: numpy arrays, and numpy scalars as plain numbers."""
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        raise ValueError(f"a {type(value).__name__} cannot travel in a step")
    code = DTYPES.get(value.dtype.name)
    if code is None:
        raise ValueError(f"an array of dtype {value.dtype} cannot travel; the dtypes allowed are {', '.join(DTYPES)}")
    if value.ndim > LIMITS.rank or value.size == 0:
        raise ValueError(f"an array of shape {value.shape} cannot travel; wanted rank <= {LIMITS.rank} and not empty")
    header = b"".join(map(_DIMENSION.pack, value.shape)) + bytes((value.ndim, code))
    return Ext(_ARRAY_EXT, value.astype(_NUMPY[code], copy=False).tobytes() + header)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_pack)
_STEP_DECODER = msgspec.msgpack.Decoder(_StepRecord)
_WEIGHTS_DECODER = msgspec.msgpack.Decoder(_WeightsRecord)
_MALFORMED = (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError)


def _array(ext: Ext) -> np.ndarray:
    """A read-only view of an extension value; raises DecodeError unless its size is exactly what its header says."""
    data = bytes(ext.data)
    if ext.code != _ARRAY_EXT or len(data) < 2:
        raise DecodeError(f"extension {ext.code} of {len(data)} bytes is not an array")
    rank, dtype = data[-2], _NUMPY.get(data[-1])
    end = len(data) - 2 - rank * _DIMENSION.size
    if dtype is None or rank > LIMITS.rank or end < 0:
        raise DecodeError(f"array of dtype code {data[-1]} and rank {rank} is not allowed")
    shape = tuple(dim for (dim,) in _DIMENSION.iter_unpack(data[end:-2]))
    if end == 0 or math.prod(shape) * dtype.itemsize != end:
        raise DecodeError(f"array of shape {shape} and dtype {dtype} does not have {end} bytes")
    array = np.ndarray(shape, dtype, buffer=data)
    if dtype.kind == "b" and array.view(np.uint8).max() > 1:
        raise DecodeError("a bool array holds values other than 0 and 1")
    return array


def _arrays(values: dict[str, Ext]) -> dict[str, np.ndarray]:
    return {name: _array(ext) for name, ext in values.items()}


def _step_record(payload: bytes | memoryview) -> _StepRecord:
    """The typed record in a payload; raises DecodeError."""
    try:
        record = _STEP_DECODER.decode(payload)
    except _MALFORMED as error:
        raise DecodeError(f"not a step: {error}") from None
    names = [*record.observation, *(record.final_observation or ()), *record.stamps]
    if any(len(name.encode()) > LIMITS.name_bytes for name in names):
        raise DecodeError(f"not a step: a name is longer than {LIMITS.name_bytes} bytes")
    return record


def seal(payload: bytes) -> bytes:
    """The payload with its format byte and its checksum."""
    framed = _STEP_FORMAT + payload
    return framed + zlib.crc32(framed).to_bytes(4, "little")


def is_sealed(data: bytes) -> bool:
    """Whether a record is as `seal` left it."""
    return len(data) > 5 and zlib.crc32(memoryview(data)[:-4]) == int.from_bytes(data[-4:], "little")


def encode_step(step: Step) -> bytes:
    """The record of a step; raises ValueError where a dtype, a name or a size may not travel."""
    try:
        payload = _ENCODER.encode(step)
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"a step cannot travel: {error}") from None
    if len(payload) + 5 > LIMITS.record_bytes:
        raise ValueError(f"a step of {len(payload)} bytes cannot travel; the limit is {LIMITS.record_bytes}")
    _step_record(payload)  # What one side sends the other must be able to read: 20 us buy that promise.
    return seal(payload)


def decode_step(data: bytes | memoryview) -> Step:
    """The step in a record, its arrays read-only views; raises DecodeError on anything malformed."""
    if not 5 < len(data) <= LIMITS.record_bytes:
        raise DecodeError(f"a record has {len(data)} bytes, wanted 6 to {LIMITS.record_bytes}")
    view = memoryview(data)
    if view[:1] != _STEP_FORMAT:
        raise DecodeError(
            f"a record has format {view[0]}, wanted {_STEP_FORMAT[0]}; run the same version on both sides"
        )
    if zlib.crc32(view[:-4]) != int.from_bytes(view[-4:], "little"):
        raise DecodeError("a record fails its checksum")
    record = _step_record(view[1:-4])
    return Step(
        episode=record.episode,
        t=record.t,
        observation=_arrays(record.observation),
        action=_array(record.action),
        policy_action=None if record.policy_action is None else _array(record.policy_action),
        source=record.source,
        reward=record.reward,
        terminated=record.terminated,
        truncated=record.truncated,
        success=record.success,
        final_observation=None if record.final_observation is None else _arrays(record.final_observation),
        weights_version=record.weights_version,
        held=record.held,
        stamps=record.stamps,
    )


def encode_spec(spec: EnvSpec) -> str:
    """The spec as JSON text; raises ValueError where its steps could never travel."""
    _check_spec(spec)
    return msgspec.json.encode(spec).decode()


def decode_spec(text: str) -> EnvSpec:
    """The spec in a JSON text; raises DecodeError on anything malformed or beyond the limits."""
    try:
        spec = msgspec.json.decode(text, type=EnvSpec, strict=True)
        _check_spec(spec)
    except (*_MALFORMED, ValueError) as error:
        raise DecodeError(f"not an environment spec: {error}") from None
    return spec


def _check_spec(spec: EnvSpec) -> None:
    """Raise ValueError unless every step of this spec may travel."""
    arrays = {**spec.observation, "action": spec.action}
    if len(arrays) > LIMITS.arrays:
        raise ValueError(f"it has {len(arrays)} arrays, the limit is {LIMITS.arrays}")
    size = 0
    for name, array in arrays.items():
        if array.dtype not in DTYPES:
            raise ValueError(f"{name} has dtype {array.dtype!r}; the dtypes allowed are {', '.join(DTYPES)}")
        if not 1 <= len(name.encode()) <= LIMITS.name_bytes or len(array.shape) > LIMITS.rank:
            raise ValueError(f"{name!r} has a name over {LIMITS.name_bytes} bytes or a rank over {LIMITS.rank}")
        if any(dim < 1 for dim in array.shape):
            raise ValueError(f"{name} has shape {array.shape}; every dimension must be at least 1")
        size += math.prod(array.shape) * np.dtype(array.dtype).itemsize
    # The last step of an episode carries its observation twice.
    if 2 * size + LIMITS.text_bytes > LIMITS.record_bytes:
        raise ValueError(f"a step of it has {2 * size} bytes, the limit is {LIMITS.record_bytes - LIMITS.text_bytes}")


def encode_weights(weights: Weights) -> bytes:
    """A weight set as one digest and one body; raises ValueError where the learner should not publish it."""
    for name, tensor in weights.tensors.items():
        _check_tensor(name, tensor, ValueError)
    if len(weights.tensors) > LIMITS.tensors or len(weights.architecture.encode()) > LIMITS.text_bytes:
        raise ValueError(
            f"a weight set may have {LIMITS.tensors} tensors and {LIMITS.text_bytes} bytes of architecture"
        )
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
    if len(payload) + 32 > LIMITS.weights_bytes:
        raise ValueError(f"a weight set of {len(payload)} bytes cannot travel; the limit is {LIMITS.weights_bytes}")
    return hashlib.sha256(payload).digest() + payload


def decode_weights(data: bytes | memoryview, *, fingerprint: str | None) -> Weights:
    """The weight set, whole and finite, its tensors read-only; raises WeightsRefused, saying why, on any other.

    `fingerprint` is that of the EnvSpec which the set must have been trained for; None takes any.
    """
    view = memoryview(data)
    if not 32 < len(view) <= LIMITS.weights_bytes:
        raise WeightsRefused(f"the weight set has {len(view)} bytes, wanted 33 to {LIMITS.weights_bytes}")
    if hashlib.sha256(view[32:]).digest() != view[:32]:
        raise WeightsRefused("the weight set does not match its digest: it is torn or was changed on the way")
    try:
        record = _WEIGHTS_DECODER.decode(view[32:])
        parts = safetensors.deserialize(record.body)
    except (*_MALFORMED, safetensors.SafetensorError) as error:
        raise WeightsRefused(f"the weight set is malformed: {error}") from None
    if fingerprint is not None and record.fingerprint != fingerprint:
        raise WeightsRefused(
            f"weights {record.version} were trained for spec {record.fingerprint}, this actor has {fingerprint}; "
            "start both with the same task and env"
        )
    if len(parts) > LIMITS.tensors:
        raise WeightsRefused(f"the weight set has {len(parts)} tensors, the limit is {LIMITS.tensors}")
    tensors = {}
    for name, part in parts:
        dtype = _SAFETENSORS.get(part["dtype"])
        if dtype is None:
            raise WeightsRefused(f"tensor {name[:80]} has dtype {part['dtype']}, which is not allowed")
        tensors[name] = np.frombuffer(memoryview(part["data"]).toreadonly(), dtype).reshape(part["shape"])
        _check_tensor(name, tensors[name], WeightsRefused)
    return Weights(
        version=record.version, fingerprint=record.fingerprint, architecture=record.architecture, tensors=tensors
    )


def _check_tensor(name: str, tensor: np.ndarray, error: type[ValueError]) -> None:
    """Raise `error` unless the tensor may travel and is finite."""
    if tensor.dtype.name not in DTYPES or len(name.encode()) > LIMITS.tensor_name_bytes:
        raise error(f"tensor {name[:80]} of dtype {tensor.dtype} cannot travel; allowed are {', '.join(DTYPES)}")
    if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
        raise error(f"tensor {name} holds a NaN or an infinity")
