"""The robot's end of a policy that is served elsewhere: a thread with the socket, and who waits for answers."""

import time

import numpy as np

from wire.asking import TICK_S, Asker
from wire.keys import ActorKeys
from wire.proposal_client import ProposalClient
from wire.proposing import Declined, Offer
from wire.types import Observation


class PolicyLink(Asker[ProposalClient]):
    """Asks for proposals from one thread, which never waits longer than it wants to."""

    def __init__(self, address: str, *, keys: ActorKeys | None = None, insecure: bool = False) -> None:
        """Prepare only, see `Asker`; the policy answers with the learner's key."""
        super().__init__(ProposalClient(), address, peer="served policy", keys=keys, insecure=insecure)

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
                self._news.wait(min(left_s, TICK_S))
            return answer
