"""The sockets of the link: a DEALER for the actor, a ROUTER for the learner, CURVE on both where they have keys.

A thread owns its socket. Nothing here blocks except `wait`, and what cannot be sent now is reported, never queued
without bound: the link repeats what matters. For that reason a socket may be closed and opened again at any time,
which is how a peer with a revoked key is put out: ZeroMQ cannot close one connection of many. Together with wire/zap.py
and wire/keys.py this is all that touches ZeroMQ.
"""

import contextlib
import errno
import logging
import time
from collections.abc import Iterator
from typing import NamedTuple, Self

import zmq
from zmq.utils.monitor import recv_monitor_message

from wire.addresses import LinkError, require_secure
from wire.allowed import LearnerKeys
from wire.codec import LIMITS
from wire.keys import PRIVATE, PUBLIC, ActorKeys, decode_key
from wire.wake import Wake
from wire.zap import Door

log = logging.getLogger(__name__)

REVOKE_S = 1.0
"""How often a learner looks whether everybody who is connected is still allowed."""
_ENVELOPE_BYTES = 64 << 10
_HANDSHAKE_MS = 5000
_HEARTBEAT_MS = 2000
_RECONNECT_MS, _RECONNECT_MAX_MS = 50, 1000
_REDIAL_S = 1.0
_BACKLOG = 1024
# After these ZeroMQ gives an address up, which would be for ever; we do not: a key may be allowed at any time.
_REFUSED = (zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_HANDSHAKES = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | _REFUSED[0] | _REFUSED[1]


class Message(NamedTuple):
    """What came to a learner."""

    peer: bytes
    """The connection: where to send an answer."""
    data: bytes
    """Empty where the message was not a single part."""
    name: str
    """Who sent it: the name that the learner's own list gives to the key; "" on a link without keys."""


class _Socket:
    """What both ends have in common."""

    def __init__(self, kind: int, address: str, *, limit_bytes: int) -> None:
        self.wake = Wake()
        self.trouble = ""
        """What keeps peers apart at present, for people; empty where nothing is known to."""
        self._kind = kind
        self._limit_bytes = limit_bytes
        self._address = address
        self._open()

    def wait(self, timeout_s: float) -> None:
        """Wait until a message is there, `wake.set()` was called, or the time is up."""
        for source, _ in self._poller.poll(max(0, round(1000 * timeout_s))):
            if source == self.wake.fileno():
                self.wake.clear()

    def close(self, goodbye_s: float = 0.0) -> None:
        """Close, giving what was sent last up to `goodbye_s` to leave."""
        self._shut(goodbye_s)
        self.wake.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(self._kind)
        self._socket.linger = 0
        self._socket.maxmsgsize = self._limit_bytes + _ENVELOPE_BYTES
        self._socket.handshake_ivl = _HANDSHAKE_MS
        self._socket.heartbeat_ivl = _HEARTBEAT_MS
        self._socket.heartbeat_timeout = 2 * _HEARTBEAT_MS
        self._socket.ipv6 = "[" in self._address
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self.wake.fileno(), zmq.POLLIN)
        with _explained(self, self._address):
            self._attach()

    def _attach(self) -> None:
        """Set what is this end's own and connect or bind."""
        raise NotImplementedError

    def _shut(self, goodbye_s: float = 0.0) -> None:
        self._socket.close(linger=round(1000 * goodbye_s))
        self._context.term()

    def _reopen(self) -> None:
        self._shut()
        self._open()


class ActorSocket(_Socket):
    """A DEALER that connects, and reconnects for as long as it lives."""

    def __init__(
        self, address: str, *, keys: ActorKeys | None = None, insecure: bool = False, peer: str = "learner"
    ) -> None:
        """Connect to `address`.

        Args:
            address: Of the learner.
            keys: Our own pair and the learner's public key: the link is encrypted, and both know who the other is.
            insecure: Permit an address off this machine without keys.
            peer: What is there, for people: a learner, or what has its keys.

        Raises:
            LinkError: The address is malformed, or leaves the machine without keys and is not `insecure`.
        """
        require_secure(address, keyed=keys is not None, insecure=insecure)
        self._keys = keys
        self._peer = peer
        self._redial_s: float | None = None
        super().__init__(zmq.DEALER, address, limit_bytes=LIMITS.weights_bytes)

    def renew(self) -> None:
        """Replace the connection: after a protocol error, such as a flipped bit, ZeroMQ itself never tries again."""
        self._reopen()

    def send(self, data: bytes) -> bool:
        """Whether the message was taken; False where there is no connection or its queue is full."""
        try:
            self._socket.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self) -> bytes | None:
        """The next message, or None."""
        try:
            return self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def wait(self, timeout_s: float) -> None:
        """Wait until a message is there, `wake.set()` was called, a handshake ended, or the time is up."""
        super().wait(timeout_s)
        while self._handshakes.poll(0):
            self._note(recv_monitor_message(self._handshakes)["event"])
        if self._redial_s is not None and time.monotonic() >= self._redial_s:
            self._redial_s = None
            self._reopen()

    def _attach(self) -> None:
        # Without a connection nothing is queued: HELLO is repeated anyway and records wait in the outbox.
        self._socket.immediate = True
        self._socket.reconnect_ivl = _RECONNECT_MS
        self._socket.reconnect_ivl_max = _RECONNECT_MAX_MS
        if self._keys is not None:
            self._socket.curve_serverkey = decode_key(self._keys.learner, PUBLIC)
            self._socket.curve_publickey = decode_key(self._keys.own.public, PUBLIC)
            self._socket.curve_secretkey = decode_key(self._keys.own.private, PRIVATE)
        self._handshakes = self._socket.get_monitor_socket(_HANDSHAKES)
        self._poller.register(self._handshakes, zmq.POLLIN)
        self._socket.connect(self._address)

    def _shut(self, goodbye_s: float = 0.0) -> None:
        self._socket.disable_monitor()
        self._handshakes.close(0)
        super()._shut(goodbye_s)

    def _note(self, event: int) -> None:
        """Say what became of a handshake."""
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.trouble = ""
            return
        if event in _REFUSED:
            self._redial_s = time.monotonic() + _REDIAL_S
        if self._keys is None:
            text = f"what listens at {self._address} is no {self._peer}, or one that wants keys: set link.keys=<folder>"
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            own = self._keys.own
            cure = f"on its machine: handrail keys allow {own.name} {own.public}"
            text = f"the {self._peer} does not let this key in; {cure}"
        else:
            text = (
                f"what listens at {self._address} has not the key that {self._keys.own.name} trusts, or none: compare "
                "what handrail keys show says of the learner on both machines"
            )
        if text != self.trouble:
            self.trouble = text
            log.warning("handshake failed: %s", text)


