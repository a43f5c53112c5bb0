"""The thread between the control loop and the learner: it owns the outbox and the socket, so the loop never waits."""

import dataclasses
import importlib.metadata
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from actor.outbox import CAP_BYTES, Outbox
from actor.status import LinkStatus
from wire import link
from wire.actor_link import ActorLink
from wire.codec import encode_spec
from wire.database import StoreError
from wire.errors import UserError
from wire.keys import ActorKeys
from wire.sockets import ActorSocket
from wire.specs import EnvSpec, SpecMismatch
from wire.types import Step
from wire.wake import Bell

log = logging.getLogger(__name__)

HANDOFF_STEPS = 512
"""At 20 Hz, 25 s of a disk that does not answer; two-camera steps then hold about 80 MB."""
_BATCH = 16
_TICK_S = 0.1
_SYNC_S = 0.5
"""A power cut takes at most a second of steps; half of it is for a busy disk."""
_FORGET_S = 0.25
_RETRY_S = 0.5
_GOODBYE_S = 0.5


class UplinkError(UserError, RuntimeError):
    """A step cannot be taken: the disk has not answered for long, or the thread has died."""


@dataclasses.dataclass(frozen=True)
class _Snapshot:
    """What the thread last knew; `taken` counts the steps handed over that it accounts for."""

    status: LinkStatus
    live: bool
    taken: int


