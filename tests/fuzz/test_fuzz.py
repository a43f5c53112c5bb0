"""Whatever bytes come, decoding gives an object or says no: never a crash, a hang, or memory that was not sent.

Every mutant is made from a seed, so that a failure comes again. An input that fails is written down and named: it
belongs into the corpus, where it is tried for ever.
"""

import contextlib
import hashlib
import itertools
import logging
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import fuzz_codec
import fuzz_link
import fuzz_scoring
import fuzz_store
import fuzz_weights
import msgspec
import numpy as np
import pytest
from counts import count
from experience import make_spec, make_step
from fuzzing import corpus

from wire import link
from wire.codec import LIMITS, DecodeError, decode_step, encode_step, seal
from wire.weights import Weights, WeightsRefused, decode_weights, encode_weights, seal_weights

TARGETS = {
    "codec": fuzz_codec,
    "link": fuzz_link,
    "scoring": fuzz_scoring,
    "store": fuzz_store,
    "weights": fuzz_weights,
}
COUNTS = {
    "codec": count(ci=1_000_000, nightly=4_000_000),
    "link": count(ci=2_000_000, nightly=6_000_000),
    "scoring": count(ci=50_000, nightly=2_000_000),
    "store": count(ci=2_000, nightly=20_000),
    "weights": count(ci=50_000, nightly=500_000),
}
SLOW_S = {"codec": 0.005, "link": 0.005, "scoring": 0.005, "store": 0.05, "weights": 0.005}
"""A whole archive is opened, read and closed; all else is one frame."""
DECODE: dict[str, Callable[[bytes], object]] = {
    "codec": decode_step,
    "link": fuzz_link.decode,
    "scoring": fuzz_scoring.decode,
    "weights": lambda data: decode_weights(data, fingerprint=None),
}
TRACED = 200
SMALL_BYTES = 16 << 10
"""What objects, exceptions and their texts cost, however short the frame."""
RSS_BYTES = 16 << 20


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What is refused is logged, a line each: a million lines would be what is measured."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def cpu_s(one: Callable[[bytes], None], data: bytes) -> float:
    """Seconds of processor that one input takes at best: whoever else uses the machine does not count."""

    def once() -> float:
        start_s = time.thread_time()
        one(data)
        return time.thread_time() - start_s

    return min(once() for _ in range(5))


