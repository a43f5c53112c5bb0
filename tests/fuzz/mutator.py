"""Seeded, structure-aware mutation of MessagePack: most mutants are still frames, with one thing wrong in them.

Blind noise dies at the first byte. A mutant here is a good frame in which one value, type byte, length, key or array
header was changed, so that it reaches what lies behind the first check; now and then a mutant becomes a parent.
"""

import contextlib
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_TOKENS = 300
_DEPTH = 64
_GRANDPARENTS = 32
_PARENT_BYTES = 4096

# First byte -> kind, bytes of the length field, and the size or count where the first byte holds it.
_KINDS: dict[int, tuple[str, int, int]] = dict.fromkeys((*range(128), *range(224, 256)), ("number", 0, 0))
_KINDS |= {0x80 + n: ("map", 0, n) for n in range(16)} | {0x90 + n: ("array", 0, n) for n in range(16)}
_KINDS |= {0xA0 + n: ("str", 0, n) for n in range(32)} | dict.fromkeys((0xC0, 0xC2, 0xC3), ("nil", 0, 0))
_KINDS |= {0xC4 + n: ("bin", 1 << n, 0) for n in range(3)} | {0xC7 + n: ("ext", 1 << n, 0) for n in range(3)}
_KINDS |= {0xCA: ("number", 0, 4), 0xCB: ("number", 0, 8)}
_KINDS |= {0xCC + n: ("number", 0, 1 << n) for n in range(4)} | {0xD0 + n: ("number", 0, 1 << n) for n in range(4)}
_KINDS |= {0xD4 + n: ("ext", 0, 1 << n) for n in range(5)} | {0xD9 + n: ("str", 1 << n, 0) for n in range(3)}
_KINDS |= {0xDC + n: ("array", 2 << n, 0) for n in range(2)} | {0xDE + n: ("map", 2 << n, 0) for n in range(2)}

