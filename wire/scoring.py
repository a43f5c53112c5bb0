"""How a robot asks a reward model: typed, bounded messages. The two sides are in score_client.py and score_server.py.

INTRODUCE until SERVING, which says what the model looks at and when its scores mean success; then ASK, answered by
SCORED or UNSCORED. Nothing is repeated: a question that was lost, or whose answer comes too late, is one that nobody
answered, and the step's label comes later. Messages end with a CRC-32, as those of the link do.
"""

import math
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from wire.codec import LIMITS, Count
from wire.errors import UserError, plain
from wire.sealing import seal, unseal

PROTOCOL = 1
_REASON_CHARS = 1000


class ScoringError(UserError, ValueError):
    """A reward model and what it shall judge do not fit."""


class Gate(NamedTuple):
    """What must be so in any success, whatever the picture: one element of a vector lies between two bounds."""

    name: str
    """Of the observation, e.g. proprio."""
    element: int
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        bounds = [f">= {self.low:g}"] if self.low is not None else []
        bounds += [f"<= {self.high:g}"] if self.high is not None else []
        return f"{self.name}[{self.element}] {' and '.join(bounds)}"

    def fits(self, shape: tuple[int, ...] | None) -> bool:
        """Whether there is such an element in an observation of this shape; None: there is no such observation."""
        return shape is not None and len(shape) == 1 and 0 <= self.element < shape[0]

    def passes(self, observation: Mapping[str, np.ndarray]) -> bool:
        """Whether the bounds hold; raises ScoringError where the observation has no such element."""
        vector = observation.get(self.name)
        if vector is None or not self.fits(vector.shape):
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

_ENCODER = msgspec.msgpack.Encoder()
_FROM_CLIENT = msgspec.msgpack.Decoder(ToService)
_FROM_SERVICE = msgspec.msgpack.Decoder(ToClient)


def encode(message: ToService | ToClient) -> bytes:
    """The message as bytes."""
    return seal(_ENCODER.encode(message))


def decode_from_client(data: bytes) -> ToService:
    """The message a client sent; raises DecodeError on anything else."""
    return unseal(_FROM_CLIENT, data)


def decode_from_service(data: bytes) -> ToClient:
    """The message a service sent; raises DecodeError on anything else."""
    return unseal(_FROM_SERVICE, data)
