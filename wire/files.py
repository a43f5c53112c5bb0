"""Files that are replaced whole or not at all."""

import contextlib
import os
from pathlib import Path

from wire import failpoints


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file whole or not at all, also when the power fails: write beside it, sync, rename, sync the folder.

    Args:
        path: The file; its folder must be there.
        data: What shall be in it.
        mode: Its permissions, from its first byte on and whatever the umask; two writers at once must lock each other.

    Raises:
        OSError: The disk did not take it. The file is as it was, or, where only the last sync failed, new and whole.
    """
    temporary = path.with_name(path.name + ".part")
    # What a killed writer left there may be readable by others.
    temporary.unlink(missing_ok=True)
    try:
        temporary.touch(mode=mode, exist_ok=False)
        temporary.chmod(mode)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        failpoints.passing("before_rename")
        temporary.replace(path)
    except OSError:
        # On a full disk a part of a file takes the room that the next try needs.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed and removed in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
