"""Files that are there whole or not at all."""

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file, also when the power fails: write beside it, sync, rename, sync the folder.

    Args:
        path: The file; its folder must be there.
        data: What shall be in it.
        mode: Its permissions, from its first byte on and whatever the umask; two writers at once must lock each other.
    """
    temporary = path.with_name(path.name + ".part")
    # What a killed writer left there may be readable by others.
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
