"""SQLite files that outlive crashes: the right pragmas, a kind and a format in the header, one writer at a time."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from wire import failpoints
from wire.errors import UserError, plain
from wire.pages import is_log_damaged

PAGE_BYTES = 16 << 10
"""Camera images are rows of tens of kilobytes. One of 128x128 pixels takes 1.04 of its size here, 1.33 with 32 KiB."""
BUSY_S = 5.0
_MOUNTS = Path("/proc/self/mounts")
_LOCKS = Path("/proc/locks")
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "glusterfs", "beegfs"}
_NETWORK_FILE_SYSTEMS |= {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse"}


class StoreError(UserError, OSError):
    """A file cannot be opened, read or written as what it should be; the text names the cure."""


class DamagedError(StoreError):
    """A file is damaged, or no database at all."""


class EmptyError(StoreError):
    """A file in which nothing was begun yet: whoever creates it is about to, or was killed before it could."""


class Kind(NamedTuple):
    """What a file is: its name for people, its SQLite application_id, the newest format and the tables of it."""

    name: str
    application_id: int
    format: int
    schema: str


class Writer:
    """The one connection that may write a file; the lock that says so dies with the process."""

    def __init__(self, path: Path, kind: Kind, *, synchronous: str) -> None:
        """Create or open `path`.

        Args:
            path: The file; its folder is created.
            kind: What the file must be, or is made into where it is new or empty.
            synchronous: FULL where a commit must survive a power cut, NORMAL where it must survive a killed process.

        Raises:
            DamagedError: the file or its log is damaged; nothing was changed.
            StoreError: another writer has it, it is something else or newer, or it lies on a network file system.
        """
        self.path = path
        with contextlib.ExitStack() as undo, explained(path, "open"):
            path.parent.mkdir(parents=True, exist_ok=True)
            _refuse_network_file_system(path)
            self._lock = undo.enter_context(contextlib.closing(Lock(path)))
            # SQLite would go on without what follows the damage, say nothing, and delete the log.
            if is_log_damaged(path, PAGE_BYTES):
                raise DamagedError(f"{path}-wal is damaged: restore {path} and it from a copy")
            # Whoever opens it may hand it to one other thread, which then owns it.
            connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
            self.db = undo.enter_context(contextlib.closing(connection))
            self.db.text_factory = _text
            _prepare(self.db, path, kind, synchronous)
            undo.pop_all()

    def begin(self) -> None:
        """Open a transaction unless one is open."""
        if not self.db.in_transaction:
            self.db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make everything since `begin` durable, or raise StoreError and leave nothing of it."""
        with explained(self.path, "write"):
            try:
                if self.db.in_transaction:
                    failpoints.passing("before_commit")
                    self.db.execute("COMMIT")
                    failpoints.passing("after_commit")
            except sqlite3.Error:
                self.rollback()
                raise

    def rollback(self) -> None:
        """Forget everything since `begin`."""
        # After some errors SQLite has rolled back already; after an I/O error even this may fail, and changes nothing.
        with contextlib.suppress(sqlite3.Error):
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file and let the next writer in; what was not committed is forgotten.

        A file that nobody else has open becomes one file again, without SQLite's log and the lock beside it: so it can
        be copied, and whoever only reads it leaves nothing beside it either.
        """
        self.rollback()
        with contextlib.suppress(sqlite3.Error):
            self.db.execute("PRAGMA busy_timeout = 0")
            self.db.execute("PRAGMA journal_mode = DELETE")
        self.db.close()
        self._lock.close()


def open_reader(path: Path, kind: Kind) -> sqlite3.Connection:
    """A read-only connection, also to a file that is being written; raises StoreError where `path` is not of `kind`."""
    if not path.is_file():
        raise StoreError(f"there is no {kind.name} at {path}; check the path")
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    with explained(path, "read"):
        try:
            return _reader(uri, path, kind)
        except sqlite3.OperationalError:
            if Path(f"{path}-wal").exists():
                raise
            # A finished run in a folder that cannot be written has no room for WAL's shared memory, nor need of it.
            return _reader(f"{uri}&immutable=1", path, kind)


def _reader(uri: str, path: Path, kind: Kind) -> sqlite3.Connection:
    with contextlib.ExitStack() as undo:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
        db = undo.enter_context(contextlib.closing(connection))
        _check_kind(db, path, kind)
        undo.pop_all()
    db.text_factory = _text
    return db


def _text(data: bytes) -> str:
    """A flipped byte in a text must be found by the row's checksum, not end the reading."""
    return data.decode(errors="replace")


