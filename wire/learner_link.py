"""The learner's side of the link, without sockets, threads or a clock: the driver hands in bytes and the time."""

import dataclasses
import logging
from collections.abc import Callable
from typing import NamedTuple

from wire import link
from wire.codec import DecodeError, decode_spec
from wire.database import StoreError
from wire.errors import UserError
from wire.specs import EnvSpec, SpecMismatch

log = logging.getLogger(__name__)


class StreamTaken(UserError):
    """A stream is continued by somebody who did not begin it."""


class Arrival(NamedTuple):
    """A record that is next in its stream: the driver archives it, or calls `reject`."""

    stream: str
    seq: int
    body: bytes


@dataclasses.dataclass
class Stream:
    """What the learner knows of one actor; it outlives the actor's connections."""

    stream: str
    peer: bytes
    """The connection it speaks through, b"" where it said goodbye or the connection is gone."""
    accepted: int
    committed: int
    heard_s: float
    owner: str = ""
    """Who began it, by the name that the learner gives to the key; "" where the link has no keys."""
    acked_s: float = 0.0
    ack_due: bool = True
    welcome_due: bool = False
    gap_told_s: float = float("-inf")
    takes_weights: bool = False
    weights_number: int = 0
    """Which set it has taken last; 0: none that we know of."""

    def state(self, now_s: float) -> str:
        """Connected, away (silent), or gone (it said goodbye, or its connection is closed)."""
        if not self.peer:
            return "gone"
        return "connected" if now_s - self.heard_s <= link.AWAY_S else "away"


