"""The promises of the one file that reads pickles: arrays come out, and nothing is ever carried out."""

import collections
import os
import pickle
import pickletools
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learner.archive.formats.demo_pickle import NotAllowed, read_arrays
from learner.archive.formats.foreign import FormatError

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
CONTENTS: list[Any] = [
    {
        "observations": {"state": RNG.random((1, 7)), "front": RNG.integers(0, 255, (1, 8, 8, 3), np.uint8)},
        "actions": RNG.random(7).astype(np.float32),
        "rewards": np.float64(0.5),
        "dones": np.bool_(True),
        "count": np.int64(-3),
        "masks": 1.0,
        "infos": {"text": "é", "none": None, "list": [1, (2, 3.5)], "bytes": b"\x00\xff"},
        "columns": np.asfortranarray(RNG.random((3, 4))),
        "swapped": np.arange(3, dtype=">i4"),
        "empty": np.zeros((0, 3), np.float32),
        "strided": np.arange(10)[::2],
        "ordered": collections.OrderedDict(a=1),
    }
]


def write(folder: Path, data: bytes) -> Path:
    path = folder / "demo.pkl"
    path.write_bytes(data)
    return path


def same(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, np.ndarray | np.generic):
        return got.shape == wanted.shape and got.dtype == wanted.dtype.newbyteorder("=") and np.array_equal(got, wanted)
    if isinstance(wanted, dict):
        return got.keys() == wanted.keys() and all(same(got[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list | tuple):
        return type(got) is type(wanted) and len(got) == len(wanted) and all(map(same, got, wanted))
    return got == wanted


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_in_plain_containers_come_out_as_they_went_in(tmp_path: Path, protocol: int):
    assert same(read_arrays(write(tmp_path, pickle.dumps(CONTENTS, protocol))), CONTENTS)


def test_the_names_of_numpy_1_are_known_too(tmp_path: Path):
    data = pickle.dumps(CONTENTS, 2)
    assert b"numpy._core" in data
    assert same(read_arrays(write(tmp_path, data.replace(b"numpy._core", b"numpy.core"))), CONTENTS)


class Runs:
    """An object whose pickle calls something."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def hostile(marker: Path) -> dict[str, bytes]:
    """Pickles that would do harm, if anything looked a name up or believed a number."""
    touch = f"touch {marker}"
    array = pickle.dumps(np.arange(4.0), 2)
    huge = array.replace(struct.pack("<B", 4) + b"\x85", b"J" + struct.pack("<i", 2**31 - 1) + b"\x85", 1)
    objects = np.array([Runs(os.system, touch)], dtype=object)
    records = np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])
    return {
        "os.system": pickle.dumps([Runs(os.system, touch)]),
        "subprocess": pickle.dumps(Runs(subprocess.Popen, ["touch", str(marker)])),
        "eval": pickle.dumps(Runs(eval, f"open({str(marker)!r}, 'w')")),
        "exec by getattr": b"c__builtin__\ngetattr\n(c__builtin__\n__dict__\nS'exec'\ntR.",
        "in a key": pickle.dumps({Runs(os.system, touch): 1}),
        "behind an array": pickle.dumps([np.arange(3), Runs(os.system, touch)]),
        "array of objects": pickle.dumps(objects),
        "array of records": pickle.dumps(records),
        "numpy.load": b"cnumpy\nload\n(S'x'\ntR.",
        "numpy's own exec": b"cnumpy.testing._private.utils\nrunstring\n(S'1'\n}tR.",
        "ndarray called": b"cnumpy\nndarray\n((I1000000000000\ntS'f8'\ntR.",
        "reconstruct huge": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999999\ntS'b'\ntR.",
        "shape that lies": huge,
        "protocol 0 by hand": f"cos\nsystem\n(S'{touch}'\ntR.".encode(),
        "inst": f"(S'{touch}'\nios\nsystem\n.".encode(),
        "obj": f"(cos\nsystem\nS'{touch}'\no.".encode(),
        "stack global": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R.",
        "newobj": b"\x80\x02cnumpy\nndarray\n)\x81.",
        "build on a name": b"\x80\x02cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.",
        "slots on a name": b"\x80\x02cnumpy\ndtype\nN}X\x05\x00\x00\x00_makeK\x01s\x86b.",
        "persistent": b"\x80\x02X\x01\x00\x00\x00aQ.",
        "extension": b"\x80\x02\x82\x01.",
        "codecs": b"c_codecs\nencode\n(S'x'\nS'zlib_codec'\ntR.",
        "a string of 4 GB": b"\x80\x04\x8d" + struct.pack("<Q", 2**32) + b"x.",
        "bytes of an exabyte": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
        "lists in lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        "a name": b"cos\nsystem\n.",
        "an array alone as a name": b"cnumpy\nndarray\n.",
        "a set": pickle.dumps({1, 2}),
        "a complex": pickle.dumps(1j),
        "nothing": b"",
        "text": b"not a pickle at all",
        "cut": pickle.dumps(CONTENTS)[:-20],
        "no end": pickle.dumps(CONTENTS)[:-1],
    }


@pytest.mark.parametrize("name", hostile(Path("x")))
def test_what_is_no_array_is_refused_in_one_sentence_and_nothing_happens(tmp_path: Path, name: str):
    marker = tmp_path / "owned"
    with pytest.raises(FormatError) as refused:
        read_arrays(write(tmp_path, hostile(marker)[name]))
    assert str(refused.value).startswith(str(tmp_path / "demo.pkl"))
    assert "\n" not in str(refused.value)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["os.system", "eval", "array of objects", "in a key", "stack global"])
def test_what_was_asked_for_is_named(tmp_path: Path, name: str):
    with pytest.raises(NotAllowed, match=r"it names (posix\.system|builtins\.eval).*Nothing of it was carried out"):
        read_arrays(write(tmp_path, hostile(tmp_path / "owned")[name]))


def test_what_is_referred_to_many_times_takes_memory_once(tmp_path: Path):
    array = np.zeros(1 << 20, np.uint8)
    got = read_arrays(write(tmp_path, pickle.dumps([array] * 10_000)))
    assert len(got) == 10_000
    assert got[0] is got[-1]


def test_a_memo_of_two_thousand_million_places_costs_nothing(tmp_path: Path):
    """The interpreter of pickles that is written in C makes room for all of them: 34 GB."""
    assert read_arrays(write(tmp_path, b"\x80\x02]r\xff\xff\xff\x7f.")) == []


def test_doubling_lists_end(tmp_path: Path):
    level: Any = [1]
    for _ in range(60):
        level = [level, level]
    assert len(read_arrays(write(tmp_path, pickle.dumps(level)))) == 2
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(FormatError, match="deep in each other"):
        read_arrays(write(tmp_path, pickle.dumps(cycle)))


def test_mutants_of_a_pickle_are_arrays_or_refused(tmp_path: Path):
    data = bytearray(pickle.dumps(CONTENTS, 4))
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(400):
        mutant = bytearray(data)
        for place in rng.integers(0, len(mutant), rng.integers(1, 4)):
            mutant[place] = int(rng.integers(256))
        try:
            read_arrays(write(tmp_path, bytes(mutant)))
        except FormatError:
            refused += 1
    assert refused > 50


@pytest.mark.process
def test_python_itself_hears_of_no_lookup_and_no_call(tmp_path: Path):
    """The interpreter tells an audit hook of every name that a pickle looks up, and of whatever runs."""
    paths = []
    for number, data in enumerate([pickle.dumps(CONTENTS), *hostile(tmp_path / "owned").values()]):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(data)
        paths.append(str(path))
    program = """
import sys
from pathlib import Path
from learner.archive.formats.demo_pickle import read_arrays
from learner.archive.formats.foreign import FormatError
def read(path):
    try: read_arrays(Path(path))
    except FormatError: return 0
    return 1
read(sys.argv[1])
heard, listening = [], True
BANNED = ("pickle.find_class", "exec", "compile", "import", "os.system", "subprocess.Popen", "os.exec")
def hook(event, args):
    if listening and event in BANNED: heard.append(event)
sys.addaudithook(hook)
good = sum(read(path) for path in sys.argv[1:])
listening = False
print(good, heard)
"""
    words = [sys.executable, "-c", program, *paths]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "1 []\n"
    assert not (tmp_path / "owned").exists()


def test_the_hostile_pickles_are_what_they_say():
    """Those made by hand are pickles that Python would carry out, not accidents of syntax."""
    for name in ("protocol 0 by hand", "inst", "obj", "stack global", "build on a name"):
        assert list(pickletools.genops(hostile(Path("x"))[name]))[-1][0].name == "STOP"