@contextlib.contextmanager
def explained(path: Path, verb: str) -> Iterator[None]:
    """Turn what SQLite and the system say into a StoreError that names the file and the cure."""
    try:
        yield
    except StoreError:
        raise
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        text = plain(error)
        cure = "check the disk and the permissions"
        # A damaged schema is quoted in SQLite's message, which then may not even be text.
        if "not a database" in text or "malformed" in text or isinstance(error, UnicodeDecodeError):
            cure = "it is damaged or no SQLite file: move it away, or restore it from a copy"
            raise DamagedError(f"cannot {verb} {path}: {text}; {cure}") from error
        if "full" in text or "No space left" in text:
            cure = "make room on the disk; nothing that was confirmed is lost"
        raise StoreError(f"cannot {verb} {path}: {text}; {cure}") from error


def _prepare(db: sqlite3.Connection, path: Path, kind: Kind, synchronous: str) -> None:
    """Set the pragmas, and lay the tables where the file is new."""
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    new = _check_kind(db, path, kind, may_be_empty=True)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute("PRAGMA trusted_schema = OFF")
    # Some builds of SQLite write zeros over what was deleted: that doubles what an outbox writes, and serves nobody.
    db.execute("PRAGMA secure_delete = OFF")
    if new:
        # The header's kind and format are part of the transaction: a killed creation leaves an empty file.
        header = f"PRAGMA application_id = {kind.application_id}; PRAGMA user_version = {kind.format};"
        db.executescript(f"BEGIN IMMEDIATE; {header} {kind.schema}")
        failpoints.passing("before_create")
        db.execute("COMMIT")


def _check_kind(db: sqlite3.Connection, path: Path, kind: Kind, *, may_be_empty: bool = False) -> bool:
    """Whether the file is still empty; raises StoreError where it is of no use to us."""
    application_id = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == application_id == 0:
        if may_be_empty:
            return True
        raise EmptyError(
            f"{path} is empty: a {kind.name} is only beginning there, or all of it was lost; try again in a moment, "
            "or restore it from a copy"
        )
    if application_id != kind.application_id:
        raise StoreError(
            f"{path} is not a {kind.name}: it has application id {application_id:#x}, wanted {kind.application_id:#x}; "
            "name another file"
        )
    if version > kind.format:
        raise StoreError(
            f"{path} has format {version}, this version reads up to format {kind.format}; update Handrail to open it"
        )
    _refuse_code(db, path, kind)
    return False


def _refuse_code(db: sqlite3.Connection, path: Path, kind: Kind) -> None:
    """Raise StoreError where looking into the file would run what somebody wrote into it.

    Runs are handed on, and a view or a computed column in the place of a table is a query of its author's choice, one
    without an end included. Of what SQLite knows only tables and indices have a root page.
    """
    query = """
        SELECT CAST(name AS BLOB) FROM sqlite_master WHERE rootpage IS NULL OR rootpage < 1 OR EXISTS (
            SELECT 1 FROM pragma_table_xinfo(sqlite_master.name) AS columns WHERE columns.hidden)
    """
    for (name,) in db.execute(query):
        raise StoreError(
            f"{path} holds {plain(bytes(name).decode(errors='replace'))}, which is neither a table nor an index of a "
            f"{kind.name}: it is damaged or somebody has tampered with it; restore it from a copy"
        )


class Lock:
    """An advisory lock on `<path>.lock`: on the file itself, closing it would drop SQLite's own locks."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        while not self._take(path):
            os.close(self._fd)
        # The number is a courtesy to whoever comes second; a disk without room for it shall not be what stops us.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def _take(self, path: Path) -> bool:
        """Lock the file; False where its owner has removed it in the meantime, and the lock is on nothing."""
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._fd, 20, 0).decode(errors="replace") or "another, of unknown number"
            os.close(self._fd)
            raise StoreError(
                f"{path} is being written by process {owner}; stop that one, or choose another run=<dir>"
            ) from None
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Remove the file, then unlock it: whoever has opened it by now finds that it is gone, and takes a new one."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._fd)


def is_being_written(path: Path) -> bool:
    """Whether a process holds the lock of a file, without touching the lock: its owner must never find it taken."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        inode, owner = lock.stat().st_ino, lock.read_text(errors="replace").strip()
    except OSError:
        return False
    if _LOCKS.exists():
        return any(f":{inode} " in line and " FLOCK " in line for line in _LOCKS.read_text().splitlines())
    return owner.isdecimal() and _is_alive(int(owner))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _refuse_network_file_system(path: Path) -> None:
    """Raise StoreError on file systems where WAL's shared memory or the lock would not hold."""
    if not _MOUNTS.exists():
        return
    best = ("", "")
    real = os.path.realpath(path.parent)
    for line in _MOUNTS.read_text(errors="replace").splitlines():
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if (real + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
            best = (point, kind)
    if best[1] in _NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"{path} lies on a network file system ({best[1]} at {best[0]}); choose a folder on a local disk"
        )
