"""How a robot asks a reward model, without sockets, threads or a clock: typed, bounded messages and both sides of it.

INTRODUCE until SERVING, which says what the model looks at and when its scores mean success; then ASK, answered by
SCORED or UNSCORED. Nothing is repeated: a question that was lost, or whose answer comes too late, is one that nobody
answered, and the step's label comes later. Messages end with a CRC-32, as those of the link do.
"""

import math
import zlib
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Annotated, NamedTuple, TypeVar

import msgspec
import numpy as np

from wire.codec import LIMITS, MALFORMED, Count, DecodeError, decode_observation, encode_observation
from wire.errors import UserError, plain
from wire.types import Observation

PROTOCOL = 1
INTRODUCE_S = 0.5
"""Between two attempts to learn who is serving."""
AWAY_S = 1.0
"""A service that leaves questions unanswered for so long is away: it is asked on, and not waited for."""
ASKED = 64
"""Questions of which a client still expects an answer; older ones are given up."""
QUEUED = 8
"""Questions of one client that a service keeps; the newest are the ones that a robot still waits for."""
PEERS = 256
_REASON_CHARS = 1000
_CRC_BYTES = 4


class ScoringError(UserError, ValueError):
    """A reward model and what it shall judge do not fit."""


class Gate(NamedTuple):
    """What must be so in any success, whatever the picture: one element of a vector lies between two bounds."""

    name: str
    """Of the observation, e.g. proprio."""
    element: int
    low: float | None = None
    high: float | None = None

    def passes(self, observation: Mapping[str, np.ndarray]) -> bool:
        """Whether the bounds hold; raises ScoringError where the observation has no such element."""
        vector = observation.get(self.name)
        if vector is None or vector.ndim != 1 or not 0 <= self.element < len(vector):
            raise ScoringError(f"the gate looks at {self.name}[{self.element}], which these observations do not have")
        value = float(vector[self.element])
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class Rule(NamedTuple):
    """When probabilities mean success: `k` of the last `n` moments are at or above `threshold`, the gate open."""

    threshold: float
    k: int = 1
    n: int = 1
    gate: Gate | None = None

    def problem(self) -> str | None:
        """What is wrong with it, or None."""
        if not 0 < self.threshold < 1:
            return f"threshold must be in 0..1 (both excluded), got {self.threshold}"
        if not 1 <= self.k <= self.n <= 100:
            return f"k of n must be 1 <= k <= n <= 100, got {self.k} of {self.n}"
        bounds = () if self.gate is None else (self.gate.low, self.gate.high)
        if any(bound is not None and not math.isfinite(bound) for bound in bounds):
            return f"the gate's bounds must be finite, got {bounds}"
        return None


_Version = Annotated[str, msgspec.Meta(min_length=1, max_length=LIMITS.name_bytes)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LIMITS.name_bytes)]
_Body = Annotated[bytes, msgspec.Meta(max_length=LIMITS.record_bytes)]
_Shape = Annotated[tuple[Count, ...], msgspec.Meta(max_length=LIMITS.rank)]
_Inputs = Annotated[dict[_Name, _Shape], msgspec.Meta(min_length=1, max_length=LIMITS.arrays)]


class _Message(msgspec.Struct, kw_only=True, tag=True):
    pass


class Introduce(_Message):
    """Client: what are you?"""

    protocol: Count


class Ask(_Message):
    """Client: is this a success? `number` counts the client's questions."""

    number: Count
    body: _Body
    """By `encode_observation`."""


class Serving(_Message):
    """Service: the model that answers from now on."""

    protocol: Count
    version: _Version
    inputs: _Inputs
    """Name of an observation -> its shape: what to send."""
    rule: Rule

    def __post_init__(self) -> None:
        self.version = plain(self.version)
        problem = self.rule.problem()
        if problem is not None:
            raise ValueError(problem)


class Scored(_Message):
    """Service: the answer."""

    number: Count
    value: float
    confidence: float
    version: _Version

    def __post_init__(self) -> None:
        self.version = plain(self.version)
        if not (math.isfinite(self.value) and math.isfinite(self.confidence)):
            raise ValueError(f"a score of {self.value} with confidence {self.confidence}")


