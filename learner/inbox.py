"""The thread that takes the actors' steps in: verify, dedup, archive, commit, acknowledge, and hand on to training."""

import dataclasses
import itertools
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from wire import failpoints
from wire.allowed import LearnerKeys
from wire.codec import LIMITS, DecodeError, decode_step
from wire.errors import UserError
from wire.learner_link import Arrival, LearnerLink
from wire.sockets import LearnerSocket
from wire.specs import EnvSpec
from wire.store import Row, StepStore, StoreError

log = logging.getLogger(__name__)

RECENT_BYTES = 64 << 20
"""So much of what was committed last stays in memory for `drain`; what is older it reads from the archive."""
_COMMIT_S = 0.05
_TICK_S = 0.1
_GOODBYE_S = 0.2


class InboxError(UserError, RuntimeError):
    """The inbox has died; the text says of what."""


@dataclasses.dataclass(frozen=True)
class ActorStatus:
    """One actor, as its stream is seen from here."""

    stream: str
    state: str
    """Connected, away (silent for seconds) or gone (it said goodbye)."""
    last_seq: int
    """The newest that is on disk."""
    age_s: float
    """Since it was last heard."""


@dataclasses.dataclass(frozen=True)
class InboxStatus:
    """One moment of the inbox, safe to keep."""

    actors: tuple[ActorStatus, ...] = ()
    received: int = 0
    """Records that came, new and repeated."""
    archived: int = 0
    """Steps that this inbox has committed."""
    duplicates: int = 0
    """Records that came again and were only acknowledged."""
    refused: int = 0
    """Actors turned away and steps that do not fit the spec."""
    damaged: int = 0
    """Messages and records that could not be decoded."""
    detail: str = ""
    """The latest trouble."""
    failed: bool = False
    """The thread has died, of `detail`."""


