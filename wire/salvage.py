"""What is done with a damaged file: it is set aside under a clear name, and a new one holds what of it is intact."""

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from wire import pages
from wire.database import PAGE_BYTES, DamagedError, Kind, Lock, Writer, explained

log = logging.getLogger(__name__)

CHECKED_BYTES = 128 << 20
"""Up to this size a file is checked whole when it is opened, in a fraction of a second; in larger ones damage is found
where it is read."""


def require_intact(writer: Writer) -> None:
    """Raise DamagedError where SQLite finds the structure of a file damaged that is not too large to look."""
    with explained(writer.path, "read"):
        if writer.path.stat().st_size > CHECKED_BYTES:
            return
        problem = writer.db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if problem != "ok":
        raise DamagedError(f"{writer.path} is damaged: {' '.join(problem.split())}; restore it from a copy")


def rebuild(
    path: Path,
    kind: Kind,
    fill: Callable[[Writer, Iterable[tuple[int, pages.Values]]], int],
    *,
    because: DamagedError,
) -> Path:
    """Put a new file in the place of a damaged one, which is kept beside it.

    Args:
        path: The damaged file.
        kind: What it is.
        fill: Writes what is intact of the rows it is given to the new file, and says how many records these are.
        because: How the damage was found; raised again where nothing of the file is intact, which then stays as it was.

    Returns:
        Where the damaged file is now.
    """
    fresh = Path(f"{path}.rebuilt")
    with contextlib.closing(Lock(path)), explained(path, "rebuild"):
        log.error("%s: saving what is intact", because)
        remove(fresh)
        with contextlib.closing(Writer(fresh, kind, synchronous="FULL")) as writer:
            writer.begin()
            saved = fill(writer, pages.read_rows(path, PAGE_BYTES))
            writer.commit()
        if not saved:
            remove(fresh)
            raise because
        aside = next(name for n in itertools.count(1) if not (name := Path(f"{path}.damaged-{n}")).exists())
        # The log first: beside the new file it would be taken for that one's.
        for suffix in ("-wal", ""):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
        Path(f"{path}-shm").unlink(missing_ok=True)
        fresh.rename(path)
        remove(fresh)
    log.error("%s is rebuilt from its %d intact records; the damaged file is kept as %s", path, saved, aside)
    return aside


def remove(path: Path) -> None:
    """Delete a file and what SQLite and the lock have put beside it."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
