"""The learner's door: ZeroMQ asks it of every peer whether that peer's key may come in (ZAP, RFC 27).

The asking and answering is pyzmq's own authenticator, in a thread. `ZAP_ENFORCE_DOMAIN` makes ZeroMQ refuse everybody
where nobody answers: if this thread dies, the door is shut.
"""

import logging
import time

import zmq
from zmq.auth import Authenticator
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

from wire.allowed import LearnerKeys
from wire.keys import PRIVATE, PUBLIC, decode_key, encode_key

log = logging.getLogger(__name__)

_DOMAIN = "handrail"
_USER_ID = "User-Id"
_SAY_S = 1.0


class _KeyedAuthenticator(ThreadAuthenticator):
    """Marks every message with its sender's public key, as text."""

    def curve_user_id(self, client_public_key: bytes) -> str:
        return encode_key(client_public_key, PUBLIC)


class Door:
    """Lets in who is on the list, as it is on disk at that moment."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", keys: LearnerKeys) -> None:
        self.refused = 0
        """How often a key was turned away."""
        self._keys = keys
        self._admitted: dict[str, str] = {}
        self._said_s = float("-inf")
        self._authenticator = _KeyedAuthenticator(context)
        self._authenticator.configure_curve_callback(_DOMAIN, self)
        self._authenticator.start()

    def guard(self, socket: "zmq.Socket[bytes]") -> None:
        """Make a socket, before it is bound, ask at this door."""
        socket.curve_server = True
        socket.curve_publickey = decode_key(self._keys.own.public, PUBLIC)
        socket.curve_secretkey = decode_key(self._keys.own.private, PRIVATE)
        socket.zap_domain = _DOMAIN.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    @property
    def alive(self) -> bool:
        """Whether anybody answers."""
        return self._authenticator.is_alive()

    @property
    def trouble(self) -> str:
        """Why nobody is let in; empty where the list can be read."""
        return self._keys.allowed.problem

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a key, in Z85, may come in: pyzmq calls this in its thread."""
        public = encode_key(z85.decode(key), PUBLIC)
        allowed = self._keys.allowed
        allowed.refresh()
        name = allowed.names.get(public)
        if name is None:
            self.refused += 1
            # Anybody can knock as often as they like; the log must not grow at their pace.
            if time.monotonic() - self._said_s >= _SAY_S:
                self._said_s = time.monotonic()
                cure = allowed.problem or f"to let it in: handrail keys allow <name> {public}"
                log.warning("key refused (%d so far); %s", self.refused, cure)
            return False
        self._admitted[public] = name
        return True

    def name_of(self, frame: zmq.Frame) -> str | None:
        """Who sent this, by the key of the connection; None where that key is not allowed (any more)."""
        return self._keys.allowed.names.get(str(frame.get(_USER_ID)))

    def revoked(self) -> list[str]:
        """Read the list again; the names of those who were let in and would not be now."""
        self._keys.allowed.refresh()
        names = self._keys.allowed.names
        return sorted(name for public, name in tuple(self._admitted.items()) if names.get(public) != name)

    def close(self) -> None:
        """End the thread."""
        if self.alive:
            self._authenticator.stop()
            return
        # Nobody reads the other end of the pipe through which stop() would speak, so it would wait for ever.
        if self._authenticator.pipe is not None:
            self._authenticator.pipe.close(0)
            self._authenticator.pipe = None  # type: ignore[assignment]
        Authenticator.stop(self._authenticator)
