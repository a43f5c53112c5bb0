"""What a simulated history has in place of disks: they keep what was committed, crash, lose power and are restored."""

import bisect
from collections import deque
from collections.abc import Iterator

import msgspec
from experience import make_spec

from wire import link
from wire.actor_link import ActorLink
from wire.codec import encode_spec
from wire.database import StoreError
from wire.specs import ArraySpec, EnvSpec

SPEC = msgspec.structs.replace(make_spec(), observation={"state": ArraySpec(shape=(3,), dtype="float32")})
SPEC_TEXT = encode_spec(SPEC)
BOOT_SKIP = 1000


def body_of(stream: str, seq: int) -> bytes:
    """What the step holds: its name, and as much else as makes some larger than others."""
    return b"%s/%d" % (stream[-2:].encode(), seq) + bytes(7 * seq % 23)


def flipped(data: bytes, position: int) -> bytes:
    """The bytes with one bit of them flipped."""
    position %= 8 * len(data)
    changed = bytearray(data)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


class Outbox:
    """An outbox whose disk is a dict. Appending commits, deletions too, and `sync` makes both survive a power cut."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.newest = 0
        self.records: dict[int, bytes] = {}
        self._deleted: dict[int, bytes] = {}
        self._synced: tuple[int, dict[int, bytes]] = (0, {})

    def append(self, body: bytes, skip: int) -> int:
        self.newest += 1 + skip
        self.records[self.newest] = body
        self.commit()
        return self.newest

    def delete_until(self, seq: int) -> list[int]:
        gone = [s for s in self.records if s <= seq]
        for s in gone:
            self._deleted[s] = self.records.pop(s)
        return gone

    def commit(self) -> None:
        self._deleted = {}

    def sync(self) -> None:
        self._synced = (self.newest, self.records | self._deleted)

    def crash(self) -> None:
        self.records, self._deleted = dict(sorted((self._deleted | self.records).items())), {}

    def power_cut(self) -> None:
        """Forget what came after the last sync; as the real one does, leave numbers unused that were given out."""
        self.newest, self.records = self._synced[0] + BOOT_SKIP, dict(self._synced[1])
        self._deleted = {}
        self.sync()

    def unsent(self, after: int, max_records: int, max_bytes: int) -> Iterator[tuple[int, bytes]]:
        for seq, body in self.records.items():
            if seq <= after:
                continue
            max_records -= 1
            max_bytes -= len(body)
            if max_records < 0 or max_bytes < 0:
                return
            yield seq, body


class Archive:
    """The learner's disk: a list of seqs per stream, what waits for a commit, and one older copy to restore."""

    def __init__(self) -> None:
        self.rows: dict[str, list[int]] = {}
        self.ever: dict[str, set[int]] = {}
        """What any archive of this history has had on disk, also if an older copy was put in its place."""
        self.rejected: dict[str, set[int]] = {}
        self.pending: list[tuple[str, int, bool]] = []
        self.broken = False
        self._copy: dict[str, int] = {}

    def last_seq(self, stream: str, spec: EnvSpec = SPEC) -> int:
        if self.broken:
            raise StoreError("the disk does not answer")
        rows = self.rows.get(stream)
        return rows[-1] if rows else 0

    def settled(self, stream: str) -> int:
        """Up to which seq nothing is owed any more."""
        return max((*self.rows.get(stream, ())[-1:], *self.rejected.get(stream, ())), default=0)

    def done(self, stream: str) -> set[int]:
        """What is on a disk, or was, or was rejected for good."""
        return self.ever.get(stream, set()) | self.rejected.get(stream, set())

    def commit(self) -> None:
        for stream, seq, rejected in self.pending:
            if rejected:
                self.rejected.setdefault(stream, set()).add(seq)
            else:
                self.rows.setdefault(stream, []).append(seq)
                self.ever.setdefault(stream, set()).add(seq)
        self.pending = []

    def copy(self) -> None:
        self._copy = {stream: len(rows) for stream, rows in self.rows.items()}

    def restore(self) -> None:
        for stream, rows in self.rows.items():
            del rows[self._copy.get(stream, 0) :]


class Actor:
    """One robot: its disk, its link, and its connection with what is under way on it."""

    def __init__(self, number: int) -> None:
        self.outbox = Outbox(f"{number:032x}")
        self.accepted: list[int] = []
        self.lost: set[int] = set()
        """What a power cut took before it was synced."""
        self.weights = (0, b"")
        self.peer = b""
        """The connection's id; b"" while it is unplugged."""
        self.up: list[tuple[bytes, bytes]] = []
        self.down: list[bytes] = []
        self.start()

    def start(self) -> None:
        """A new process on the same disk."""
        hello = link.Hello(protocol=link.PROTOCOL, stream=self.outbox.stream, spec=SPEC_TEXT, software="sim")
        self.link = ActorLink(hello, self.outbox)
        self.down = []
        self.weights = (0, b"")
        self.window: deque[tuple[int, int]] = deque()

    def owed(self, archive: Archive, after: int, until: int) -> list[int]:
        """What was accepted between two seqs and is on no archive's disk, not rejected, and not lost with power."""
        stream = self.outbox.stream
        done = archive.ever.get(stream, set()), archive.rejected.get(stream, set()), self.lost
        first, last = bisect.bisect_right(self.accepted, after), bisect.bisect_left(self.accepted, until)
        return [seq for seq in self.accepted[first:last] if not any(seq in settled for settled in done)]
