"""Bytes <-> Step and EnvSpec: here, in `weights` and in `link` data from outside becomes objects, and nowhere else.

A step record is one format byte, a MessagePack map, and a CRC-32 of both, made once beside the camera and checked at
the far end, so that a bit flipped on either disk or on the way is found. An array is an extension value: its raw
little-endian bytes, then its dimensions, its rank and its dtype code (last, so that the data stays aligned).
Whatever is wrong with the bytes, decoding raises DecodeError only, and never allocates more than the bytes given.
"""

import dataclasses
import math
import struct
import zlib
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec.msgpack import Ext

from wire.errors import plain
from wire.specs import ArraySpec, EnvSpec
from wire.types import Observation, Source, Step


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
    tensor_rank: int = 8
    rate_hz: float = 10_000.0
    count: int = 2**53


LIMITS = Limits()

_ALLOWED = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_ALLOWED += ("float16", "float32", "float64")

DTYPES = {name: code for code, name in enumerate(_ALLOWED, start=1)}
"""The dtypes that may travel, with their code in format 1. Add at the end; never renumber."""

_NUMPY = {code: np.dtype(name).newbyteorder("<") for name, code in DTYPES.items()}
_CODES = {dtype: code for code, dtype in _NUMPY.items()}
_STEP_FORMAT = b"\x01"
_ARRAY_EXT = 1
_FIXMAP, _MAP_16 = 0x80, 0xDE
_DIMENSION = struct.Struct("<I")

Count = Annotated[int, msgspec.Meta(ge=0, le=LIMITS.count)]
"""A number that fits every reader: SQLite's integers, JSON's and ours."""
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LIMITS.name_bytes)]
_Arrays = Annotated[dict[_Name, Ext], msgspec.Meta(max_length=LIMITS.arrays)]


class DecodeError(ValueError):
    """The bytes are not a well-formed record."""


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
    discarded: bool = False
    reward_by: Annotated[str, msgspec.Meta(max_length=LIMITS.name_bytes)] = ""
    stamps: Annotated[dict[_Name, float], msgspec.Meta(max_length=LIMITS.arrays)] = {}


def _pack(value: Any) -> Any:
    """What msgspec does not know: numpy arrays, and numpy scalars as plain numbers."""
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        raise ValueError(f"a {type(value).__name__} cannot travel in a step")
    code = _CODES.get(value.dtype.newbyteorder("<"))
    if code is None:
        raise ValueError(f"an array of dtype {value.dtype} cannot travel; the dtypes allowed are {', '.join(DTYPES)}")
    if value.ndim > LIMITS.rank or value.size == 0:
        raise ValueError(f"an array of shape {value.shape} cannot travel; wanted rank <= {LIMITS.rank} and not empty")
    header = b"".join(map(_DIMENSION.pack, value.shape)) + bytes((value.ndim, code))
    return Ext(_ARRAY_EXT, b"".join((np.ascontiguousarray(value, _NUMPY[code]).data, header)))


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_pack)
_STEP_DECODER = msgspec.msgpack.Decoder(_StepRecord)
_OBSERVATION_DECODER = msgspec.msgpack.Decoder(_Arrays)
MALFORMED = (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError)
"""What msgspec raises for bytes that it cannot make sense of. Its texts quote them: show them `plain`."""


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
    except MALFORMED as error:
        raise DecodeError(f"not a step: {plain(error)}") from None
    names = [*record.observation, *(record.final_observation or ()), *record.stamps]
    if any(len(name.encode()) > LIMITS.name_bytes for name in names):
        raise DecodeError(f"not a step: a name is longer than {LIMITS.name_bytes} bytes")
    return record


def seal(payload: bytes) -> bytes:
    """The payload with its format byte and its checksum."""
    checksum = zlib.crc32(payload, zlib.crc32(_STEP_FORMAT))
    return b"".join((_STEP_FORMAT, payload, checksum.to_bytes(4, "little")))


def is_sealed(data: bytes) -> bool:
    """Whether a record is as `seal` left it."""
    return len(data) > 5 and zlib.crc32(memoryview(data)[:-4]) == int.from_bytes(data[-4:], "little")


def encode_step(step: Step) -> bytes:
    """The record of a step; raises ValueError where a dtype, a name or a size may not travel."""
    try:
        payload = _short_header(_ENCODER.encode(step))
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"a step cannot travel: {error}") from None
    if len(payload) + 5 > LIMITS.record_bytes:
        raise ValueError(f"a step of {len(payload)} bytes cannot travel; the limit is {LIMITS.record_bytes}")
    _step_record(payload)  # What one side sends the other must be able to read: 20 us buy that promise.
    return seal(payload)


