"""The promises of the byte format of steps."""

import contextlib
import struct
import time
import tracemalloc
from pathlib import Path

import msgspec
import numpy as np
import pytest
from experience import assert_same_step, make_spec, make_step
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from msgspec.msgpack import Ext

from wire.codec import DTYPES, LIMITS, DecodeError, decode_spec, decode_step, encode_spec, encode_step, seal
from wire.types import Source, Step

GOLDEN = Path(__file__).parents[1] / "golden" / "step_v1.bin"
SMALL = make_step(make_spec(size=2), 4)

arrays = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=LIMITS.rank, max_side=3))
)
names = st.text(min_size=1, max_size=16).filter(lambda name: len(name.encode("utf8", "ignore")) <= LIMITS.name_bytes)
names = names.filter(lambda name: name.isprintable())
counts = st.integers(0, 2**53)
steps = st.builds(
    Step,
    episode=counts,
    t=counts,
    observation=st.dictionaries(names, arrays, max_size=4),
    action=arrays,
    policy_action=st.none() | arrays,
    source=st.sampled_from(Source),
    reward=st.floats(allow_nan=False),
    terminated=st.booleans(),
    truncated=st.booleans(),
    success=st.booleans(),
    final_observation=st.none() | st.dictionaries(names, arrays, max_size=2),
    weights_version=counts,
    held=st.booleans(),
    discarded=st.booleans(),
    reward_by=st.just("") | names,
    stamps=st.dictionaries(names, st.floats(allow_nan=False), max_size=4),
)


@given(steps)
@settings(max_examples=100)
def test_what_is_encoded_decodes_to_the_same(step: Step):
    assert_same_step(decode_step(encode_step(step)), step)


def test_golden_step_of_format_1_decodes_forever():
    assert_same_step(decode_step(GOLDEN.read_bytes()), SMALL)


def test_format_1_is_still_written_as_it_was():
    assert encode_step(SMALL) == GOLDEN.read_bytes()


def test_decoded_arrays_are_aligned_and_read_only():
    for array in decode_step(encode_step(SMALL)).observation.values():
        assert array.flags.aligned
        assert not array.flags.writeable


def test_numpy_scalars_travel_as_plain_numbers():
    step = msgspec.structs.replace(SMALL, reward=np.float32(0.5), terminated=np.bool_(True), t=np.int64(4))
    assert decode_step(encode_step(step)).reward == 0.5


def test_truncation_anywhere_is_a_decode_error():
    data = encode_step(SMALL)
    for end in range(len(data)):
        with pytest.raises(DecodeError):
            decode_step(data[:end])


def test_any_flipped_bit_is_a_decode_error():
    data = bytearray(encode_step(SMALL))
    for position in range(len(data)):
        data[position] ^= 1 << position % 8
        with pytest.raises(DecodeError):
            decode_step(bytes(data))
        data[position] ^= 1 << position % 8


@given(st.data())
@settings(max_examples=300)
def test_bytes_changed_before_sealing_decode_or_are_a_decode_error(data: st.DataObject):
    payload = bytearray(encode_step(SMALL)[1:-4])
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        decode_step(seal(bytes(payload)))


@given(st.binary(max_size=200))
def test_noise_is_a_decode_error(noise: bytes):
    with pytest.raises(DecodeError):
        decode_step(seal(noise))


def _evil(action: object = None, **fields: object) -> bytes:
    """A sealed record with some fields as an attacker would write them."""
    record = msgspec.msgpack.decode(encode_step(SMALL)[1:-4], ext_hook=lambda code, data: Ext(code, bytes(data)))
    record |= fields if action is None else {"action": action}
    return seal(msgspec.msgpack.encode(record))


def _array(shape: tuple[int, ...], nbytes: int, code: int = DTYPES["float32"], rank: int | None = None) -> Ext:
    dims = b"".join(struct.pack("<I", dim) for dim in shape)
    return Ext(1, bytes(nbytes) + dims + bytes([len(shape) if rank is None else rank, code]))


