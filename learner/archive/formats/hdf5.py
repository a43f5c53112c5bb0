"""HDF5 files as they come from others: opened to read, every array's size looked at before it is read."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from learner.archive.formats.foreign import FormatError, needed
from wire.errors import plain

_LARGEST_BYTES = 4 << 30
"""Of one array: a few compressed bytes may claim to be any number of them."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file's root group; whatever HDF5 finds wrong becomes a FormatError that names the file."""
    h5py = needed("h5py")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FormatError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise FormatError(f"{path} is no intact HDF5 file of this format: {plain(error, 160)}") from None


def member(group: Any, name: str) -> Any:
    """A group or data set by name; raises FormatError where it is missing, or lies in another file."""
    h5py = needed("h5py")
    link = group.get(name, getlink=True)
    if link is None:
        raise FormatError(f"{group.file.filename} has no {name} in {group.name}; it has {', '.join(list(group)[:8])}")
    if isinstance(link, h5py.ExternalLink):
        raise FormatError(f"{group.file.filename}: {group.name}/{name} lies in another file; copy it into this one")
    return group[name]


def array(group: Any, name: str) -> np.ndarray:
    """A whole array; raises FormatError where it is none of numbers, or of an absurd size."""
    found = member(group, name)
    if not hasattr(found, "shape") or found.shape is None:
        raise FormatError(f"{group.file.filename}: {group.name}/{name} is no array")
    if found.external or found.is_virtual:
        raise FormatError(f"{group.file.filename}: {group.name}/{name} lies in another file; copy it into this one")
    if found.nbytes > _LARGEST_BYTES:
        raise FormatError(f"{group.file.filename}: {group.name}/{name} claims {found.nbytes} bytes")
    if found.dtype.kind not in "biuf":
        raise FormatError(f"{group.file.filename}: {group.name}/{name} has dtype {found.dtype}; wanted numbers")
    return found[()]


def arrays(group: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """All arrays in a group and its groups, by names joined with dots."""
    found: dict[str, np.ndarray] = {}
    for name in group:
        inner = member(group, name)
        if hasattr(inner, "shape"):
            found[f"{prefix}{name}"] = array(group, name)
        else:
            found |= arrays(inner, f"{prefix}{name}.")
    return found