class Unscored(_Message):
    """Service: no answer, and why."""

    number: Count
    reason: Annotated[str, msgspec.Meta(max_length=LIMITS.text_bytes)]

    def __post_init__(self) -> None:
        self.reason = plain(self.reason, _REASON_CHARS)


ToService = Introduce | Ask
ToClient = Serving | Scored | Unscored

_T = TypeVar("_T")
_ENCODER = msgspec.msgpack.Encoder()
_FROM_CLIENT = msgspec.msgpack.Decoder(ToService)
_FROM_SERVICE = msgspec.msgpack.Decoder(ToClient)


def encode(message: ToService | ToClient) -> bytes:
    """The message as bytes."""
    return seal(_ENCODER.encode(message))


def seal(payload: bytes) -> bytes:
    """The payload with its checksum."""
    return payload + zlib.crc32(payload).to_bytes(_CRC_BYTES, "little")


def decode_from_client(data: bytes) -> ToService:
    """The message a client sent; raises DecodeError on anything else."""
    return _decode(_FROM_CLIENT, data)


def decode_from_service(data: bytes) -> ToClient:
    """The message a service sent; raises DecodeError on anything else."""
    return _decode(_FROM_SERVICE, data)


def _decode(decoder: "msgspec.msgpack.Decoder[_T]", data: bytes) -> _T:
    payload = memoryview(data)[:-_CRC_BYTES]
    if zlib.crc32(payload) != int.from_bytes(data[-_CRC_BYTES:], "little"):
        raise DecodeError("not a message: it fails its checksum")
    try:
        return decoder.decode(payload)
    except MALFORMED as error:
        raise DecodeError(f"not a message: {plain(error)}") from None


class ScoreClient:
    """The robot's side: `receive` what came, send what `step` returns, again and again; `ask` in between."""

    def __init__(self) -> None:
        self.serving: Serving | None = None
        """What answers; None while nobody has said."""
        self.detail = "no reward service has answered yet"
        self.dropped = 0
        """Messages that could not be decoded."""
        self._newest = 0
        self._out: deque[bytes] = deque(maxlen=QUEUED)
        self._asked: OrderedDict[int, float] = OrderedDict()
        self._answers: OrderedDict[int, Scored | Unscored] = OrderedDict()
        self._heard_s = self._introduce_s = -math.inf

    def live(self, now_s: float) -> bool:
        """Whether an answer may be waited for: somebody serves, and has left no question open for long."""
        if self.serving is None:
            return False
        oldest_s = next(iter(self._asked.values()), now_s)
        return now_s - max(self._heard_s, oldest_s) < AWAY_S

    def ask(self, observation: Observation, now_s: float) -> int | None:
        """Ask for a score of these; returns the question's number, or None while nobody serves."""
        if self.serving is None or not self.serving.inputs.keys() <= observation.keys():
            return None
        self._newest += 1
        self._asked[self._newest] = now_s
        while len(self._asked) > ASKED:
            self._asked.popitem(last=False)
        wanted = {name: observation[name] for name in self.serving.inputs}
        self._out.append(encode(Ask(number=self._newest, body=encode_observation(wanted))))
        return self._newest

    def answer(self, number: int) -> Scored | Unscored | None:
        """The answer to a question, once; None: not there."""
        return self._answers.pop(number, None)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take one message in; what is malformed is counted in `dropped` and named in `detail`."""
        try:
            message = decode_from_service(data)
        except DecodeError as error:
            self.dropped += 1
            self.detail = str(error)
            return
        self._heard_s = now_s
        if isinstance(message, Serving):
            if message.protocol != PROTOCOL:
                self.detail = f"the service speaks protocol {message.protocol}, wanted {PROTOCOL}: run the same version"
                return
            self.serving, self.detail = message, ""
            return
        if self._asked.pop(message.number, None) is None:
            return  # Given up, or never asked.
        if isinstance(message, Unscored):
            self.detail = message.reason
        self._answers[message.number] = message
        while len(self._answers) > ASKED:
            self._answers.popitem(last=False)

    def step(self, now_s: float) -> list[bytes]:
        """What to send now."""
        if not self.live(now_s) and now_s - self._introduce_s >= INTRODUCE_S:
            # A service that was started again may have another model.
            self._introduce_s = now_s
            self._out.append(encode(Introduce(protocol=PROTOCOL)))
        found = list(self._out)
        self._out.clear()
        return found


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