_WIDEST = {"map": b"\xdf", "array": b"\xdd", "str": b"\xdb", "bin": b"\xc6", "ext": b"\xc9"}
_COUNTS = (0, 1, 31, 64, 65, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_BYTES = (0x00, 0x01, 0x7F, 0x80, 0x8F, 0x90, 0xA0, 0xC0, 0xC1, 0xC9, 0xCB, 0xCF, 0xD3, 0xD4, 0xDB, 0xDD, 0xDF, 0xFF)


def _array(data: bytes, *dims: int, rank: int | None = None, code: int = 11) -> bytes:
    """An array as an extension value of format 1, whatever its parts are."""
    body = data + struct.pack(f"<{len(dims)}I", *dims) + bytes((len(dims) if rank is None else rank, code))
    return b"\xc9" + struct.pack(">IB", len(body), 1) + body


VALUES: tuple[bytes, ...] = (
    *(b"\xcb" + struct.pack(">d", value) for value in (float("nan"), float("inf"), float("-inf"), -0.0, 1e308, 5e-324)),
    *(b"\xcf" + struct.pack(">Q", value) for value in (0, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1)),
    *(b"\xd3" + struct.pack(">q", value) for value in (-1, -(2**53), -(2**63))),
    *(b"\xca" + struct.pack(">f", value) for value in (float("nan"), float("inf"), 1.5)),
    *(b"\xc0", b"\xc1", b"\xc2", b"\xc3", b"\xa0", b"\x80", b"\x90", b"\xc4\x00", b"\x04", b"\xff"),
    *(b"\xa2\xff\xfe", b"\xa3\xed\xa0\x80", b"\xa4\xf8\x88\x80\x80", b"\xa2\xc0\x80", b"\xa1\x00", b"\xa5\x1b[31m"),
    *(b"\xd9\x41" + b"x" * 65, b"\xd9\x50" + "é".encode() * 40, b"\xa3|O8", b"\x81\xa5dtype\xa2|O"),
    *(b"\xd6\xff\x00\x00\x00\x00", b"\xd7\xff" + b"\xff" * 8, b"\xc7\x0c\xff" + b"\xff" * 12, b"\xd4\x01\x00"),
    *(_array(bytes(16), 4), _array(bytes(16), 0xFFFFFFFF), _array(bytes(16), *(0xFFFFFFFF,) * 5), _array(b"", 0, 4)),
    *(_array(bytes(16), 1 << 31, 1 << 31, 4), _array(bytes(16), 4, rank=200), _array(bytes(4), *(1,) * 6)),
    *(_array(b"\x02", 1, code=1), _array(bytes(16), 4, code=0), _array(bytes(16), 4, code=99), _array(bytes(4))),
    *(_array(b"\xff" * 16, 4), _array(b"\xff" * 16, 2, code=12)),
    *(b"\x91" * 1200, b"\x81\xa1x" * 1200, b"\x91" * 3000 + b"\xc0"),
)
"""Values that belong nowhere: too large, not finite, not text, not an array, or nested without end."""


class Token(NamedTuple):
    """One value in a frame: its first byte, where its content begins, where it ends."""

    kind: str
    start: int
    content: int
    end: int


def scan(data: bytes) -> list[Token]:
    """The values in `data`, as far as it makes sense as MessagePack."""
    tokens: list[Token] = []
    with contextlib.suppress(KeyError, IndexError):
        _scan(data, 0, tokens, 0)
    return tokens


def _scan(data: bytes, at: int, tokens: list[Token], depth: int) -> int:
    """Note the value at `at` and those in it; returns where it ends."""
    kind, width, size = _KINDS[data[at]]
    content = at + 1 + width
    if width:
        size = int.from_bytes(data[at + 1 : content], "big")
    content += kind == "ext"
    end = content
    if kind in ("map", "array"):
        for _ in range(size * (1 + (kind == "map"))):
            if len(tokens) >= _TOKENS or depth > _DEPTH:
                raise IndexError
            end = _scan(data, end, tokens, depth + 1)
    else:
        end += size
    if end > len(data):
        raise IndexError
    tokens.append(Token(kind, at, content, end))
    return end


class Mutator:
    """An endless supply of mutants of some frames; the same seed gives the same ones on every machine."""

    def __init__(
        self,
        golden: Sequence[bytes],
        evil: Sequence[bytes] = (),
        *,
        words: Sequence[str] = (),
        unseal: Callable[[bytes], bytes] = bytes,
        seal: Callable[[bytes], bytes] = bytes,
        seed: int = 0,
    ) -> None:
        """Prepare the parents.

        Args:
            golden: Good frames: three quarters of the mutants are made of these.
            evil: Bad ones that once did harm.
            words: Keys and tags that mean something to whoever decodes.
            unseal: Takes the MessagePack out of a frame.
            seal: Puts it back behind a right checksum.
            seed: Of everything.
        """
        self._random = random.Random(seed)
        self._unseal, self._seal = unseal, seal
        self._golden = list(golden)
        self._parents = [(payload, scan(payload)) for payload in map(unseal, (*golden, *evil))]
        self._seeds = len(self._parents)
        self._words = [_text(word) for word in words]
        self._edits = (self._value, self._type, self._length, self._splice, self._alike, self._alike)
        self._edits += (self._pair, self._array, self._word, self._nest)
        self._noises = (self._flip, self._byte, self._cut, self._double, self._insert)

    def __iter__(self) -> Iterator[bytes]:
        """Mutants without end."""
        while True:
            yield self.mutant()

    def mutant(self) -> bytes:
        """The next one."""
        dice = self._random.random()
        if dice < 1 / 16:
            # Outside the envelope: this is what checksums are for.
            return self._noise(self._golden[self._below(len(self._golden))])
        good = self._random.random() < 3 / 4
        data = self.edited(*self._parents[self._below(len(self._golden) if good else len(self._parents))])
        if dice > 63 / 64:
            self._adopt(data)
        return self._seal(data)

    def mutate(self, frame: bytes) -> bytes:
        """A mutant of this frame."""
        payload = self._unseal(frame)
        return self._seal(self.edited(payload, scan(payload)))

    def edited(self, data: bytes, tokens: list[Token]) -> bytes:
        """The data with one value of it changed, and a quarter of the time with noise on top, or with noise only."""
        if tokens and self._random.random() < 7 / 8:
            edit = self._edits[self._below(len(self._edits))]
            data = edit(data, tokens[self._below(len(tokens))])
            if self._random.random() < 3 / 4:
                return data
        return self._noise(data)

    def _below(self, end: int) -> int:
        return int(self._random.random() * end)

    def _adopt(self, data: bytes) -> None:
        """Let a mutant have children, in the place of an earlier one."""
        if len(data) > _PARENT_BYTES:
            return
        parent = (data, scan(data))
        if len(self._parents) < self._seeds + _GRANDPARENTS:
            self._parents.append(parent)
        else:
            self._parents[self._seeds + self._below(_GRANDPARENTS)] = parent

    def _any_value(self) -> bytes:
        """A value of any parent."""
        data, tokens = self._parents[self._below(len(self._parents))]
        if not tokens:
            return b"\xc0"
        token = tokens[self._below(len(tokens))]
        return data[token.start : token.end]

    def _value(self, data: bytes, token: Token) -> bytes:
        return data[: token.start] + VALUES[self._below(len(VALUES))] + data[token.end :]

    def _splice(self, data: bytes, token: Token) -> bytes:
        return data[: token.start] + self._any_value() + data[token.end :]

    def _alike(self, data: bytes, token: Token) -> bytes:
        """Another value of the same kind, from any good frame: a key for a key, a number for a number."""
        other, tokens = self._parents[self._below(len(self._golden))]
        for _ in range(8):
            new = tokens[self._below(len(tokens))]
            if new.kind == token.kind:
                return data[: token.start] + other[new.start : new.end] + data[token.end :]
        return self._value(data, token)

    def _word(self, data: bytes, token: Token) -> bytes:
        word = self._words[self._below(len(self._words))] if self._words else _text("type")
        return data[: token.start] + word + data[token.end :]

    def _type(self, data: bytes, token: Token) -> bytes:
        return data[: token.start] + bytes((self._below(256),)) + data[token.start + 1 :]

    def _length(self, data: bytes, token: Token) -> bytes:
        first = _WIDEST.get(token.kind)
        if first is None:
            return self._type(data, token)
        size = token.end - token.content
        counts = (*_COUNTS, size - 1, size, size + 1)
        header = first + (counts[self._below(len(counts))] & 0xFFFFFFFF).to_bytes(4, "big")
        return data[: token.start] + header + data[token.content - (token.kind == "ext") :]

    def _pair(self, data: bytes, token: Token) -> bytes:
        """A map with more entries: a key that it has already, one that it does not know, or hundreds."""
        if token.kind != "map":
            return self._splice(data, token)
        _, width, count = _KINDS[data[token.start]]
        if width:
            count = int.from_bytes(data[token.start + 1 : token.content], "big")
        first_key = data[token.content : token.content + 1 + (data[token.content] & 31)] if count else _text("extra")
        key = (first_key, _text("extra"), self._any_value())[self._below(3)]
        times = (1, 1, 1, 70, 300)[self._below(5)]
        header = _WIDEST["map"] + (count + times).to_bytes(4, "big")
        return data[: token.start] + header + (key + self._any_value()) * times + data[token.content :]

    def _array(self, data: bytes, token: Token) -> bytes:
        """An array whose dimensions, rank or dtype are others."""
        if token.kind != "ext" or token.end - token.content < 6:
            return self._alike(data, token)
        part = self._below(4)
        if part < 2:
            place, new = token.end - 1 - part, bytes((self._below(16) if self._below(2) else self._below(256),))
        else:
            place = token.end - 6
            new = struct.pack("<I", _COUNTS[self._below(len(_COUNTS))])
        return data[:place] + new + data[place + len(new) :]

    def _nest(self, data: bytes, token: Token) -> bytes:
        around = (b"\x91", b"\x81\xa1x", b"\x92\xc0", b"\x81")[self._below(4)] * (1 << self._below(12))
        return data[: token.start] + around + data[token.start :]

    def _noise(self, data: bytes) -> bytes:
        return self._noises[self._below(len(self._noises))](data)

    def _flip(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(1 + self._below(4) if data else 0):
            changed[self._below(len(changed))] ^= 1 << self._below(8)
        return bytes(changed)

    def _byte(self, data: bytes) -> bytes:
        changed = bytearray(data)
        if changed:
            changed[self._below(len(changed))] = _BYTES[self._below(len(_BYTES))]
        return bytes(changed)

    def _cut(self, data: bytes) -> bytes:
        start = self._below(len(data) + 1)
        return data[:start] if self._below(2) else data[:start] + data[start + 1 + self._below(16) :]

    def _double(self, data: bytes) -> bytes:
        start = self._below(len(data) + 1)
        end = start + self._below(64)
        return data[:end] + data[start:end] * (1 + self._below(4)) + data[end:]

    def _insert(self, data: bytes) -> bytes:
        start = self._below(len(data) + 1)
        return data[:start] + self._random.randbytes(1 + self._below(8)) + data[start:]


def _text(word: str) -> bytes:
    data = word.encode()[:255]
    return b"\xd9" + bytes((len(data),)) + data
