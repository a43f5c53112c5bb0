"""The service's side of the reward service, without sockets, threads or a clock."""

import math
from collections import OrderedDict, deque
from typing import NamedTuple

import numpy as np

from wire.codec import DecodeError, decode_observation
from wire.errors import plain
from wire.scoring import Introduce, Scored, Serving, ToClient, Unscored, decode_from_client, encode
from wire.types import Observation

QUEUED = 8
"""Questions of one client that a service keeps; the newest are the ones that a robot still waits for."""
PEERS = 256


class Question(NamedTuple):
    """One moment that a client wants to have judged."""

    peer: bytes
    number: int
    observation: Observation


class ScoreServer:
    """The service's side: `receive` what came, judge what `take` gives, send what `step` returns."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.dropped = 0
        """Messages that could not be decoded."""
        self.overtaken = 0
        """Questions that newer ones of the same client have pushed out."""
        self._queues: OrderedDict[bytes, deque[Question]] = OrderedDict()
        self._out: list[tuple[bytes, bytes]] = []

    def receive(self, peer: bytes, data: bytes) -> None:
        """Take one message in."""
        try:
            message = decode_from_client(data)
            if isinstance(message, Introduce):
                self._say(peer, self.serving)
                return
            observation = decode_observation(message.body)
        except DecodeError:
            self.dropped += 1
            return
        problem = self._problem(observation)
        if problem is not None:
            self._say(peer, Unscored(number=message.number, reason=problem))
            return
        queue = self._queues.setdefault(peer, deque())
        self._queues.move_to_end(peer)
        queue.append(Question(peer, message.number, observation))
        if len(queue) > QUEUED:
            self._overtake(queue.popleft())
        if len(self._queues) > PEERS:
            for question in self._queues.popitem(last=False)[1]:
                self._overtake(question)

    def take(self, most: int) -> list[Question]:
        """The next questions to judge, at most `most`, every client in its turn."""
        taken: list[Question] = []
        while len(taken) < most and self._queues:
            peer, queue = self._queues.popitem(last=False)
            taken.append(queue.popleft())
            if queue:
                self._queues[peer] = queue
        return taken

    def scored(self, question: Question, value: float, confidence: float, version: str) -> None:
        """Answer a question."""
        if not (math.isfinite(value) and math.isfinite(confidence)):
            self.unscored(question, "the model's answer is not finite")
            return
        answer = Scored(number=question.number, value=float(value), confidence=float(confidence), version=version)
        self._say(question.peer, answer)

    def unscored(self, question: Question, reason: str) -> None:
        """Say that a question will have no answer."""
        self._say(question.peer, Unscored(number=question.number, reason=reason))

    def step(self) -> list[tuple[bytes, bytes]]:
        """What to send now, and to whom."""
        out, self._out = self._out, []
        return out

    def _overtake(self, question: Question) -> None:
        self.overtaken += 1
        self.unscored(question, "overtaken by newer questions: the service is too slow for so many")

    def _say(self, peer: bytes, message: ToClient) -> None:
        self._out.append((peer, encode(message)))

    def _problem(self, observation: Observation) -> str | None:
        """Why the model cannot look at these."""
        for name, shape in self.serving.inputs.items():
            found = observation.get(name)
            if found is None:
                return f"the model looks at {name}, which was not sent; got {plain(', '.join(observation))}"
            if found.shape != shape or (len(shape) == 3) != (found.dtype == np.uint8):
                return f"{name} has shape {found.shape} and dtype {found.dtype}, the model looks at {shape}"
            if found.dtype.kind == "f" and not np.isfinite(found).all():
                return f"{name} holds a NaN or an infinity"
        return None