def _short_header(payload: bytes) -> bytes:
    """A map of at most 15 entries under the header of one byte, as format 1 has it.

    msgspec writes that of three bytes for any struct of more fields than 15, however many of them it leaves out.
    """
    count = int.from_bytes(payload[1:3], "big")
    if payload[0] != _MAP_16 or count > 15:
        return payload
    return b"".join((bytes((_FIXMAP | count,)), memoryview(payload)[3:]))


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
        discarded=record.discarded,
        reward_by=plain(record.reward_by),
        stamps=record.stamps,
    )


def encode_observation(observation: Observation) -> bytes:
    """Some of an observation's arrays; raises ValueError where they may not travel."""
    try:
        data = _ENCODER.encode(observation)
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"an observation cannot travel: {error}") from None
    if len(data) > LIMITS.record_bytes:
        raise ValueError(f"an observation of {len(data)} bytes cannot travel; the limit is {LIMITS.record_bytes}")
    return data


def decode_observation(data: bytes | memoryview) -> Observation:
    """The arrays, read-only views; raises DecodeError on anything malformed."""
    if len(data) > LIMITS.record_bytes:
        raise DecodeError(f"an observation has {len(data)} bytes, the limit is {LIMITS.record_bytes}")
    try:
        named = _OBSERVATION_DECODER.decode(data)
    except MALFORMED as error:
        raise DecodeError(f"not an observation: {plain(error)}") from None
    return _arrays(named)


def encode_spec(spec: EnvSpec) -> str:
    """The spec as JSON text; raises ValueError where its steps could never travel."""
    text = msgspec.json.encode(spec).decode()
    _check_spec(spec, text)
    return text


def decode_spec(text: str) -> EnvSpec:
    """The spec in a JSON text; raises DecodeError on anything malformed, absurd or beyond the limits."""
    try:
        spec = msgspec.json.decode(text, type=EnvSpec, strict=True)
        _check_spec(spec, text)
    except (*MALFORMED, ValueError) as error:
        raise DecodeError(f"not an environment spec: {plain(error)}") from None
    return spec


def _check_spec(spec: EnvSpec, text: str) -> None:
    """Raise ValueError unless this spec makes sense and every step of it may travel."""
    arrays = [*spec.observation.items(), ("action", spec.action)]
    if len(arrays) > LIMITS.arrays:
        raise ValueError(f"it has {len(arrays)} arrays, the limit is {LIMITS.arrays}")
    size = 0
    for name, array in arrays:
        _check_array(name, array)
        size += math.prod(array.shape) * np.dtype(array.dtype).itemsize
    # The last step of an episode carries its observation twice.
    if 2 * size + LIMITS.text_bytes > LIMITS.record_bytes:
        raise ValueError(f"a step of it has {2 * size} bytes, the limit is {LIMITS.record_bytes - LIMITS.text_bytes}")
    words = {name: getattr(spec, name) for name in ("env", "task", "robot", "action_frame", "reward")}
    for name, word in words.items():
        if not word.isprintable():
            raise ValueError(f"{name} is {word!r}; wanted printable text")
    if spec.action.shape != (len(spec.action_names),):
        raise ValueError(f"action has shape {spec.action.shape} and {len(spec.action_names)} names; wanted a vector")
    if not 0 < spec.rate_hz <= LIMITS.rate_hz or not 0 <= spec.max_episode_steps <= LIMITS.count:
        raise ValueError(
            f"rate_hz is {spec.rate_hz} and max_episode_steps {spec.max_episode_steps}; wanted 0 < rate_hz <= "
            f"{LIMITS.rate_hz:.0f} and 0 <= max_episode_steps <= {LIMITS.count}"
        )
    _check_bounds("return_bounds", *(spec.return_bounds or (None, None)))
    if len(text.encode()) > LIMITS.text_bytes:
        raise ValueError(f"it has {len(text.encode())} bytes, the limit is {LIMITS.text_bytes}")


def _check_array(name: str, array: ArraySpec) -> None:
    if not 1 <= len(name.encode()) <= LIMITS.name_bytes or not name.isprintable():
        raise ValueError(f"an array is called {plain(name)!r}; wanted 1 to {LIMITS.name_bytes} printable bytes")
    if array.dtype not in DTYPES:
        raise ValueError(f"{name} has dtype {plain(array.dtype)}; the dtypes allowed are {', '.join(DTYPES)}")
    if len(array.shape) > LIMITS.rank or any(dim < 1 for dim in array.shape):
        raise ValueError(
            f"{name} has shape {plain(array.shape)}; wanted rank <= {LIMITS.rank} and no dimension below 1"
        )
    if not array.unit.isprintable():
        raise ValueError(f"{name} has unit {plain(array.unit)!r}; wanted printable text")
    _check_bounds(name, array.low, array.high)


def _check_bounds(name: str, low: float | None, high: float | None) -> None:
    if any(bound is not None and not math.isfinite(bound) for bound in (low, high)):
        raise ValueError(f"{name} has bounds {low} and {high}; wanted finite ones, or None")
    if low is not None and high is not None and low > high:
        raise ValueError(f"{name} has bounds {low} and {high}; the lower one must not be above the other")