EVIL = {
    "object dtype as in numpy's own descriptors": _evil({"dtype": "|O", "shape": [1], "data": b"\0" * 8}),
    "unknown dtype code": _evil(_array((4,), 16, code=99)),
    "dtype code 0": _evil(_array((4,), 16, code=0)),
    "shape of -1": _evil(_array((0xFFFFFFFF,), 16)),
    "shape whose product overflows 64 bits": _evil(_array((0xFFFFFFFF,) * 5, 16)),
    "shape whose product wraps to the right size": _evil(_array((1 << 31, 1 << 31, 4), 16)),
    "shape with a zero": _evil(_array((0, 4), 0)),
    "too many bytes": _evil(_array((4,), 17)),
    "too few bytes": _evil(_array((4,), 15)),
    "rank over the limit": _evil(_array((1,) * 6, 4)),
    "rank beyond the data": _evil(_array((4,), 16, rank=200)),
    "empty extension": _evil(Ext(1, b"")),
    "foreign extension": _evil(Ext(7, b"12345678")),
    "timestamp extension": _evil(Ext(-1, b"\0" * 4)),
    "bool that is neither": _evil(Ext(1, b"\x02" + struct.pack("<I", 1) + bytes([1, DTYPES["bool"]]))),
    "negative count": _evil(t=-1),
    "count over the limit": _evil(t=2**63),
    "unknown source": _evil(source=9),
    "unknown field": _evil(extra=1),
    "missing field": seal(msgspec.msgpack.encode({"episode": 1})),
    "name over the limit": _evil(stamps={"x" * 65: 1.0}),
    "name over the limit in bytes only": _evil(stamps={"é" * 40: 1.0}),
    "empty name": _evil(stamps={"": 1.0}),
    "too many names": _evil(stamps={str(i): 1.0 for i in range(LIMITS.arrays + 1)}),
    "string that is not UTF-8": seal(b"\x81\xa2\xff\xfe\x01"),
    "map that claims four billion entries": seal(b"\xdf\xff\xff\xff\xff"),
    "observation that claims four billion arrays": seal(b"\x81\xabobservation\xdf\xff\xff\xff\xff"),
    "extension that claims four gigabytes": seal(b"\x81\xa6action\xc9\xff\xff\xff\xff\x01"),
    "string that claims four gigabytes": seal(b"\x81\xdb\xff\xff\xff\xff"),
    "nesting 100,000 deep": seal(b"\x81\xa6action" + b"\x91" * 100_000),
    "trailing bytes": seal(encode_step(SMALL)[1:-4] + b"\0"),
    "nothing": b"",
    "format only": b"\x01",
    "newer format": b"\x02" + encode_step(SMALL)[1:],
    "longer than the limit": bytes(LIMITS.record_bytes + 1),
}


@pytest.mark.parametrize("data", EVIL.values(), ids=EVIL.keys())
def test_evil_records_are_decode_errors_at_once_and_without_memory(data: bytes):
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(DecodeError):
            decode_step(data)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(data) + (1 << 16)
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize(
    "bad",
    [
        np.array([None]),
        np.array(["text"]),
        np.zeros(2, "complex64"),
        np.zeros(1, "datetime64[s]"),
        np.zeros(1, [("a", "f4")]),
        np.zeros((1,) * 6, "f4"),
        np.zeros((0, 3), "f4"),
        np.zeros(LIMITS.record_bytes, "u1"),
        {"a": 1},
        object(),
    ],
    ids=lambda bad: str(getattr(bad, "dtype", type(bad).__name__)),
)
def test_what_may_not_travel_is_a_value_error_where_it_is_written(bad: object):
    with pytest.raises(ValueError, match=r".+"):
        encode_step(msgspec.structs.replace(SMALL, action=bad))


def test_arrays_that_are_not_contiguous_or_big_endian_arrive_as_they_look():
    action = np.arange(24, dtype=">f4").reshape(4, 6)[::2, ::3].T
    np.testing.assert_array_equal(
        decode_step(encode_step(msgspec.structs.replace(SMALL, action=action))).action, action
    )


def test_a_spec_travels_as_text():
    assert decode_spec(encode_spec(make_spec())) == make_spec()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"uint8"', '"|O"'),
        ('"float32"', '"complex64"'),
        ('"shape":[8,8,3]', '"shape":[-8,8,3]'),
        ('"shape":[8,8,3]', '"shape":[99999,99999,3]'),
        ('"shape":[8,8,3]', '"shape":[1,1,1,1,1,1]'),
        ('"rate_hz"', '"rate"'),
        ("{", "["),
        ('"state"', '"' + "s" * 65 + '"'),
    ],
)
def test_an_evil_spec_is_a_decode_error(old: str, new: str):
    text = encode_spec(make_spec())
    assert old in text
    with pytest.raises(DecodeError):
        decode_spec(text.replace(old, new))


def test_a_deeply_nested_spec_is_a_decode_error():
    with pytest.raises(DecodeError):
        decode_spec("[" * 100_000)
