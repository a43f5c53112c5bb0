"""The actor's truth is its disk: steps wait here, in order, until the learner has them on its own."""

import contextlib
import logging
import shutil
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from wire import failpoints, salvage
from wire.codec import decode_spec, encode_spec, encode_step, is_sealed
from wire.database import DamagedError, Kind, StoreError, Writer, explained
from wire.pages import Values
from wire.specs import EnvSpec
from wire.types import Step, new_stream_id

log = logging.getLogger(__name__)

CAP_BYTES = 100_000_000_000
"""90 % of it take the 86.4 GB of eight hours at 20 Hz and 150 kB a step."""
_NEARLY = 0.9
_HEADROOM_STEPS = 8
"""Steps that may be on their way when the loop learns that it must stop."""
_SPARE_BYTES = 64 << 20
"""Of the disk: SQLite's log may grow to half of that."""
_BOOT_SKIP = 1 << 20
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_KIND = Kind(
    name="Handrail outbox (outbox.sqlite)",
    application_id=0x48524C4F,  # "HRLO"
    format=2,
    schema="""
    CREATE TABLE state (key TEXT PRIMARY KEY, value NOT NULL);
    CREATE TABLE records (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, crc INTEGER);
    CREATE TABLE damaged (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
    """,
)
_CURE = "restore it from a copy, or move it away to begin a new stream"
_INSERT = "INSERT INTO records VALUES (?, ?, ?)"


