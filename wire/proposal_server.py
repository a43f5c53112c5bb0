"""The side of whoever serves a policy: the protocol without sockets, and over it `serve_policy`, all that is needed.

    offer = Offer(name="octo-small", observation={"front": Seen((128, 128, 3), "uint8")}, action=7, chunk=4,
                  candidates=50)
    serve_policy(offer, propose, "tcp://127.0.0.1:5557")

where `propose(observation, candidates, begins)` returns an array (candidates, chunk, action). It runs with whatever
computes the policy (torch, say) in its own process and environment: this package needs numpy, msgspec and pyzmq alone.
"""

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from wire.allowed import LearnerKeys
from wire.codec import DecodeError, decode_observation
from wire.proposing import (
    Declined,
    Introduce,
    Offer,
    Proposed,
    ToRobot,
    decode_actions,
    decode_from_robot,
    encode,
    encode_actions,
    unseen,
)
from wire.sockets import LearnerSocket
from wire.types import Observation

log = logging.getLogger(__name__)

PEERS = 64
_TICK_S = 0.05

Proposer = Callable[[Observation, int, bool], np.ndarray]
"""(observation, candidates, begins) -> proposals (1..candidates, chunk, n) in -1..1; see wire.proposing.Propose."""


class Question(NamedTuple):
    """One moment that a robot wants proposals for."""

    peer: bytes
    number: int
    candidates: int
    begins: bool
    observation: Observation


class ProposalServer:
    """`receive` what came, answer what `take` gives, send what `step` returns."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.dropped = 0
        """Messages that could not be decoded."""
        self._waiting: OrderedDict[bytes, Question] = OrderedDict()
        self._out: list[tuple[bytes, bytes]] = []

    def receive(self, peer: bytes, data: bytes) -> None:
        """Take one message in. A robot that asks anew has given up what it asked before."""
        try:
            message = decode_from_robot(data)
            if isinstance(message, Introduce):
                self._say(peer, self.offer)
                return
            observation = decode_observation(message.body)
        except DecodeError:
            self.dropped += 1
            return
        problem = unseen(self.offer, observation)
        if problem is not None:
            self._say(peer, Declined(number=message.number, reason=problem))
            return
        candidates = min(message.candidates, self.offer.candidates)
        earlier = self._waiting.get(peer)
        # That a plan is void stays true of the question that takes the unanswered one's place.
        begins = message.begins or (earlier is not None and earlier.begins)
        self._waiting[peer] = Question(peer, message.number, candidates, begins, observation)
        if len(self._waiting) > PEERS:
            self._waiting.popitem(last=False)

    def take(self) -> Question | None:
        """The next question, every robot in its turn; None: there is none."""
        return self._waiting.popitem(last=False)[1] if self._waiting else None

    def propose(self, question: Question, actions: np.ndarray) -> None:
        """Answer a question; what is not as was offered is declined, and says so."""
        body = encode_actions(actions)
        try:
            decode_actions(body, self.offer)
        except DecodeError as error:
            self.decline(question, str(error))
            return
        self._say(question.peer, Proposed(number=question.number, body=body))

    def decline(self, question: Question, reason: str) -> None:
        """Say that a question will have no answer."""
        self._say(question.peer, Declined(number=question.number, reason=reason[:2000]))

    def step(self) -> list[tuple[bytes, bytes]]:
        """What to send now, and to whom."""
        out, self._out = self._out, []
        return out

    def _say(self, peer: bytes, message: ToRobot) -> None:
        self._out.append((peer, encode(message)))


def serve_policy(
    offer: Offer,
    propose: Proposer,
    bind: str,
    *,
    keys: LearnerKeys | None = None,
    insecure: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = log.info,
) -> None:
    """Answer robots until `stopped` says so. What `propose` raises is logged, and told to the robot, which holds.

    Args:
        offer: What is served.
        propose: The policy.
        bind: Where to listen, tcp://host:port.
        keys: Ours, and the list of the robots to let in; wanted wherever others can reach the address.
        insecure: Allow listening off this machine without keys.
        stopped: Asked between two answers.
        say: Told where it listens.

    Raises:
        LinkError: The address cannot be used.
    """
    server = ProposalServer(offer)
    with contextlib.closing(LearnerSocket(bind, keys=keys, insecure=insecure)) as socket:
        say(f"{offer.name} proposes at {socket.address}")
        while not stopped():
            while (message := socket.receive()) is not None:
                server.receive(message.peer, message.data)
            question = server.take()
            if question is not None:
                _answer(server, question, propose)
            out = server.step()
            for peer, data in out:
                socket.send(peer, data)
            socket.wait(0.0 if question is not None or out else _TICK_S)


def _answer(server: ProposalServer, question: Question, propose: Proposer) -> None:
    try:
        server.propose(question, np.asarray(propose(question.observation, question.candidates, question.begins)))
    except Exception as error:
        # Somebody else's code: whatever it stumbles over, the robot is to hear of it.
        log.exception("the policy failed")
        server.decline(question, f"the policy failed: {type(error).__name__}: {error}")