class LearnerSocket(_Socket):
    """A ROUTER that binds. With keys it knows who sent each message; what a peer says of itself is never asked.

    ROUTER_HANDOVER stays off, so that no peer can take another's connection by naming its id: an actor that comes back
    is a new peer, and its HELLO says which stream it continues.
    """

    def __init__(self, address: str, *, keys: LearnerKeys | None = None, insecure: bool = False) -> None:
        """Bind to `address`.

        Args:
            address: Where to listen.
            keys: Our own pair and the list of whom to let in; everybody else is refused.
            insecure: Permit an address that others can reach without keys.

        Raises:
            LinkError: The address is malformed or in use, or open to others without keys and not `insecure`.
        """
        require_secure(address, keyed=keys is not None, insecure=insecure)
        self._keys = keys
        self._door: Door | None = None
        self._look_s = 0.0
        super().__init__(zmq.ROUTER, address, limit_bytes=LIMITS.record_bytes)

    @property
    def address(self) -> str:
        """Where it is bound, the port filled in where it was left open."""
        return self._address

    def send(self, peer: bytes, data: bytes) -> bool:
        """Whether the message was taken; False where the peer is gone or its queue is full."""
        try:
            self._socket.send_multipart((peer, data), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                return False
            raise
        return True

    def receive(self) -> Message | None:
        """The next message from somebody who is allowed, or None."""
        while True:
            try:
                peer, *parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return None
            data = parts[0].bytes if len(parts) == 1 else b""
            if self._door is None:
                return Message(peer.bytes, data, "")
            name = self._door.name_of(peer)
            if name is not None:
                return Message(peer.bytes, data, name)

    def wait(self, timeout_s: float) -> None:
        """Wait until a message is there, `wake.set()` was called, or the time is up; put out whoever was revoked.

        Raises:
            LinkError: The thread that checks keys has died; nobody is let in any more.
        """
        super().wait(timeout_s)
        if self._door is None:
            return
        if not self._door.alive:
            raise LinkError(
                "the thread that checks keys has died, so nobody is let in: start the learner again with resume=true"
            )
        if time.monotonic() >= self._look_s:
            self._look_s = time.monotonic() + REVOKE_S
            revoked = self._door.revoked()
            self.trouble = self._door.trouble
            if revoked:
                reason = self.trouble or "their keys are not allowed any more"
                log.warning("put out: %s: %s", ", ".join(revoked), reason)
                self._reopen()

    def _attach(self) -> None:
        self._socket.router_mandatory = True
        self._socket.backlog = _BACKLOG
        if self._keys is not None:
            self._door = Door(self._context, self._keys)
            self._door.guard(self._socket)
        self._socket.bind(self._address)
        self._address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def _shut(self, goodbye_s: float = 0.0) -> None:
        if self._door is not None:
            self._door.close()
        super()._shut(goodbye_s)


@contextlib.contextmanager
def _explained(owner: _Socket, address: str) -> Iterator[None]:
    """Close the socket and say what to do where ZeroMQ does not like the address."""
    try:
        yield
    except zmq.ZMQError as error:
        owner.close()
        if error.errno == zmq.EADDRINUSE:
            text = f"{address} is in use: another learner runs there; stop it, or set bind= to another port"
        elif error.errno in (zmq.EADDRNOTAVAIL, errno.ENODEV):
            text = f"{address} is no address of this machine: set bind=tcp://127.0.0.1:5555, or tcp://*:5555 for all"
        else:
            text = f"{address} is no address for the link ({error}): write tcp://<host>:<port>"
        raise LinkError(text) from None
