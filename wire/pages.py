"""Rows of a damaged SQLite file: every page is read by itself, so none hides what lies under it or comes after it.

Only what this needs of the file format (sqlite.org/fileformat2.html) is here: leaf pages of tables, their overflow
pages, and the pages in a write-ahead log. What comes out may be old, freed or nonsense: only a row's own checksum says
whether it is true, and the caller must check it.
"""

import functools
import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from wire.codec import LIMITS

_LEAF = 13
_LOG_HEADER, _FRAME_HEADER, _FILE_HEADER = 32, 24, 100
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_LARGEST = LIMITS.record_bytes + LIMITS.text_bytes
_UNREADABLE = (IndexError, KeyError, ValueError, OverflowError, struct.error)

_BIG_ENDIAN = b"\x37\x7f\x06\x83"
_Matrix = tuple[tuple[int, int], tuple[int, int]]

Values = tuple[object, ...]


def read_rows(path: Path, page_bytes: int) -> Iterator[tuple[int, Values]]:
    """Whatever looks like a row of a table, as (rowid, columns); of a row that was changed the newest version first."""
    log = Path(f"{path}-wal")
    logged = _logged_pages(log.read_bytes(), page_bytes) if log.exists() else {}
    if path.stat().st_size == 0:
        yield from _rows(_Pages(b"", page_bytes, logged), logged)
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        numbers = range(1, len(data) // page_bytes + 2)
        yield from _rows(_Pages(data, page_bytes, logged), {*numbers, *logged})
        yield from _rows(_Pages(data, page_bytes, {}), logged)


class _Pages:
    """The pages of a file, numbered from 1, some of them replaced by newer ones from its log."""

    def __init__(self, file: bytes | mmap.mmap, page_bytes: int, logged: Mapping[int, bytes]) -> None:
        self.page_bytes = page_bytes
        self._file = file
        self._logged = logged

    def __getitem__(self, number: int) -> bytes:
        start = (number - 1) * self.page_bytes
        return self._logged.get(number) or self._file[start : start + self.page_bytes]


def is_log_damaged(path: Path, page_bytes: int) -> bool:
    """Whether the write-ahead log beside a file holds commits that SQLite will pass over in silence.

    It reads a log up to the first frame that fails its checksum, or has another salt than the header, and takes the
    rest for a commit that was never finished, or for an earlier use of the log. Where another commit with the header's
    salt comes after that frame, it was neither. (Damage to the very last frame looks exactly like a commit that a crash
    cut short, and is taken for that.)
    """
    log = Path(f"{path}-wal")
    data = log.read_bytes() if log.exists() else b""
    if len(data) <= _LOG_HEADER:
        return False
    words = ">u4" if data[:4] == _BIG_ENDIAN else "<u4"
    total = _checksum((0, 0), data[:24], words)
    whole = data[24:_LOG_HEADER] == struct.pack(">II", *total)
    # A log that begins anew gets its header first: whoever is killed then leaves a sound one before frames of old.
    salt = data[16:24] if whole else _salt(data)
    for start in range(_LOG_HEADER, len(data) - _FRAME_HEADER, _FRAME_HEADER + page_bytes):
        frame = data[start : start + _FRAME_HEADER + page_bytes]
        if len(frame) < _FRAME_HEADER + page_bytes:
            return False
        if frame[8:16] != salt:
            whole = False
            continue
        if not whole and any(frame[4:8]):
            return True
        total = _checksum(total, frame[:8] + frame[_FRAME_HEADER:], words)
        whole = whole and frame[16:_FRAME_HEADER] == struct.pack(">II", *total)
    return False


def _checksum(total: tuple[int, int], data: bytes, words: str) -> tuple[int, int]:
    """SQLite's sum over pairs of words (s1 += x + s2; s2 += y + s1): linear, so a page is summed up at once."""
    pairs = np.frombuffer(data, words).astype(np.uint64).reshape(-1, 2)
    weights, ((a, b), (c, d)) = _weights(len(pairs))
    added = np.einsum("nij,nj->i", weights, pairs).tolist()
    return (a * total[0] + b * total[1] + added[0]) % 2**32, (c * total[0] + d * total[1] + added[1]) % 2**32


@functools.lru_cache
def _weights(pairs: int) -> tuple[np.ndarray, _Matrix]:
    """What each of so many pairs adds to the sum, uint64 (pairs, 2, 2), and what is left of the sum before them."""
    step, weights = ((1, 1), (1, 2)), [((1, 0), (1, 1))]
    left = step
    for _ in range(pairs - 1):
        weights.append(_times(step, weights[-1]))
        left = _times(step, left)
    return np.array(weights[::-1], np.uint64), left


def _times(m: _Matrix, n: _Matrix) -> _Matrix:
    ((a, b), (c, d)), ((e, f), (g, h)) = m, n
    return (
        ((a * e + b * g) % 2**32, (a * f + b * h) % 2**32),
        ((c * e + d * g) % 2**32, (c * f + d * h) % 2**32),
    )


def _salt(log: bytes) -> bytes:
    """What marks the frames of the log's present use: the first one says, for the header may be the damaged part."""
    return log[_LOG_HEADER + 8 : _LOG_HEADER + 16]


def _logged_pages(log: bytes, page_bytes: int) -> dict[int, bytes]:
    """The newest committed version of each page in a write-ahead log, torn or not."""
    pages, uncommitted = {}, {}
    for start in range(_LOG_HEADER, len(log) - _FRAME_HEADER, _FRAME_HEADER + page_bytes):
        # A frame of an earlier use of the log has another salt.
        if log[start + 8 : start + 16] in (_salt(log), log[16:24]):
            first = start + _FRAME_HEADER
            uncommitted[int.from_bytes(log[start : start + 4], "big")] = log[first : first + page_bytes]
            if any(log[start + 4 : start + 8]):
                pages |= uncommitted
                uncommitted = {}
    return pages


def _rows(pages: _Pages, numbers: Iterable[int]) -> Iterator[tuple[int, Values]]:
    for number in numbers:
        page = pages[number]
        header = _FILE_HEADER if number == 1 else 0
        if page[header : header + 1] != bytes([_LEAF]):
            continue
        count = int.from_bytes(page[header + 3 : header + 5], "big")
        for place in range(header + 8, min(header + 8 + 2 * count, len(page) - 1), 2):
            try:
                rowid, payload = _cell(pages, page, int.from_bytes(page[place : place + 2], "big"))
                yield rowid, _columns(payload)
            except _UNREADABLE:
                continue


def _cell(pages: _Pages, page: bytes, start: int) -> tuple[int, bytes]:
    """The rowid and the whole payload of a cell, its overflow pages included."""
    page_bytes = pages.page_bytes
    size, start = _varint(page, start)
    rowid, start = _varint(page, start)
    if size > _LARGEST:
        raise ValueError("larger than any row of ours")
    most, least = page_bytes - 35, (page_bytes - 12) * 32 // 255 - 23
    if size <= most:
        return rowid, page[start : start + size]
    here = least + (size - least) % (page_bytes - 4)
    here = here if here <= most else least
    parts = [page[start : start + here]]
    after = int.from_bytes(page[start + here : start + here + 4], "big")
    missing = size - here
    while missing > 0:
        page = pages[after] if after else b""
        parts.append(page[4 : 4 + min(missing, page_bytes - 4)])
        missing -= page_bytes - 4
        after = int.from_bytes(page[:4], "big")
    return rowid, b"".join(parts)


def _columns(payload: bytes) -> Values:
    end, place = _varint(payload, 0)
    start, values = end, []
    while place < end:
        kind, place = _varint(payload, place)
        value, start = _value(payload, kind, start)
        values.append(value)
    return tuple(values)


def _value(payload: bytes, kind: int, start: int) -> tuple[object, int]:
    """One column, by its serial type, and where the next one begins."""
    if kind >= 12:
        size = (kind - 12) // 2
        data = payload[start : start + size]
        return data.decode() if kind % 2 else data, start + size
    if kind in (0, 8, 9):
        return (None if kind == 0 else kind - 8), start
    if kind == 7:
        return struct.unpack_from(">d", payload, start)[0], start + 8
    size = _INTEGER_BYTES[kind]
    return int.from_bytes(payload[start : start + size], "big", signed=True), start + size


def _varint(data: bytes, start: int) -> tuple[int, int]:
    value = 0
    for place in range(start, start + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | data[start + 8], start + 9
