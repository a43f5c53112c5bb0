"""The actor's side of the link, without sockets, threads or a clock: the driver hands in bytes and the time."""

import logging
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from wire import link
from wire.codec import DecodeError

log = logging.getLogger(__name__)


class Source(Protocol):
    """What the actor's link needs of an outbox."""

    @property
    def newest(self) -> int:
        """The highest seq given out so far."""
        ...

    def unsent(self, after: int, max_records: int, max_bytes: int) -> Iterator[tuple[int, bytes]]:
        """The records that follow `after`, in order, as many as fit both limits."""
        ...


class ActorLink:
    """The actor's side: `receive` what came, then send what `step` returns, again and again."""

    def __init__(self, hello: link.Hello, outbox: Source) -> None:
        self.detail = "no learner has answered yet"
        self.run = ""
        self.acked_seq = 0
        self.backlog = 0
        self.rejected = 0
        self.dropped = 0
        self.weights: link.WeightsSet | None = None
        """The newest set that came; whoever takes it calls `weights_done`."""
        self._hello = hello
        self._outbox = outbox
        self._state: link.LinkState = "connecting"
        self._finished = False
        self._out: list[link.ToLearner] = []
        self._credit = (0, 0)
        self._sent_seq = 0
        self._in_flight: deque[tuple[int, int]] = deque()
        self._in_flight_bytes = 0
        self._weights_version = 0
        self._ready_due, self._ready_s = False, 0.0
        self._heard_s = self._spoke_s = self._progress_s = self._hello_due_s = 0.0
        self._hello_wait_s = link.HELLO_S
        self._renewed_s: float | None = None

    @property
    def state(self) -> link.LinkState:
        """Where the link stands; `finished` once the learner has ended the run."""
        return "finished" if self._finished else self._state

    @property
    def live(self) -> bool:
        """Whether a learner takes our records now."""
        return self._state == "connected"

    def receive(self, data: bytes, now_s: float) -> None:
        """Take one message in; what is malformed is counted in `dropped` and named in `detail`."""
        try:
            message = link.decode_from_learner(data)
        except DecodeError as error:
            self._drop(str(error))
            return
        self._heard_s = now_s
        match message:
            case link.Welcome():
                self._on_welcome(message, now_s)
            case link.Ack() if self.live:
                self._on_ack(message, now_s)
            case link.Refused() | link.NotNow():
                self._on_refused(message, now_s)
            case link.Rejected(seq=seq, reason=reason):
                self.rejected += 1
                self.detail = f"the learner rejected step {seq}: {reason}"
                log.error("learner rejected a step: seq=%d reason=%s", seq, reason)
            case link.WeightsSet():
                self.weights = message
            case link.Finished(reason=reason):
                self._finished, self.detail = True, reason
            case link.WhoAreYou() if self._state == "connected":
                self._say_hello_from(now_s, "connecting", "the learner or the connection to it was restarted")

    def step(self, now_s: float) -> list[bytes]:
        """Everything to send now: HELLO, records within the credit, a sign of life. Call it every 0.1 s."""
        if self.live and now_s - self._heard_s > link.AWAY_S:
            self._say_hello_from(now_s, "away", f"the learner has been silent for {link.AWAY_S:.0f} s")
        if self.live and self._in_flight and now_s - self._progress_s > link.STALL_S:
            self._progress_s = now_s
            self._out.append(self._hello)
        if not self.live and now_s >= self._hello_due_s:
            self._out.append(self._hello)
            wait_s = link.REFUSED_S if self._state == "refused" else self._hello_wait_s
            self._hello_due_s = now_s + wait_s
            self._hello_wait_s = min(2 * self._hello_wait_s, link.HELLO_MAX_S)
        if self.live:
            if self._ready_due:
                self._ready_due, self._ready_s = False, now_s
                self._out.append(link.Ready(version=self._weights_version))
            self._send_records(now_s)
            if not self._out and now_s - self._spoke_s >= link.HEARTBEAT_S:
                self._out.append(link.Ping())
        if self._out:
            self._spoke_s = now_s
        out, self._out = self._out, []
        return [link.encode(message) for message in out]

    def weights_done(self, version: int) -> None:
        """Say that weights `version` were taken or refused, and that a newer set may come."""
        self._weights_version = version
        self.weights = None
        self._ready_due = True

    def lost(self, now_s: float) -> None:
        """A message could not be sent: there is no connection."""
        if self.live:
            self._say_hello_from(now_s, "connecting", "the connection to the learner is lost")
        elif self._state != "refused":
            # Patience is for a learner that does not answer; where there is none yet, be there when it comes.
            self._hello_due_s, self._hello_wait_s = now_s + link.HELLO_S, link.HELLO_S

    def renewal_due(self, now_s: float) -> bool:
        """Whether to replace the connection now: nothing has come through it for long."""
        if self._renewed_s is None:
            self._renewed_s = now_s
        if now_s - max(self._heard_s, self._renewed_s) <= link.RENEW_S:
            return False
        self._renewed_s = now_s
        return True

    def goodbye(self) -> bytes:
        """The message with which to leave."""
        return link.encode(link.Goodbye())

    def _say_hello_from(self, now_s: float, state: link.LinkState, detail: str) -> None:
        self._state, self.detail = state, detail
        self._hello_due_s, self._hello_wait_s = now_s, link.HELLO_S
        log.warning("link %s: %s", state, detail)

    def _on_welcome(self, message: link.Welcome, now_s: float) -> None:
        if message.last_seq > self._outbox.newest:
            self._state, self._hello_due_s = "refused", now_s + link.REFUSED_S
            self.detail = (
                f"the learner has step {message.last_seq} of this stream, the outbox ends at {self._outbox.newest}: it "
                "was restored from a copy. Move the outbox file away to begin a new stream"
            )
            log.error("outbox is older than the archive: %s", self.detail)
            return
        if message.run != self.run:
            self.run, self._weights_version = message.run, 0
        elif not self.live and message.last_seq < self.acked_seq:
            log.error(
                "run %s has gone back to step %d of this stream after it had acknowledged %d: its archive was replaced "
                "by an older one; what lies between is only in the newer one",
                message.run,
                message.last_seq,
                self.acked_seq,
            )
        if not self.live:
            log.info("link connected: run=%s last_seq=%d", message.run, message.last_seq)
            self._state = "connected"
            self.detail = self.detail if self._finished else ""
            self._ready_due = True
        # Exactly the learner's last_seq, even where it is less than ours: `after` then tells it what it may skip.
        self._sent_seq = message.last_seq
        self.acked_seq = max(self.acked_seq, message.last_seq)
        self._in_flight.clear()
        self._in_flight_bytes = 0
        self._credit = (message.credit_records, message.credit_bytes)
        self._progress_s, self._hello_wait_s = now_s, link.HELLO_S

    def _on_refused(self, message: link.Refused | link.NotNow, now_s: float) -> None:
        if isinstance(message, link.Refused):
            self._hello_due_s = now_s + link.REFUSED_S
            log.error("learner refused us: %s", message.reason)
            self._state, self.detail = "refused", message.reason
            return
        if self.live:
            self._say_hello_from(now_s, "away", message.reason)
        elif message.reason != self.detail:
            log.warning("link away: %s", message.reason)
        self._state, self.detail = "away", message.reason

    def _on_ack(self, message: link.Ack, now_s: float) -> None:
        if message.last_seq > self._outbox.newest:
            self._drop(f"the learner acknowledged step {message.last_seq}, which was never sent")
            return
        self._credit = (message.credit_records, message.credit_bytes)
        self.backlog = message.backlog
        if message.awaits_ready and self.weights is None and now_s - self._ready_s > link.STALL_S:
            self._ready_due = True
        if message.last_seq > self.acked_seq:
            self.acked_seq, self._progress_s = message.last_seq, now_s
        while self._in_flight and self._in_flight[0][0] <= message.last_seq:
            self._in_flight_bytes -= self._in_flight.popleft()[1]

    def _send_records(self, now_s: float) -> None:
        # Our own limits too: whatever a learner grants, what is under way must fit our memory.
        records = min(self._credit[0], link.CREDIT_RECORDS) - len(self._in_flight)
        size = min(self._credit[1], link.CREDIT_BYTES) - self._in_flight_bytes
        if records <= 0 or size <= 0 or self._sent_seq >= self._outbox.newest:
            return
        for seq, body in self._outbox.unsent(self._sent_seq, records, size):
            if not self._in_flight:
                self._progress_s = now_s
            self._out.append(link.Record(after=self._sent_seq, seq=seq, body=body))
            self._sent_seq = seq
            self._in_flight.append((seq, len(body)))
            self._in_flight_bytes += len(body)

    def _drop(self, problem: str) -> None:
        self.dropped += 1
        self.detail = problem
        log.warning("message dropped: %s", problem)
