"""Reads a pickle that holds numpy arrays in plain containers, and refuses every other. The one file that names pickle.

A pickle is a program: it names functions and calls them. Here no name is ever looked up. Of the names that an array
consists of each stands for an object of ours that only notes what it was called with; every other name ends the
reading. What was noted becomes an array afterwards, by `numpy.frombuffer`, once dtype and size have been checked. The
interpreter of pickle's opcodes is the one written in Python: the one in C makes room for as many remembered objects as
the file claims, before there is any, and so takes all memory for eleven bytes.
"""

import math
import mmap
import pickle
import struct
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from learner.archive.formats.foreign import FormatError
from wire.errors import plain

_NUMPY_CORES = ("numpy.core", "numpy._core")
_MAY = "an array of numpy, in lists, tuples and dictionaries with text, numbers, True, False and None"
_KINDS = "biuf"
_DEPTH = 64
_TROUBLE = (pickle.UnpicklingError, struct.error, ArithmeticError, AttributeError, EOFError, ImportError, LookupError)
_TROUBLE += (MemoryError, RecursionError, TypeError, ValueError)


class NotAllowed(FormatError):
    """The pickle asks for something else than arrays in plain containers; nothing of it was carried out."""


def read_arrays(path: Path) -> Any:
    """What a pickle holds: lists, tuples and dictionaries of numpy arrays, text, numbers, booleans and None.

    Raises:
        NotAllowed: It names anything but numpy's own arrays, dtypes and scalars.
        FormatError: It is no pickle, or damaged.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            loaded = _Unpickler(data).load()
        return _Converter().plain(loaded, _DEPTH)
    except FormatError as error:
        raise type(error)(f"{path}: {error}") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from None
    except _TROUBLE as error:
        raise FormatError(f"{path} is no intact pickle: {plain(error) or type(error).__name__}") from None


class _Name:
    """Stands for a name in a pickle. It can be called, and nothing else."""

    __slots__ = ("_make",)

    def __init__(self, make: Any) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise NotAllowed("it tries to change what its names mean; wanted " + _MAY)

    def __setstate__(self, state: Any) -> NoReturn:
        raise NotAllowed("it tries to change what its names mean; wanted " + _MAY)


class _Dtype:
    """A dtype as the pickle describes it."""

    __slots__ = ("code", "swapped")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.swapped = code, False

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subdtype, names, fields, ...): of a plain number nothing but the order is set.
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise NotAllowed("it holds an array of records; wanted arrays of numbers")
        self.swapped = state[1] == ">"

    def dtype(self) -> np.dtype:
        """The real one, of plain numbers only."""
        if not isinstance(self.code, str) or len(self.code) > 4:
            raise NotAllowed(f"it holds an array of dtype {plain(self.code, 40)}; wanted numbers")
        code = self.code.lstrip("<>=|")
        if code[:1] not in _KINDS:
            raise NotAllowed(
                f"it holds an array of dtype {plain(self.code, 40)}, which is no number; {_MAY} may be there"
            )
        found = np.dtype(code)
        return found.newbyteorder(">") if self.swapped or self.code[:1] == ">" else found


class _Array:
    """An array as the pickle describes it: shape, dtype and bytes, unchecked until `array`."""

    __slots__ = ("data", "described", "fortran", "shape")

    def __init__(self, shape: Any, described: Any, data: Any, fortran: Any) -> None:
        self.shape, self.described, self.data, self.fortran = shape, described, data, fortran

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.described, self.fortran, self.data = state

    def array(self) -> np.ndarray:
        """The real one; raises ValueError where its bytes are not as many as its shape says."""
        if not isinstance(self.described, _Dtype) or not isinstance(self.data, bytes | bytearray):
            raise NotAllowed("it holds an array whose contents are no plain bytes; wanted numbers")
        shape, dtype = self.shape, self.described.dtype()
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 32:
            raise ValueError(f"an array has the shape {plain(shape, 60)}")
        if math.prod(shape) * dtype.itemsize != len(self.data):
            raise ValueError(f"an array of shape {shape} and dtype {dtype} has {len(self.data)} bytes")
        order = "F" if self.fortran else "C"
        return np.frombuffer(bytes(self.data), dtype).reshape(shape, order=order).astype(dtype.newbyteorder("="))


def _reconstruct(subtype: Any, shape: Any, code: Any) -> _Array:
    """`numpy.core.multiarray._reconstruct`: an empty array, which a state will fill."""
    return _Array((0,), None, b"", False)


def _frombuffer(data: Any, described: Any, shape: Any, order: Any) -> _Array:
    """`numpy.core.numeric._frombuffer`: the whole array, as protocol 5 writes it."""
    return _Array(shape, described, data, order == "F")


def _scalar(described: Any, data: Any = b"") -> _Array:
    """`numpy.core.multiarray.scalar`: a number, as an array without dimensions."""
    return _Array((), described, data, False)


def _latin1(text: Any, encoding: Any) -> bytes:
    """`_codecs.encode`: how protocols 0 to 2 write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise NotAllowed(f"it asks for the encoding {plain(encoding, 40)}; wanted latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """`bytes` of nothing: how protocols 0 to 2 write empty ones."""
    return b""


def _no_items() -> dict[Any, Any]:
    """`collections.OrderedDict`, before it is filled."""
    return {}


def _refuse_call(*_: Any) -> NoReturn:
    raise NotAllowed("it calls numpy.ndarray itself; wanted " + _MAY)


_NAMES: dict[tuple[str, str], _Name] = {
    ("numpy", "ndarray"): _Name(_refuse_call),
    ("numpy", "dtype"): _Name(_Dtype),
    ("_codecs", "encode"): _Name(_latin1),
    ("__builtin__", "bytes"): _Name(_no_bytes),
    ("collections", "OrderedDict"): _Name(_no_items),
}
for _core in _NUMPY_CORES:
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _Name(_reconstruct)
    _NAMES[f"{_core}.multiarray", "scalar"] = _Name(_scalar)
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _Name(_frombuffer)


class _Unpickler(pickle._Unpickler):
    """Looks up nothing: names are answered from a table."""

    def find_class(self, module: str, name: str) -> _Name:
        """What a name stands for here; raises NotAllowed where it stands for nothing."""
        found = _NAMES.get((module, name))
        if found is None:
            raise NotAllowed(
                f"it names {plain(module, 60)}.{plain(name, 60)}, and a pickle that names code could run it; "
                f"only {_MAY} may be there. Nothing of it was carried out"
            )
        return found

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refuse what lies outside of the file."""
        raise NotAllowed("it refers to objects outside of the file; wanted " + _MAY)

    def get_extension(self, code: int) -> NoReturn:
        """Refuse what another program has numbered."""
        raise NotAllowed("it refers to registered extensions; wanted " + _MAY)


class _Converter:
    """Puts arrays in the place of what stands for them.

    What a pickle refers to many times is converted once: a few bytes could otherwise ask for more than memory holds.
    """

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def plain(self, value: Any, depth: int) -> Any:
        """The value in plain containers; raises NotAllowed and ValueError."""
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value
        if id(value) not in self._done:
            if depth == 0:
                raise ValueError(f"its containers lie more than {_DEPTH} deep in each other")
            self._done[id(value)] = self._converted(value, depth - 1)
        return self._done[id(value)]

    def _converted(self, value: Any, depth: int) -> Any:
        if isinstance(value, _Array):
            return value.array()
        if isinstance(value, dict):
            return {key: self.plain(each, depth) for key, each in value.items() if _is_key(key)}
        if isinstance(value, list | tuple):
            return type(value)(self.plain(each, depth) for each in value)
        raise NotAllowed(f"it holds a {type(value).__name__.lstrip('_').lower()}; only {_MAY} may be there")


def _is_key(key: Any) -> bool:
    if not isinstance(key, str | int):
        raise NotAllowed(f"it has a dictionary with a {type(key).__name__} for a key; wanted text")
    return True
