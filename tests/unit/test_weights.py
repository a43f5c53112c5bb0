"""The promises of weight sets: only whole, finite sets for this spec are ever handed on."""

import hashlib

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from wire.codec import LIMITS
from wire.weights import Weights, WeightsRefused, decode_weights, encode_weights

WEIGHTS = Weights(
    version=7,
    fingerprint="0123456789abcdef",
    architecture='{"hidden":[2]}',
    tensors={
        "policy/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
        "policy/transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "log_alpha": np.float32(0.5) * np.ones((), np.float32),
        "steps": np.array([3], np.int64),
        "half": np.ones(2, np.float16),
    },
)


def sealed(tensors: dict[str, np.ndarray], **fields: object) -> bytes:
    """A set with a right digest, whatever is in it."""
    record = {"version": 7, "fingerprint": WEIGHTS.fingerprint, "architecture": "{}"}
    payload = msgspec.msgpack.encode(record | {"body": safetensors.numpy.save(tensors)} | fields)
    return hashlib.sha256(payload).digest() + payload


def test_a_set_arrives_as_it_was():
    got = decode_weights(encode_weights(WEIGHTS), fingerprint=WEIGHTS.fingerprint)
    assert (got.version, got.architecture, got.tensors.keys()) == (7, WEIGHTS.architecture, WEIGHTS.tensors.keys())
    for name, tensor in WEIGHTS.tensors.items():
        np.testing.assert_array_equal(got.tensors[name], tensor)
        assert got.tensors[name].dtype == tensor.dtype
        assert got.tensors[name].shape == tensor.shape


def test_any_flipped_byte_is_refused():
    data = bytearray(encode_weights(WEIGHTS))
    for position in range(len(data)):
        data[position] ^= 0x10
        with pytest.raises(WeightsRefused, match=r"digest|bytes"):
            decode_weights(bytes(data), fingerprint=None)
        data[position] ^= 0x10


def test_a_truncated_set_is_refused():
    data = encode_weights(WEIGHTS)
    for end in range(len(data)):
        with pytest.raises(WeightsRefused):
            decode_weights(data[:end], fingerprint=None)


def test_a_set_for_another_spec_is_refused_and_both_are_named():
    with pytest.raises(WeightsRefused, match=r"0123456789abcdef.*fedcba9876543210"):
        decode_weights(encode_weights(WEIGHTS), fingerprint="fedcba9876543210")


def test_a_set_for_any_spec_is_taken_where_none_is_asked_for():
    assert decode_weights(encode_weights(WEIGHTS), fingerprint=None).version == 7


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_set_that_is_not_finite_is_refused_on_both_sides(value: float, dtype: str):
    tensors = {"fine": np.ones(3, "f4"), "bad": np.array([0, value], dtype)}
    with pytest.raises(WeightsRefused, match="bad holds a NaN or an infinity"):
        decode_weights(sealed(tensors), fingerprint=None)
    with pytest.raises(ValueError, match="bad holds a NaN or an infinity"):
        encode_weights(msgspec.structs.replace(WEIGHTS, tensors=tensors))


@pytest.mark.parametrize(
    "data",
    [
        sealed({}, body=b"\xff" * 40),
        sealed({}, body=b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"),
        sealed({}, body=b""),
        sealed({}, body="text"),
        sealed({}, version=-1),
        sealed({}, extra=1),
        sealed({}, architecture="x" * (LIMITS.text_bytes + 1)),
        sealed({"n" * 257: np.ones(1)}),
        sealed({"c": np.ones(1, "complex64")}),
        sealed({str(i): np.ones(1) for i in range(LIMITS.tensors + 1)}),
        hashlib.sha256(b"\xc1").digest() + b"\xc1",
        hashlib.sha256(b"\x91" * 5000).digest() + b"\x91" * 5000,
        b"",
    ],
)
def test_a_set_that_is_malformed_under_a_right_digest_is_refused(data: bytes):
    with pytest.raises(WeightsRefused):
        decode_weights(data, fingerprint=None)


def test_an_object_array_cannot_be_published():
    with pytest.raises(ValueError, match="dtype object"):
        encode_weights(msgspec.structs.replace(WEIGHTS, tensors={"x": np.array([None])}))