class Uplink:
    """`append` each step; it reaches the learner's archive once, whatever happens to either side in between."""

    def __init__(
        self,
        address: str,
        outbox_path: Path,
        spec: EnvSpec,
        *,
        keys: ActorKeys | None = None,
        insecure: bool = False,
        on_weights: Callable[[bytes, int], bool] | None = None,
        cap_bytes: int = CAP_BYTES,
    ) -> None:
        """Prepare only; `start` opens things.

        Args:
            address: Of the learner, tcp://host:port.
            outbox_path: The file in which steps wait; it is created.
            spec: What every step must be like.
            keys: Ours and the learner's, for a link that is encrypted and knows who is who.
            insecure: Allow an address off this machine without keys.
            on_weights: Called in the uplink's thread with an encoded weight set and its number on the link; says
                whether it took it. Decoding there keeps the loop free; it should take well under a second.
            cap_bytes: Size of the outbox at which `nearly_full` nears.
        """
        self._address = address
        self._path = outbox_path
        self._spec = spec
        self._keys = keys
        self._step_bytes = spec.step_bytes()
        self._insecure = insecure
        self._on_weights = on_weights
        self._cap_bytes = cap_bytes
        self._handoff: deque[Step] = deque()
        self._taken = 0
        self._accepted = 0
        self._refused = 0
        self._trouble: dict[str, str] = {}
        self._retry_s: dict[str, float] = {}
        self._forget_s = self._sync_s = 0.0
        self._forgotten_seq = 0
        self._stop = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the outbox and the socket and start the thread.

        Raises:
            StoreError: The outbox cannot be opened, or holds undelivered steps of another spec.
            LinkError: The address is malformed, or leaves the machine without keys and is not `insecure`.
        """
        self._outbox = Outbox(self._path, self._spec, cap_bytes=self._cap_bytes)
        try:
            self._socket = ActorSocket(self._address, keys=self._keys, insecure=self._insecure)
        except BaseException:
            self._outbox.close()
            raise
        self._bell = Bell(self._socket.wake)
        self.stream = self._outbox.stream
        self.next_episode = self._outbox.next_episode
        """The first episode number that earlier processes of this stream have not used."""
        hello = link.Hello(
            protocol=link.PROTOCOL, stream=self.stream, spec=encode_spec(self._spec), software=_software()
        )
        self._link = ActorLink(hello, self._outbox)
        self._appended_before = self._outbox.appended
        self._snapshot = self._look()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._thread.start()

    def append(self, step: Step) -> None:
        """Hand a step over, in microseconds. Its arrays must not be changed afterwards.

        Raises:
            SpecMismatch: The step is not of the spec, e.g. holds a NaN; it was not taken.
            UplinkError: Too many steps wait for the disk, the outbox is at its cap, or the thread has died; the step
                was not taken. Whoever stops where `status.full` says so never meets the first two.
        """
        problem = self._spec.step_problem(step)
        if problem is not None:
            raise SpecMismatch(f"step {step.t} of episode {step.episode} does not fit the spec: {problem}")
        if self._snapshot.status.state == "failed" or len(self._handoff) >= HANDOFF_STEPS:
            reason = self._snapshot.status.detail or "the disk is slow"
            raise UplinkError(f"{len(self._handoff)} steps wait for {self._path}: {reason}")
        # This one may be an episode's last, which holds two observations.
        coming = (len(self._handoff) + 2) * self._step_bytes
        if self._snapshot.status.pending_bytes + coming > self._cap_bytes:
            raise UplinkError(f"the outbox is full: {self._snapshot.status.room}")
        self._handoff.append(step)
        self._taken += 1
        self._bell.ring()

    @property
    def status(self) -> LinkStatus:
        """The state now, from any thread."""
        snapshot, taken = self._snapshot, self._taken
        waiting = taken - snapshot.taken
        return dataclasses.replace(
            snapshot.status,
            unacked=snapshot.status.unacked + waiting,
            waiting=waiting,
            # A disk that takes nothing counts as a full one, long before memory ends too.
            nearly_full=snapshot.status.nearly_full or waiting > HANDOFF_STEPS // 2,
            full=snapshot.status.full or waiting > HANDOFF_STEPS // 2,
            appended=snapshot.status.appended + waiting,
        )

    def flush(self, timeout_s: float) -> bool:
        """Wait until all steps are in the outbox and, where a learner is connected, acknowledged; False if too late."""
        deadline_s = time.monotonic() + timeout_s
        while not self._flushed():
            if time.monotonic() >= deadline_s or self._snapshot.status.state == "failed":
                return False
            time.sleep(0.002)
        return True

    def close(self, timeout_s: float) -> bool:
        """Flush, say goodbye and stop; what the learner does not have stays in the outbox. Returns `flush`'s answer."""
        if self._thread is None:
            return True
        flushed = self.flush(timeout_s)
        self._stop = True
        self._bell.ring()
        self._thread.join(timeout_s + 2 * _GOODBYE_S)
        return flushed

    def _flushed(self) -> bool:
        snapshot = self._snapshot
        return snapshot.taken == self._taken and not (snapshot.live and snapshot.status.unacked)

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:
            log.exception("uplink died")
            status = dataclasses.replace(self._look().status, state="failed", detail=f"the uplink has died: {error}")
            self._snapshot = dataclasses.replace(self._snapshot, status=status, live=False)
        finally:
            self._bell.close()
            self._socket.close(_GOODBYE_S if self._stop else 0.0)
            self._outbox.close()

    def _loop(self) -> None:
        while True:
            stopping, now_s = self._stop, time.monotonic()
            self._on_disk("accept", self._accept, now_s)
            self._on_disk("sync", self._sync, now_s)
            self._on_disk("talk", self._talk, now_s)
            self._snapshot = self._look()
            if stopping:
                self._socket.send(self._link.goodbye())
                return
            if not self._handoff or self._trouble:
                self._socket.wait(_TICK_S)

    def _on_disk(self, name: str, act: Callable[[float], None], now_s: float) -> None:
        """Do something that needs the disk; where it fails, say so, keep the steps in memory and try again later."""
        if now_s < self._retry_s.get(name, 0.0):
            return
        try:
            act(now_s)
        except StoreError as error:
            if name not in self._trouble:
                log.error("outbox trouble: %s", error)
            self._trouble[name] = f"{error} ({len(self._handoff)} steps wait in memory)"
            self._retry_s[name] = now_s + _RETRY_S
            self._forgotten_seq = 0
        else:
            self._trouble.pop(name, None)

    def _accept(self, now_s: float) -> None:
        """Commit what the loop has handed over; now and then also what was forgotten."""
        # By index: the loop may append at any moment, and an iterator would not survive that.
        batch = [self._handoff[i] for i in range(min(_BATCH, len(self._handoff)))]
        problems = []
        for step in batch:
            try:
                self._outbox.insert(step)
            except ValueError as error:
                problems.append(f"step {step.t} of episode {step.episode} was not taken: {error}")
        if batch or now_s >= self._forget_s:
            self._outbox.commit()
            self._forget_s = now_s + _FORGET_S
        # They are the outbox's from here on: whatever fails later, they must not be inserted again.
        for _ in batch:
            self._handoff.popleft()
        self._accepted += len(batch)
        for problem in problems:
            self._refused += 1
            self._link.detail = problem
            log.error("%s", problem)

    def _sync(self, now_s: float) -> None:
        """Now and then take what is committed down to the platter."""
        if now_s >= self._sync_s:
            # What is forgotten but not committed yet would keep SQLite from it.
            self._outbox.commit()
            self._outbox.sync()
            self._sync_s = now_s + _SYNC_S

    def _talk(self, now_s: float) -> None:
        """Take in what came, then send what is due."""
        while (data := self._socket.receive()) is not None:
            self._link.receive(data, now_s)
        weights = self._link.weights
        if weights is not None:
            self._link.weights_done(weights.version)
            if not self._offer(weights):
                log.warning("weights refused: number=%d", weights.version)
        if self._link.acked_seq > self._forgotten_seq:
            self._outbox.delete_until(self._link.acked_seq)
            self._forgotten_seq = self._link.acked_seq
        for data in self._link.step(now_s):
            if not self._socket.send(data):
                self._link.lost(now_s)
        if self._link.renewal_due(now_s):
            self._socket.renew()

    def _offer(self, weights: link.WeightsSet) -> bool:
        try:
            return self._on_weights is not None and self._on_weights(weights.body, weights.version)
        except Exception:
            # Whatever a weight set does to the policy's side, the steps must go on flowing.
            log.exception("weights failed: number=%d", weights.version)
            return False

    def _look(self) -> _Snapshot:
        state, outbox = self._link, self._outbox
        trouble = next(iter(self._trouble.values()), "")
        status = LinkStatus(
            state=state.state,
            unacked=outbox.pending,
            waiting=0,
            pending_bytes=outbox.pending_bytes,
            backlog=state.backlog,
            acked_seq=state.acked_seq,
            appended=self._appended_before + self._accepted - self._refused,
            refused=self._refused + state.rejected + outbox.damaged,
            # A power cut would take what cannot be synced: it shall not grow by more than this episode.
            nearly_full=outbox.nearly_full or "sync" in self._trouble,
            full=outbox.full,
            room=trouble or outbox.room,
            detail=trouble or self._socket.trouble or state.detail or outbox.detail,
        )
        return _Snapshot(status, state.live, self._accepted)


def _software() -> str:
    try:
        return importlib.metadata.version("handrail")
    except importlib.metadata.PackageNotFoundError:
        return "source"
