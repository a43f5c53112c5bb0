"""The only file that touches ZeroMQ: a DEALER for the actor, a ROUTER for the learner, a way to wake their threads.

A thread owns its socket. Nothing here blocks except `wait`, and what cannot be sent now is reported, never queued
without bound: the link repeats what matters.
"""

import contextlib
import errno
import ipaddress
import socket
import threading
from collections.abc import Iterator
from typing import Self

import zmq

from wire.codec import LIMITS
from wire.errors import UserError

_ENVELOPE_BYTES = 64 << 10
_HANDSHAKE_MS = 5000
_HEARTBEAT_MS = 2000
_RECONNECT_MS, _RECONNECT_MAX_MS = 50, 1000


class LinkError(UserError, OSError):
    """An address cannot be used; the text names the cure."""


class Wake:
    """Lets any thread end another thread's `wait` at once."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)

    def fileno(self) -> int:
        """What to poll."""
        return self._ours.fileno()

    def set(self) -> None:
        """End the wait that is going on, or the next one."""
        # A full buffer means that the wait will end anyway; a closed one that nobody waits any more.
        with contextlib.suppress(BlockingIOError, OSError):
            self._theirs.send(b"\0")

    def clear(self) -> None:
        """Be ready for the next `set`."""
        with contextlib.suppress(BlockingIOError):
            self._ours.recv(4096)

    def close(self) -> None:
        """Give the two descriptors back."""
        self._ours.close()
        self._theirs.close()


class Bell:
    """Rings a Wake from a thread that must not wait, not even for the interpreter.

    Writing to a descriptor releases the interpreter's lock, and getting it back can take milliseconds while other
    threads compute. Releasing a lock of our own does not: a thread that waits for it does the writing.
    """

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._rung = threading.Lock()
        self._rung.acquire()
        self._closed = False
        self._thread = threading.Thread(target=self._relay, name="bell", daemon=True)
        self._thread.start()

    def ring(self) -> None:
        """Wake the waiter soon; a microsecond."""
        # The lock is free where somebody has just rung and the relay has not answered yet.
        with contextlib.suppress(RuntimeError):
            self._rung.release()

    def close(self) -> None:
        """End the relay, before its Wake is closed."""
        self._closed = True
        self.ring()
        self._thread.join()

    def _relay(self) -> None:
        while not self._closed:
            self._rung.acquire()
            self._wake.set()


class _Socket:
    """What both ends have in common."""

    def __init__(self, kind: int, address: str, *, insecure: bool, limit_bytes: int) -> None:
        require_secure(address, insecure=insecure)
        self.wake = Wake()
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(kind)
        self._socket.linger = 0
        self._socket.maxmsgsize = limit_bytes + _ENVELOPE_BYTES
        self._socket.handshake_ivl = _HANDSHAKE_MS
        self._socket.heartbeat_ivl = _HEARTBEAT_MS
        self._socket.heartbeat_timeout = 2 * _HEARTBEAT_MS
        self._socket.ipv6 = "[" in address
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self.wake.fileno(), zmq.POLLIN)

    def wait(self, timeout_s: float) -> None:
        """Wait until a message is there, `wake.set()` was called, or the time is up."""
        for source, _ in self._poller.poll(max(0, round(1000 * timeout_s))):
            if source == self.wake.fileno():
                self.wake.clear()

    def close(self, goodbye_s: float = 0.0) -> None:
        """Close, giving what was sent last up to `goodbye_s` to leave."""
        self._socket.close(linger=round(1000 * goodbye_s))
        self._context.term()
        self.wake.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ActorSocket(_Socket):
    """A DEALER that connects, and reconnects for as long as it lives."""

    def __init__(self, address: str, *, insecure: bool = False) -> None:
        """Connect to `address`; raises LinkError where it is malformed, or leaves the machine and not `insecure`."""
        super().__init__(zmq.DEALER, address, insecure=insecure, limit_bytes=LIMITS.weights_bytes)
        # Without a connection nothing is queued: HELLO is repeated anyway and records wait in the outbox.
        self._socket.immediate = True
        self._socket.reconnect_ivl = _RECONNECT_MS
        self._socket.reconnect_ivl_max = _RECONNECT_MAX_MS
        self._address = address
        with _explained(self, address):
            self._socket.connect(address)

    def renew(self) -> None:
        """Replace the connection: after a protocol error, such as a flipped bit, ZeroMQ itself never tries again."""
        with contextlib.suppress(zmq.ZMQError):
            self._socket.disconnect(self._address)
        self._socket.connect(self._address)

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


class LearnerSocket(_Socket):
    """A ROUTER that binds. A peer is the connection's own random id, so no peer can take another's place by naming it.

    ROUTER_HANDOVER stays off for that reason: an actor that comes back is a new peer, and its HELLO says which stream
    it continues.
    """

    def __init__(self, address: str, *, insecure: bool = False) -> None:
        """Bind to `address`; raises LinkError where it is malformed or in use, or open to others and not `insecure`."""
        super().__init__(zmq.ROUTER, address, insecure=insecure, limit_bytes=LIMITS.record_bytes)
        self._socket.router_mandatory = True
        with _explained(self, address):
            self._socket.bind(address)
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """Where it is bound, the port filled in where `address` left it open."""

    def send(self, peer: bytes, data: bytes) -> bool:
        """Whether the message was taken; False where the peer is gone or its queue is full."""
        try:
            self._socket.send_multipart((peer, data), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                return False
            raise
        return True

    def receive(self) -> tuple[bytes, bytes] | None:
        """The next message as (peer, bytes), or None. One that is not a single part comes as empty bytes."""
        try:
            peer, *parts = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return peer, parts[0] if len(parts) == 1 else b""


def require_secure(address: str, *, insecure: bool) -> None:
    """Raise LinkError where an address that is not protected would leave this machine."""
    if not insecure and not _is_local(address):
        raise LinkError(
            f"{address} leaves this machine and the link is neither encrypted nor authenticated: set link.insecure=true"
            " on a network you trust, or bind tcp://127.0.0.1 and forward the port with ssh"
        )


def _is_local(address: str) -> bool:
    scheme, _, rest = address.partition("://")
    if scheme in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