def peak_bytes(decode: Callable[[bytes], object], data: bytes) -> int:
    """The most that decoding one input has allocated at a time."""
    tracemalloc.start()
    try:
        with contextlib.suppress(DecodeError, WeightsRefused):
            decode(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def drive(one: Callable[[bytes], None], mutants: Iterable[bytes], folder: Path, slow_s: float) -> float:
    """Try every mutant; returns the longest time that one of them took in seconds. What fails is left in `folder`."""
    slowest_s = 0.0
    for data in mutants:
        start_s = time.perf_counter()
        try:
            one(data)
            took_s = time.perf_counter() - start_s
            if took_s > slow_s / 5:
                took_s = cpu_s(one, data)
                assert took_s <= slow_s, f"{took_s:.4f} s for {len(data)} bytes"
        except Exception as error:
            path = folder / f"crash-{hashlib.sha256(data).hexdigest()[:8]}.bin"
            path.write_bytes(data)
            pytest.fail(f"{type(error).__name__}: {error}; mend it and move {path} into tests/fuzz/corpus")
        slowest_s = max(slowest_s, took_s)
    return slowest_s


# By a thread: SQLite on an endless query hears no signal.
@pytest.mark.timeout(120, method="thread")
@pytest.mark.parametrize("target", TARGETS)
def test_every_input_of_the_corpus_is_understood_or_refused(target: str):
    inputs = corpus(target)
    assert any(name.startswith("golden") for name in inputs)
    for data in inputs.values():
        TARGETS[target].one(data)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.timeout(7200)
def test_mutants_never_crash_hang_or_grow_the_process(target: str, tmp_path: Path):
    one, mutants = TARGETS[target].one, iter(TARGETS[target].mutator(seed=2026).mutant, None)
    total, slow_s = COUNTS[target], SLOW_S[target]
    drive(one, itertools.islice(mutants, total // 10), tmp_path, slow_s)
    before, start_s = rss_bytes(), time.process_time()
    slowest_s = drive(one, itertools.islice(mutants, total - total // 10), tmp_path, slow_s)
    grown, took_s = rss_bytes() - before, time.process_time() - start_s
    assert grown <= RSS_BYTES, f"{grown >> 20} MiB"
    print(
        f"S1: {target}: {total} mutants, 0 crashes, {0.9 * total / took_s:.0f} a second of one core, "
        f"slowest {1e3 * slowest_s:.1f} ms, RSS +{max(0, grown) >> 10} KiB"
    )


@pytest.mark.parametrize("target", DECODE)
def test_mutants_allocate_no_more_than_twice_what_was_sent(target: str):
    decode, mutants = DECODE[target], iter(TARGETS[target].mutator(seed=7).mutant, None)
    worst, frames = 0, [*corpus(target).values(), *itertools.islice(mutants, COUNTS[target] // TRACED)]
    for data in frames:
        TARGETS[target].one(data)  # The first of a kind may import or compile something.
        worst = max(worst, peak_bytes(decode, data) - 2 * len(data))
        assert worst <= SMALL_BYTES, f"{worst} bytes more than twice {len(data)}: {data[:64]!r}"
    print(f"S1: {target}: {len(frames)} traced, at most {worst / 1024:.0f} KiB over twice the frame")


def large_frames() -> Iterator[tuple[str, Callable[[bytes], object], bytes]]:
    """Frames near the limit, made so that a decoder which believes them makes much of little."""
    size = LIMITS.record_bytes - 1024
    key, text = b"\xdb" + struct.pack(">I", size), b"A" * size
    entry = b"\xa3%c%c%c\xd4\x01\x00"
    entries = b"".join(entry % (64 + i % 64, 64 + i // 64 % 64, 64 + i // 4096 % 64) for i in range(size // 7))
    empty = b",".join(b'"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % number for number in range(size // 60))
    step = msgspec.structs.replace(make_step(make_spec(size=2), 0), action=np.zeros(size - 1024, np.uint8))
    tensors = {"w": np.ones(size // 4, np.float32), "h": np.ones(size // 4, np.float16)}
    codec, link_, weights = DECODE["codec"], DECODE["link"], DECODE["weights"]
    repeated = struct.pack(">I", size // 3) + b"\xa1t\x00" * (size // 3)
    yield "one large array", codec, encode_step(step)
    yield "a million arrays", codec, seal(b"\x81\xabobservation\xdf" + struct.pack(">I", size // 7) + entries)
    yield "a quoted key", codec, seal(b"\x81" + key + text)
    yield "8 million values inside each other", codec, seal(b"\x81\xa6action" + b"\x91" * size)
    yield "the same key again and again", codec, seal(b"\xdf" + repeated)
    yield "a record", link_, link.encode(link.Record(after=0, seq=1, body=text))
    yield "a quoted tag", link_, link.seal(b"\x81\xa4type" + key + text)
    yield "a reason of 8 MiB", link_, link.seal(b"\x82\xa4type\xa7Refused\xa6reason" + key + text)
    yield "nesting in what is skipped", link_, link.seal(b"\x82\xa4type\xa4Ping\xa1x" + b"\x91" * size)
    yield "a weight set", weights, encode_weights(Weights(version=1, fingerprint="", architecture="", tensors=tensors))
    header = struct.pack("<Q", len(empty) + 2) + b"{" + empty + b"}"
    record = {"version": 1, "fingerprint": "", "architecture": "", "body": header}
    yield "nothing but empty tensors", weights, seal_weights(msgspec.msgpack.encode(record))


def test_large_frames_cost_no_more_than_their_size():
    """Twice their bytes of memory, and 5 ms and 20 ns a byte of time: an attacker gets no more than the bandwidth buys.

    A quarter more where the frame is one key or tag: msgspec quotes it in an exception, a text that grows in steps.
    """
    slowest = 0.0
    for name, decode, data in large_frames():
        assert peak_bytes(decode, data) <= (2.3 if "quoted" in name else 2) * len(data) + (64 << 10), name

        def one(data: bytes, decode: Callable[[bytes], object] = decode) -> None:
            with contextlib.suppress(DecodeError, WeightsRefused):
                decode(data)

        took_s = cpu_s(one, data)
        slowest = max(slowest, took_s / len(data))
        assert took_s <= 0.005 + 20e-9 * len(data), (name, took_s)
    print(f"S1: frames of 8 MiB: at most 2 (quoted: 2.3) times their size in memory, {1e9 * slowest:.1f} ns a byte")