class Outbox:
    """A durable queue of encoded steps with a stream id and a seq that outlive processes. One thread at a time uses it.

    Deleting the file makes a new stream; numbers are never given out twice. A commit survives a killed process at once
    and a power cut after the next `sync`.
    """

    def __init__(self, path: Path, spec: EnvSpec, *, cap_bytes: int = CAP_BYTES) -> None:
        """Create or open the file; where it is damaged, go on with a new one that holds what is intact.

        The damaged file is then kept beside it, as <path>.damaged-<n>, and the log says so.

        Raises:
            StoreError: It holds undelivered steps of another spec, or cannot be opened.
        """
        self.path = path
        self.cap_bytes = cap_bytes
        self._largest = 0
        self._episode_bytes = spec.max_episode_steps * spec.step_bytes()
        self.damaged = 0
        """How many records were found damaged; they are set aside, and the others go on."""
        self.detail = ""
        """The latest of them."""
        try:
            self._open(spec)
        except DamagedError as error:
            aside = salvage.rebuild(path, _KIND, _refill, because=error)
            self._open(spec)
            self.detail = f"{path} was damaged: its {self.pending} intact steps go on, the file is kept as {aside}"

    def _open(self, spec: EnvSpec) -> None:
        with contextlib.ExitStack() as undo:
            self._writer = undo.enter_context(contextlib.closing(Writer(self.path, _KIND, synchronous="NORMAL")))
            self._db = self._writer.db
            salvage.require_intact(self._writer)
            with explained(self.path, "open"):
                _upgrade(self._writer)
                self._begin(spec)
            self._writer.commit()
            self.sync()
            undo.pop_all()

    def _begin(self, spec: EnvSpec) -> None:
        state = dict(self._db.execute("SELECT key, value FROM state"))
        crc = state.pop("crc", None)
        if crc is not None and crc != _state_crc(state):
            raise DamagedError(f"{self.path} is damaged: its state fails its checksum; {_CURE}")
        query = "SELECT count(*), coalesce(sum(length(body)), 0), min(seq), max(seq) FROM records"
        self.pending, self.pending_bytes, first, last = self._db.execute(query).fetchone()
        if state and self.pending and not state.get("forgotten", 0) < first <= last <= state["newest"]:
            raise DamagedError(f"{self.path} is damaged: it holds steps under numbers of others; {_CURE}")
        text = encode_spec(spec)
        if state and state["spec"] != text and self.pending:
            lines = "; ".join(spec.differences(decode_spec(state["spec"])))
            raise StoreError(
                f"{self.path} holds {self.pending} undelivered steps of another spec (here and there differ: {lines}). "
                "Start a learner and an actor for that spec to deliver them, or move the file away to leave them"
            )
        if not state or state["spec"] != text:
            # Records without a state were saved from a damaged file. No stream has more episodes than steps.
            newest = last or 0
            state = {"spec": text, "stream": new_stream_id(), "newest": newest, "next_episode": newest}
            state |= {"appended": self.pending, "forgotten": 0}
        boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else new_stream_id()
        if state.get("boot", boot) != boot:
            # A power cut may have taken the newest commits, but not from the learner: leave their numbers unused.
            state["newest"] += _BOOT_SKIP
        self.stream: str = state["stream"]
        self.newest: int = state["newest"]
        """The highest seq given out so far."""
        self.appended: int = state["appended"]
        """How many steps this stream has ever taken."""
        self.next_episode: int = state["next_episode"]
        """The first episode number that the stream has not used."""
        self._writer.begin()
        self._forgotten: int = state.get("forgotten", 0)
        self._state = state | {"boot": boot}
        self._write_state()
        self._remember()

    @property
    def nearly_full(self) -> bool:
        """Whether 90 % of the cap is used, or the disk may not take another episode: pause at the end of this one."""
        episode = self._episode_bytes + _SPARE_BYTES
        return self.full or self.pending_bytes >= _NEARLY * self.cap_bytes or self._free_bytes < episode

    @property
    def full(self) -> bool:
        """Whether the cap, or the disk, is used up but for the steps on their way: hold, and end the episode."""
        headroom = _HEADROOM_STEPS * self._largest
        return self.pending_bytes + headroom >= self.cap_bytes or self._free_bytes < headroom + _SPARE_BYTES // 2

    @property
    def room(self) -> str:
        """How much is used of what there is, in words."""
        return (
            f"{self.path} holds {self.pending_bytes / 1e9:.3g} GB for the learner, of at most "
            f"{self.cap_bytes / 1e9:.3g} GB (actor.outbox_cap_gb); its disk has {self._free_bytes / 1e9:.3g} GB free"
        )

    def insert(self, step: Step) -> int:
        """Add a step and return its seq; it is accepted once `commit` has returned.

        Raises:
            ValueError: The step cannot be encoded; nothing was changed.
            StoreError: The disk did not take it; everything since the last commit is undone.
        """
        body = encode_step(step)
        with self._undoing():
            self._writer.begin()
            self._db.execute(_INSERT, (self.newest + 1, body, _record_crc(self.newest + 1, body)))
        failpoints.passing("after_insert")
        self.newest += 1
        self.appended += 1
        self.next_episode = max(self.next_episode, step.episode + 1)
        self.pending += 1
        self.pending_bytes += len(body)
        self._largest = max(self._largest, len(body))
        return self.newest

    def delete_until(self, seq: int) -> None:
        """Forget the records up to `seq`, which the learner has on disk; effective with the next `commit`."""
        with self._undoing():
            query = "SELECT count(*), coalesce(sum(length(body)), 0) FROM records WHERE seq <= ?"
            count, size = self._db.execute(query, (seq,)).fetchone()
            if count:
                self._writer.begin()
                self._db.execute("DELETE FROM records WHERE seq <= ?", (seq,))
                self._forgotten = max(self._forgotten, seq)
                self.pending -= count
                self.pending_bytes -= size
                failpoints.passing("after_delete")

    def commit(self) -> None:
        """Accept what was inserted and forget what was deleted; raises StoreError, and undoes both, where it cannot."""
        if not self._db.in_transaction:
            return
        with self._undoing():
            self._write_state()
            self._writer.commit()
        self._remember()

    def sync(self) -> None:
        """Make every commit so far survive a power cut; some ten milliseconds, so about once a second."""
        with explained(self.path, "write"):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._free_bytes = shutil.disk_usage(self.path.parent).free

    def unsent(self, after: int, max_records: int, max_bytes: int) -> Iterator[tuple[int, bytes]]:
        """The records that follow `after`, in order, as many as fit both limits; damaged ones are set aside."""
        with explained(self.path, "read"):
            # A damaged file may have lost a body altogether: the learner steps over it by name, as over any damage.
            query = "SELECT seq, coalesce(CAST(body AS BLOB), x''), crc FROM records WHERE seq > ? ORDER BY seq LIMIT ?"
            for seq, body, crc in self._db.execute(query, (after, max_records)):
                if not is_sealed(body) or crc != _record_crc(seq, body):
                    self._set_aside(seq, len(body))
                    continue
                max_bytes -= len(body)
                if max_bytes < 0:
                    return
                yield seq, body

    def close(self) -> None:
        """Close the file; what was not committed is forgotten."""
        self._writer.close()

    def _set_aside(self, seq: int, size: int) -> None:
        """Keep a damaged record where nobody sends it from."""
        with self._undoing():
            self._writer.begin()
            self._db.execute("INSERT OR REPLACE INTO damaged SELECT seq, body FROM records WHERE seq = ?", (seq,))
            self._db.execute("DELETE FROM records WHERE seq = ?", (seq,))
            self.pending -= 1
            self.pending_bytes -= size
        self.commit()
        self.damaged += 1
        self.detail = f"step {seq} in {self.path} is damaged: it is kept in the table `damaged` and the others go on"
        log.error("%s", self.detail)

    def _write_state(self) -> None:
        counters = {"newest": self.newest, "appended": self.appended, "next_episode": self.next_episode}
        state = self._state | counters | {"forgotten": self._forgotten}
        state["crc"] = _state_crc(state)
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state.items())

    def _remember(self) -> None:
        self._committed = (self.newest, self.appended, self.next_episode, self.pending, self.pending_bytes)

    @contextlib.contextmanager
    def _undoing(self) -> Iterator[None]:
        """On any error of the disk go back to the last commit, numbers and all."""
        try:
            with explained(self.path, "write"):
                yield
        except (StoreError, sqlite3.Error):
            self._writer.rollback()
            self.newest, self.appended, self.next_episode, self.pending, self.pending_bytes = self._committed
            raise


