"""Fuzz the decoding of weight sets. Under Atheris: `python tests/fuzz/fuzz_weights.py`."""

import random
import re
import struct
from collections.abc import Sequence

import msgspec
import numpy as np
from fuzzing import assert_plain, main, parents
from mutator import Mutator

from wire.codec import DTYPES
from wire.weights import WeightsRefused, decode_weights, seal_weights

WORDS = ("version", "fingerprint", "architecture", "body", "tensors", "extra")
_JSON = re.compile(rb'"[^"]*"|-?\d+|[][{},:]')
_PIECES = (b"0", b"-1", b"1", b"3", b"65536", b"4294967296", b"9223372036854775807", b"18446744073709551616", b"1e400")
_PIECES += (b"null", b"true", b"{}", b"[]", b'""', b'"__metadata__"', b'"\\ud800"', b'"\xff"', b'"\\u001b[2J"', b"NaN")
_PIECES += tuple(b'"%s"' % name for name in (b"F64", b"F32", b"F16", b"BF16", b"F8_E4M3", b"F4", b"BOOL", b"I64", b"O"))
_PIECES += (
    b"[" * 500,
    b'{"a":' * 500,
    b",".join([b"1"] * 70),
    b"0,9223372036854775808",
    b"{",
    b"}",
    b",",
)
_NOT_FINITE = tuple(struct.pack(form, value) for form in ("<e", "<f", "<d") for value in (np.nan, np.inf, -np.inf))


def one(data: bytes) -> None:
    """Bytes are a whole, finite set within the limits, or WeightsRefused."""
    try:
        tensors = decode_weights(data, fingerprint=None).tensors
    except WeightsRefused as error:
        assert_plain(error)
    else:
        assert sum(tensor.nbytes for tensor in tensors.values()) <= len(data)
        for tensor in tensors.values():
            assert tensor.dtype.name in DTYPES
            assert tensor.dtype.kind != "f" or np.isfinite(tensor).all()


class WeightsMutator:
    """Mutants of weight sets in each of their three layers, behind a right digest mostly."""

    def __init__(self, golden: Sequence[bytes], evil: Sequence[bytes], seed: int) -> None:
        self._random = random.Random(seed)
        self._golden = golden
        self._frames = Mutator(
            golden, evil, words=WORDS, unseal=lambda data: data[32:], seal=seal_weights, seed=seed + 1
        )

    def mutant(self) -> bytes:
        """The next one."""
        if self._random.random() < 0.4:
            return self._frames.mutant()
        return self.mutate(self._random.choice(self._golden))

    def mutate(self, frame: bytes) -> bytes:
        """A mutant of this set: of its map, of the header in its body, or of its tensors."""
        try:
            record = msgspec.msgpack.decode(frame[32:])
            body = record["body"]
            size = int.from_bytes(body[:8], "little")
            header, tensors = body[8 : 8 + size], body[8 + size :]
        except (msgspec.MsgspecError, UnicodeError, RecursionError, KeyError, TypeError):
            return self._frames.mutate(frame)
        if not isinstance(body, bytes) or self._random.random() < 0.2:
            return self._frames.mutate(frame)
        if self._random.random() < 0.7:
            header = self._header(header)
        else:
            tensors = self._tensors(tensors)
        length = struct.pack("<Q", len(header) if self._random.random() < 0.9 else self._random.getrandbits(64))
        return seal_weights(msgspec.msgpack.encode(record | {"body": length + header + tensors}))

    def _header(self, header: bytes) -> bytes:
        """The JSON with some of its pieces replaced, repeated or dropped."""
        for _ in range(self._random.randint(1, 3)):
            piece, other = (_JSON.search(header, self._random.randrange(len(header) + 1)) for _ in range(2))
            if piece is None or other is None:
                continue
            new = self._random.choice((self._random.choice(_PIECES), other.group(), b"", piece.group() * 2))
            header = header[: piece.start()] + new + header[piece.end() :]
        return header

    def _tensors(self, data: bytes) -> bytes:
        """The tensors torn, or with something in them that is no number."""
        at = self._random.randrange(len(data) + 1)
        match self._random.randrange(3):
            case 0:
                return data[:at]
            case 1:
                return data + self._random.randbytes(8)
        new = self._random.choice(_NOT_FINITE)
        at -= at % len(new)
        return data[:at] + new + data[at + len(new) :]


def mutator(seed: int, sets: Sequence[bytes] = ()) -> WeightsMutator:
    """Mutants of these good sets, or of those in the corpus."""
    golden, evil = parents("weights")
    return WeightsMutator(sets or golden, evil, seed)


if __name__ == "__main__":
    main("weights", one, mutator(0))
