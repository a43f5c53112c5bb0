"""The robot's end of a policy that is served elsewhere: a thread with the socket, and who waits for answers."""

import logging
import threading
import time

import numpy as np

from wire.keys import ActorKeys
from wire.proposal_client import ProposalClient
from wire.proposing import Declined, Offer
from wire.sockets import ActorSocket
from wire.types import Observation
from wire.wake import Bell

log = logging.getLogger(__name__)

_TICK_S = 0.1


class PolicyLink:
    """Asks for proposals from one thread, which never waits longer than it wants to."""

    def __init__(self, address: str, *, keys: ActorKeys | None = None, insecure: bool = False) -> None:
        """Prepare only; `start` opens the socket.

        Args:
            address: Of the policy, tcp://host:port.
            keys: Ours and the learner's, which is also that of whoever serves the policy.
            insecure: Allow an address off this machine without keys.
        """
        self.address = address
        self._keys, self._insecure = keys, insecure
        self._client = ProposalClient()
        self._news = threading.Condition()
        self._stop = self._dead = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the socket and start the thread; raises LinkError where the address cannot be used."""
        self._socket = ActorSocket(self.address, keys=self._keys, insecure=self._insecure, peer="served policy")
        self._bell = Bell(self._socket.wake)
        self._thread = threading.Thread(target=self._run, name="policy link", daemon=True)
        self._thread.start()

    @property
    def offer(self) -> Offer | None:
        """What is served; None while nobody has said."""
        with self._news:
            return self._client.offer

    @property
    def away(self) -> bool:
        """Whether nobody is heard."""
        with self._news:
            return self._client.away or self._dead

    @property
    def detail(self) -> str:
        """What is amiss, for people."""
        with self._news:
            return self._socket.trouble or self._client.detail or f"answers take {self._client.answer_s:.2g} s"

    def propose(
        self, observation: Observation, *, candidates: int, begins: bool, timeout_s: float, patient: bool = False
    ) -> np.ndarray | Declined | None:
        """Proposals, float32 (candidates, chunk, n), or why there are none; None: there was no answer in time.

        While nobody is heard only the `patient` wait.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._news:
            client = self._client
            if client.offer is None or self._dead:
                return None
            waits = patient or not client.away
            client.ask(observation, time.monotonic(), candidates=candidates, begins=begins)
        self._bell.ring()
        with self._news:
            while (answer := client.answer()) is None:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not waits or self._stop or self._dead:
                    client.give_up()
                    return None
                self._news.wait(min(left_s, _TICK_S))
            return answer

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
                self._socket.wait(_TICK_S)
        except Exception:
            # The robot holds without proposals, and says so.
            log.exception("the link to the policy died")
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