def _record_crc(seq: int, body: bytes) -> int:
    """Of a record's number and of its contents, of which its last four bytes are a checksum already."""
    return zlib.crc32(b"%d:%s" % (seq, body[-4:]))


def _upgrade(writer: Writer) -> None:
    """Give the records of format 1 the checksum of their numbers."""
    if writer.db.execute("PRAGMA user_version").fetchone()[0] >= _KIND.format:
        return
    writer.begin()
    writer.db.create_function("record_crc", 2, lambda seq, body: _record_crc(seq, bytes(body)))
    writer.db.execute("ALTER TABLE records ADD COLUMN crc INTEGER")
    writer.db.execute("UPDATE records SET crc = record_crc(seq, coalesce(CAST(body AS BLOB), x''))")
    writer.db.execute(f"PRAGMA user_version = {_KIND.format}")


def _state_crc(state: Mapping[str, str | int]) -> int:
    return zlib.crc32(repr(sorted(state.items())).encode())


def _refill(writer: Writer, rows: Iterable[tuple[int, Values]]) -> int:
    """Copy every intact record, and the state if that is intact; if not, the records begin a new stream.

    Pages that were freed still hold records that the learner has long had: the state tells them apart. Without it they
    are delivered once more rather than one of the others not at all.
    """
    db = writer.db
    states: list[dict[str, str | int]] = [{}]
    newest = 0
    for seq, values in rows:
        match values:
            # Without a checksum of its number in format 1.
            case (None, bytes(body), *crc) if is_sealed(body) and crc in ([], [_record_crc(seq, body)]):
                db.execute(f"{_INSERT} ON CONFLICT DO NOTHING", (seq, body, _record_crc(seq, body)))
                newest = max(newest, seq)
            case (str(key), str() | int() as value):
                if key in states[-1]:
                    states.append({})
                states[-1][key] = value
    # The newest that is whole; the one before it is older by one commit.
    state = next((state for state in states if state.pop("crc", None) == _state_crc(state)), None)
    if state is not None:
        db.execute("DELETE FROM records WHERE seq <= ?", (state["forgotten"],))
        # Newer numbers may have been given out and be lost here, but not at the learner.
        state["newest"] = max(int(state["newest"]), newest) + _BOOT_SKIP
        state["crc"] = _state_crc(state)
        db.executemany("INSERT INTO state VALUES (?, ?)", state.items())
    return db.execute("SELECT count(*) FROM records").fetchone()[0]
