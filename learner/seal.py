"""A folder of files is whole or it is not: a list of digests, written last, says which."""

import hashlib
import json
import os
from pathlib import Path

from wire.files import sync_folder, write_atomically

SEAL = "digests.json"


def seal(folder: Path) -> None:
    """Sync every file in `folder`, then write the list of their digests; from then on `problem_of` can judge it."""
    digests = {name: _digest(folder / name, sync=True) for name in _names(folder)}
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(path)
    write_atomically(folder / SEAL, json.dumps(digests, indent=1).encode())


def is_sealed(folder: Path) -> bool:
    """Whether a list of digests was written, which is the last thing to be."""
    return (folder / SEAL).is_file()


def problem_of(folder: Path) -> str | None:
    """What is torn of a sealed folder, in words; None where every file is as it was when it was sealed."""
    try:
        digests = json.loads((folder / SEAL).read_bytes())
        names = _names(folder)
        differing = sorted(names ^ digests.keys())
        if differing:
            return f"{differing[0]} is {'unknown' if differing[0] in names else 'missing'}"
        for name in sorted(names):
            if _digest(folder / name) != digests[name]:
                return f"{name} is not as it was written"
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return f"{SEAL} cannot be used: {error}"
    return None


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {SEAL}


def _digest(path: Path, *, sync: bool = False) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sync:
            os.fsync(file.fileno())
    return digest