class LearnerLink:
    """The learner's side: `receive` what came, archive what it returns, report `committed`, send `step`'s."""

    def __init__(
        self,
        run: str,
        spec: EnvSpec | None,
        resume: Callable[[str, EnvSpec], int],
        claim: Callable[[str, str], str] = lambda stream, name: name,
        session: int = 0,
    ) -> None:
        """Begin with no peers.

        Args:
            run: Name of the run, told to every actor.
            spec: What the steps must be like; None: the first actor's Hello says.
            resume: Gives a stream's newest seq in the archive of that spec; may raise SpecMismatch or StoreError.
            claim: Tells whose a stream is, now that somebody of that name continues it; it remembers whoever was first.
            session: Added to the versions of weights, so that no two processes give one number to different sets: a
                restart can give a version out again.
        """
        self.spec = spec
        self.streams: dict[str, Stream] = {}
        self.records = 0
        """Records that came, new and repeated."""
        self.duplicates = 0
        self.dropped = 0
        self.refused = 0
        """Hellos refused and records rejected."""
        self.detail = ""
        self._run = run
        self._resume = resume
        self._claim = claim
        self._session = session
        self._peers: dict[bytes, Stream] = {}
        self._out: list[tuple[bytes, bytes]] = []
        self._weights: tuple[int, bytes] | None = None
        self._backlog = 0
        self._finished: str | None = None

    def receive(self, peer: bytes, data: bytes, now_s: float, name: str = "") -> Arrival | None:
        """Take one message in; returns the record it holds where that is next in its stream.

        Args:
            peer: The connection that it came through.
            data: The message.
            now_s: The time.
            name: Whose key the connection has; "" on a link without keys.
        """
        try:
            message = link.decode_from_actor(data)
        except DecodeError as error:
            self.dropped += 1
            self._note(f"message dropped: {error}")
            return None
        if isinstance(message, link.Hello):
            self._on_hello(peer, message, now_s, name)
            return None
        stream = self._peers.get(peer)
        # The name too: a connection's id is free again once it is closed, and somebody else may ask for the same.
        if stream is None or stream.owner != name:
            self._send(peer, link.WhoAreYou())
            return None
        stream.heard_s = now_s
        match message:
            case link.Record():
                return self._on_record(stream, message, now_s)
            case link.Ready(version=version):
                stream.takes_weights, stream.weights_number = True, version
            case link.Goodbye():
                log.info("actor left: stream=%s committed=%d", stream.stream[:8], stream.committed)
                self.gone(peer)
        return None

    def reject(self, arrival: Arrival, reason: str) -> None:
        """Step over a record that is damaged or does not fit, and tell its actor."""
        self.refused += 1
        self._note(f"step {arrival.seq} of stream {arrival.stream[:8]} rejected: {reason}")
        stream = self.streams[arrival.stream]
        if stream.peer:
            self._send(stream.peer, link.Rejected(seq=arrival.seq, reason=reason))

    def committed(self) -> None:
        """Everything accepted so far is on disk: it may be acknowledged."""
        for stream in self.streams.values():
            if stream.committed != stream.accepted:
                stream.committed, stream.ack_due = stream.accepted, True

    def rolled_back(self, problem: str) -> None:
        """What was accepted since the last commit is not on disk: the actors will send it again."""
        self._note(problem)
        for stream in self.streams.values():
            stream.accepted = stream.committed

    def publish(self, version: int, data: bytes) -> None:
        """From now on these are the newest weights; each actor gets them when it is ready, older ones never."""
        number = self._session + version
        self._weights = (number, link.encode(link.WeightsSet(version=number, body=data)))

    def set_backlog(self, backlog: int) -> None:
        """Tell all actors at once how many archived steps training has yet to consume."""
        if backlog != self._backlog:
            self._backlog = backlog
            for stream in self.streams.values():
                stream.ack_due = True

    def finish(self, reason: str) -> None:
        """Tell all actors, present and to come, that the run is over."""
        self._finished = reason
        for peer in self._peers:
            self._send(peer, link.Finished(reason=reason))

    def gone(self, peer: bytes) -> None:
        """The connection is closed; its stream may come back through another."""
        stream = self._peers.pop(peer, None)
        if stream is not None and stream.peer == peer:
            stream.peer, stream.takes_weights = b"", False

    def step(self, now_s: float) -> list[tuple[bytes, bytes]]:
        """Everything to send now, as (peer, bytes). Call it at least every 0.1 s."""
        for peer, stream in self._peers.items():
            if stream.welcome_due:
                # It grants the whole credit anew, so nothing may be on its way to the disk: after a power cut what the
                # actor sends next are other steps.
                if stream.accepted != stream.committed:
                    continue
                stream.welcome_due = False
                self._welcome(stream)
            if stream.ack_due or now_s - stream.acked_s >= link.HEARTBEAT_S:
                stream.ack_due, stream.acked_s = False, now_s
                ack = link.Ack(
                    last_seq=stream.committed,
                    credit_records=link.CREDIT_RECORDS,
                    credit_bytes=link.CREDIT_BYTES,
                    backlog=self._backlog,
                    awaits_ready=not stream.takes_weights,
                )
                self._send(peer, ack)
                if self._finished is not None:
                    # Again and again: an actor that missed it would go on for ever.
                    self._send(peer, link.Finished(reason=self._finished))
            # Different, not newer: after a restart from a checkpoint the learner's own count may have gone back.
            if self._weights is not None and stream.takes_weights and stream.weights_number != self._weights[0]:
                stream.takes_weights = False
                self._out.append((peer, self._weights[1]))
        out, self._out = self._out, []
        return out

    def _on_hello(self, peer: bytes, hello: link.Hello, now_s: float, name: str) -> None:
        try:
            stream = self._admit(hello, now_s, name)
        except (DecodeError, SpecMismatch, StoreError, StreamTaken) as error:
            self.refused += 1
            self._note(f"actor of stream {hello.stream[:8]} refused: {error}")
            # What our disk does not take now it may take later; the robot goes on meanwhile.
            kind = link.NotNow if isinstance(error, StoreError) else link.Refused
            self._send(peer, kind(reason=str(error)))
            return
        if self._peers.get(peer) is not stream:
            log.info("actor connected: stream=%s last_seq=%d", hello.stream[:8], stream.committed)
            self.gone(peer)
            self._peers.pop(stream.peer, None)
            self._peers[peer] = stream
            stream.peer, stream.takes_weights = peer, False
        stream.heard_s, stream.ack_due, stream.welcome_due = now_s, True, True

    def _admit(self, hello: link.Hello, now_s: float, name: str) -> Stream:
        """The stream that says hello; raises where its steps cannot be taken, saying why."""
        if hello.protocol != link.PROTOCOL:
            raise SpecMismatch(
                f"the learner speaks link protocol {link.PROTOCOL}, the actor {hello.protocol} (Handrail "
                f"{hello.software}); install the same version on both sides"
            )
        spec = decode_spec(hello.spec)
        if self.spec is not None:
            cure = "Start both with the same task and env"
            self.spec.require_same(spec, ours="the learner", theirs="the actor", cure=cure)
        if hello.stream not in self.streams:
            if len(self.streams) >= link.STREAMS:
                raise StoreError(f"the learner has taken {link.STREAMS} streams in this run; restart it to take more")
            last_seq = self._resume(hello.stream, spec)
            self.spec = spec
            owner = self._claim(hello.stream, name)
            _require_own(hello.stream, owner, name)
            self.streams[hello.stream] = Stream(hello.stream, b"", last_seq, last_seq, now_s, owner)
        stream = self.streams[hello.stream]
        _require_own(stream.stream, stream.owner, name)
        return stream

    def _welcome(self, stream: Stream) -> None:
        credit = {"credit_records": link.CREDIT_RECORDS, "credit_bytes": link.CREDIT_BYTES}
        self._send(stream.peer, link.Welcome(run=self._run, last_seq=stream.committed, **credit))

    def _on_record(self, stream: Stream, record: link.Record, now_s: float) -> Arrival | None:
        self.records += 1
        if record.seq <= stream.accepted:
            self.duplicates += 1
            stream.ack_due = True
            return None
        if record.after > stream.accepted:
            if now_s - stream.gap_told_s >= link.GAP_S:
                stream.gap_told_s = now_s
                self._welcome(stream)
            return None
        stream.accepted = record.seq
        return Arrival(stream.stream, record.seq, record.body)

    def _send(self, peer: bytes, message: link.ToActor) -> None:
        self._out.append((peer, link.encode(message)))

    def _note(self, problem: str) -> None:
        self.detail = problem
        log.warning("%s", problem)


def _require_own(stream: str, owner: str, name: str) -> None:
    if owner != name:
        raise StreamTaken(
            f"stream {stream[:8]} was begun by {owner}, and {name or 'a link without keys'} cannot continue it: use "
            f"the key that the learner knows as {owner}, or move the outbox away to begin a new stream"
        )
