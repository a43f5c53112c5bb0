"""The thread behind a question that must not wait: it owns the socket, and who asks waits as long as he wants to."""

import logging
import threading
import time
from typing import Generic, Protocol, TypeVar

from wire.keys import ActorKeys
from wire.sockets import ActorSocket
from wire.wake import Bell

log = logging.getLogger(__name__)

TICK_S = 0.1
"""How often somebody who waits looks up, whatever happens."""


class Conversation(Protocol):
    """What is said, without a socket or a clock."""

    def receive(self, data: bytes, now_s: float, /) -> None:
        """Take a message in."""
        ...

    def step(self, now_s: float, /) -> list[bytes]:
        """What is to go out now."""
        ...


C = TypeVar("C", bound=Conversation)


class Asker(Generic[C]):
    """A conversation over one socket, kept up by a thread of its own; `_news` guards it and tells that some came."""

    def __init__(self, client: C, address: str, *, peer: str, keys: ActorKeys | None, insecure: bool) -> None:
        """Prepare only; `start` opens the socket.

        Args:
            client: What is said.
            address: Of whoever answers, tcp://host:port.
            peer: Who that is, for people.
            keys: Ours and the answerer's, for a link that is encrypted and knows who is who.
            insecure: Allow an address off this machine without keys.
        """
        self.address, self._peer = address, peer
        self._keys, self._insecure = keys, insecure
        self._client = client
        self._news = threading.Condition()
        self._stop = self._dead = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the socket and start the thread; raises LinkError where the address cannot be used."""
        self._socket = ActorSocket(self.address, keys=self._keys, insecure=self._insecure, peer=self._peer)
        self._bell = Bell(self._socket.wake)
        self._thread = threading.Thread(target=self._run, name=self._peer, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; safe to call twice."""
        if self._thread is None or self._stop:
            return
        self._stop = True
        self._bell.ring()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop:
                self._turn()
                self._socket.wait(TICK_S)
        except Exception:
            # The robot goes on, or holds, as it does without answers, and that is said with every episode.
            log.exception("the link to the %s died", self._peer)
        finally:
            with self._news:
                self._dead = True
                self._news.notify_all()
            self._bell.close()
            self._socket.close()

    def _turn(self) -> None:
        now_s = time.monotonic()
        with self._news:
            while (data := self._socket.receive()) is not None:
                self._client.receive(data, now_s)
                self._news.notify_all()
            out = self._client.step(now_s)
        for data in out:
            self._socket.send(data)  # What does not go out now has no answer in time.