class Inbox:
    """Takes steps from any number of actors into one archive, each once and in order, and pushes weights back."""

    def __init__(
        self,
        bind: str,
        store_path: Path,
        spec: EnvSpec | None,
        *,
        run: str,
        info: Mapping[str, str] = MappingProxyType({}),
        keys: LearnerKeys | None = None,
        insecure: bool = False,
        fits: Callable[[EnvSpec], None] = lambda spec: None,
    ) -> None:
        """Prepare only; `start` opens things.

        Args:
            bind: Where to listen, e.g. tcp://127.0.0.1:5555 (port *: any that is free).
            store_path: The run's steps.sqlite; created, or continued.
            spec: What the steps must be like; None: as the file says, or else as the first actor says.
            run: Name of the run, told to the actors.
            info: Facts to keep in the archive.
            keys: Ours, and the list of the actors to let in.
            insecure: Allow listening off this machine without keys.
            fits: Raises SpecMismatch on a first actor whose spec is not to be adopted.
        """
        self._bind = bind
        self._path = store_path
        self._run_name = run
        self._info = info
        self._keys = keys
        self._insecure = insecure
        self._fits = fits
        self._wanted = spec
        self._store: StepStore | None = None
        self._reader: StepStore | None = None
        self._spec_known = threading.Event()
        self._lock = threading.Lock()
        self._recent: deque[tuple[Row, int]] = deque()
        self._recent_bytes = 0
        self._committed_row = 0
        self._drained_row = 0
        self._waiting: list[tuple[Row, int]] = []
        self._asked: dict[str, Callable[[], None]] = {}
        self._archived = self._damaged = self._trained = 0
        self._stop = self._finishing = False
        self.resumed_row = 0
        """The archive's newest row when it was opened: `drain` begins after it, StepStore.read gives those before."""
        self._status = InboxStatus()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the archive and the socket and start the thread.

        Raises:
            wire.specs.SpecMismatch: The archive holds steps of another spec.
            StoreError: The archive cannot be opened, or another learner is writing it.
            LinkError: The address is malformed, in use, or leaves the machine without keys and is not `insecure`.
        """
        spec = self._wanted
        if spec is None and self._path.exists():
            with StepStore.read(self._path) as store:
                spec = store.spec
        if spec is not None:
            self._open(spec)
        try:
            self._socket = LearnerSocket(self._bind, keys=self._keys, insecure=self._insecure)
        except BaseException:
            if self._store is not None:
                self._store.close()
            raise
        self.address = self._socket.address
        """Where actors connect to."""
        session = secrets.randbits(32) << 20
        self._link = LearnerLink(self._run_name, spec, self._resume, self._claim, session)
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)
        self._thread.start()

    @property
    def spec(self) -> EnvSpec | None:
        """What the steps are like; None while no actor has said."""
        return None if self._store is None else self._store.spec

    @property
    def repaired(self) -> str:
        """What became of the archive where it was found damaged; empty where it was not."""
        return "" if self._store is None else self._store.repaired

    @property
    def status(self) -> InboxStatus:
        """The state now, from any thread."""
        return self._status

    @property
    def drained_row(self) -> int:
        """The archive's row up to which `drain` has come, damaged ones, which it never hands out, included."""
        return self._drained_row

    def wait_for_spec(self, timeout_s: float) -> EnvSpec | None:
        """The spec once it is known, None if it is not in time."""
        self._spec_known.wait(timeout_s)
        return self.spec

    def drain(self, max_n: int) -> list[Row]:
        """The next steps that are safely archived, in order, at most `max_n`; one thread calls this.

        Raises:
            InboxError: The thread has died.
            StoreError: The archive cannot be read.
        """
        with self._lock:
            while self._recent and self._recent[0][0].row <= self._drained_row:
                self._recent_bytes -= self._recent.popleft()[1]
            rows: list[Row] = []
            if self._recent and self._recent[0][0].row == self._drained_row + 1:
                taken = [self._recent.popleft() for _ in range(min(max_n, len(self._recent)))]
                self._recent_bytes -= sum(size for _, size in taken)
                rows = [row for row, _ in taken]
            behind = self._committed_row - self._drained_row
        if not rows and behind:
            rows = self._read(min(max_n, behind))
        if rows:
            self._drained_row = rows[-1].row
        elif self._status.failed:
            raise InboxError(self._status.detail)
        return rows

    def publish(self, data: bytes, version: int) -> None:
        """Push this encoded weight set to every actor that is ready, and never an older one again.

        Raises:
            ValueError: It is larger than an actor takes.
        """
        if len(data) > LIMITS.weights_bytes:
            raise ValueError(f"a weight set of {len(data)} bytes cannot travel; the limit is {LIMITS.weights_bytes}")
        self._ask("publish", lambda: self._link.publish(version, data))

    def set_trained(self, n: int) -> None:
        """Say that training has consumed `n` rows of the archive: the actors hear at once how far it is behind."""
        if n != self._trained:
            self._trained = n
            self._socket.wake.set()

    def finish(self, reason: str) -> None:
        """Tell all actors, present and to come, that the run is over; they hand over what they still have."""
        self._finishing = True
        self._ask("finish", lambda: self._link.finish(reason))

    def close(self, timeout_s: float) -> None:
        """Stop. After `finish`, first wait up to `timeout_s` for the actors to hand over what they have and leave."""
        deadline_s = time.monotonic() + timeout_s
        while self._finishing and time.monotonic() < deadline_s and not self._status.failed:
            if not self._asked and all(actor.state != "connected" for actor in self._status.actors):
                break
            time.sleep(0.005)
        if self._reader is not None:
            # Before the writer, who puts the file in order only when nobody else has it open.
            self._reader.close()
            self._reader = None
        self._stop = True
        if self._thread is not None:
            self._socket.wake.set()
            self._thread.join()

    def _ask(self, what: str, act: Callable[[], None]) -> None:
        """Let the thread do something at once; of several askings of one kind only the latest counts."""
        with self._lock:
            self._asked[what] = act
        self._socket.wake.set()

    def _read(self, count: int) -> list[Row]:
        """The next rows from the archive, for a trainer that fell behind what is kept in memory."""
        if self._reader is None:
            self._reader = StepStore.read(self._path)
        rows = list(itertools.islice(self._reader.rows(self._drained_row), count))
        if not rows:
            log.error("archive rows are damaged: from=%d to=%d", self._drained_row + 1, self._committed_row)
            self._drained_row += count
        return rows

    def _open(self, spec: EnvSpec) -> None:
        self._store = StepStore.open(self._path, spec, self._info)
        self.resumed_row = self._committed_row = self._drained_row = self._store.last_row()
        self._spec_known.set()

    def _resume(self, stream: str, spec: EnvSpec) -> int:
        if self._store is None:
            self._fits(spec)
            self._open(spec)
            log.info("spec adopted from the first actor: task=%s fingerprint=%s", spec.task, spec.fingerprint())
        assert self._store is not None
        return self._store.last_seq(stream)

    def _claim(self, stream: str, name: str) -> str:
        assert self._store is not None, "a stream is resumed before it is claimed"
        return self._store.claim(stream, name)

    def _run(self) -> None:
        try:
            while True:
                stopping = self._stop
                self._turn()
                if stopping:
                    return
                self._socket.wait(_TICK_S)
        except Exception as error:
            log.exception("inbox died")
            self._status = dataclasses.replace(self._status, failed=True, detail=f"the inbox has died: {error}")
        finally:
            self._socket.close(_GOODBYE_S)
            if self._store is not None:
                self._store.close()

    def _turn(self) -> None:
        """One round: take in what came, make it durable, only then acknowledge it."""
        with self._lock:
            asked, self._asked = self._asked, {}
        for act in asked.values():
            act()
        now_s = time.monotonic()
        while (message := self._socket.receive()) is not None:
            arrival = self._link.receive(message.peer, message.data, now_s, message.name)
            if arrival is not None:
                self._archive(arrival)
            if time.monotonic() - now_s > _COMMIT_S:
                # Come back at once for the rest, after a commit.
                self._socket.wake.set()
                break
        self._commit()
        self._link.set_backlog(max(0, self._committed_row - self._trained))
        for peer, data in self._link.step(now_s):
            if not self._socket.send(peer, data):
                self._link.gone(peer)
        self._status = self._look(now_s)

    def _archive(self, arrival: Arrival) -> None:
        assert self._store is not None, "a record is accepted only after a Hello, which opens the archive"
        try:
            step = decode_step(arrival.body)
            if self._store.insert(arrival.stream, arrival.seq, step):
                row = Row(self._store.last_row(), arrival.stream, arrival.seq, step)
                self._waiting.append((row, len(arrival.body)))
        except StoreError as error:
            self._undone(error)
        except ValueError as error:
            self._damaged += isinstance(error, DecodeError)
            self._link.reject(arrival, str(error))

    def _commit(self) -> None:
        """Put what was inserted on disk; what the disk does not take is not acknowledged, so it will come again."""
        if self._store is None:
            return
        try:
            self._store.commit()
        except StoreError as error:
            self._undone(error)
            return
        self._link.committed()
        if not self._waiting:
            return
        self._archived += len(self._waiting)
        with self._lock:
            self._recent.extend(self._waiting)
            self._recent_bytes += sum(size for _, size in self._waiting)
            while self._recent_bytes > RECENT_BYTES:
                self._recent_bytes -= self._recent.popleft()[1]
            self._committed_row = self._waiting[-1][0].row
        self._waiting = []
        failpoints.passing("before_ack")

    def _undone(self, error: StoreError) -> None:
        log.error("archive does not take steps: %s", error)
        self._waiting = []
        self._link.rolled_back(str(error))

    def _look(self, now_s: float) -> InboxStatus:
        link = self._link
        return InboxStatus(
            actors=tuple(
                ActorStatus(stream.stream, stream.state(now_s), stream.committed, now_s - stream.heard_s)
                for stream in link.streams.values()
            ),
            received=link.records,
            archived=self._archived,
            duplicates=link.duplicates,
            refused=link.refused,
            damaged=link.dropped + self._damaged,
            detail=self._socket.trouble or link.detail,
        )
