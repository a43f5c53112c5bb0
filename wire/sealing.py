"""Messages between processes end with a CRC-32: what was damaged on the way is dropped, not understood."""

import zlib
from typing import TypeVar

import msgspec

from wire.codec import MALFORMED, DecodeError
from wire.errors import plain

_CRC_BYTES = 4
_T = TypeVar("_T")


def seal(payload: bytes) -> bytes:
    """The payload with its checksum."""
    return payload + zlib.crc32(payload).to_bytes(_CRC_BYTES, "little")


def unseal(decoder: "msgspec.msgpack.Decoder[_T]", data: bytes) -> _T:
    """The message in sealed bytes; raises DecodeError where they are damaged, or nothing that the decoder knows."""
    payload = memoryview(data)[:-_CRC_BYTES]
    if zlib.crc32(payload) != int.from_bytes(data[-_CRC_BYTES:], "little"):
        raise DecodeError("not a message: it fails its checksum")
    try:
        return decoder.decode(payload)
    except MALFORMED as error:
        raise DecodeError(f"not a message: {plain(error)}") from None
