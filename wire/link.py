"""What the two sides say to each other, and how steps cross: typed, bounded, and nothing else is understood.

HELLO until WELCOME(last_seq); then records within the learner's credit, each taken only if it follows the last one;
ACK after the commit. Whatever the network drops, repeats, reorders or cuts, the learner's disk says where to go on:
a gap, a stall or a new connection leads back to WELCOME, and a record that is there already is only acknowledged again.
A message ends with a CRC-32: what was damaged on the way is dropped and comes again. A damaged record in a message that
is whole was damaged at its source, and is stepped over.

A record says which seq it comes `after`: the previous one in the outbox. Usually that is seq - 1. It is less where
the outbox skips numbers (after a power cut, so as not to give one out twice) or another archive took those between.
"""

from typing import Annotated, Literal

import msgspec

from wire.codec import LIMITS, Count
from wire.errors import plain
from wire.sealing import seal, unseal

PROTOCOL = 1
HEARTBEAT_S = 0.5
AWAY_S = 5.0
"""A peer that was silent for so long is taken to be away."""
STALL_S = 2.0
"""Records unacknowledged for so long make the actor ask again where the learner stands."""
HELLO_S, HELLO_MAX_S, REFUSED_S = 0.1, 2.0, 5.0
RENEW_S = 6.0
"""After so long a silence the actor's connection may be dead without saying so, and is replaced."""
GAP_S = 0.25
"""One WELCOME answers all the records behind a gap that were on their way together."""
CREDIT_RECORDS = 32
CREDIT_BYTES = LIMITS.record_bytes
STREAMS = 256
REASON_CHARS = 4096
"""A reason is for people: it is cut to so much, and made printable, where it is made and where it arrives."""

LinkState = Literal["connecting", "connected", "away", "refused", "finished"]


_Text = Annotated[str, msgspec.Meta(max_length=LIMITS.text_bytes)]
_Version = Annotated[str, msgspec.Meta(max_length=64)]
_Body = Annotated[bytes, msgspec.Meta(max_length=LIMITS.record_bytes)]
_WeightsBody = Annotated[bytes, msgspec.Meta(max_length=LIMITS.weights_bytes)]
StreamId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$", max_length=32)]


class _Message(msgspec.Struct, kw_only=True, tag=True):
    pass


class _Reason(_Message):
    reason: _Text

    def __post_init__(self) -> None:
        self.reason = plain(self.reason, REASON_CHARS)


class Hello(_Message):
    """Actor: who I am and what my steps look like."""

    protocol: Count
    stream: StreamId
    spec: _Text
    """The EnvSpec as JSON text."""
    software: _Version

    def __post_init__(self) -> None:
        self.software = plain(self.software)


class Record(_Message):
    """Actor: one encoded step. `after` is the seq before it: whatever lies between is not in the outbox."""

    after: Count
    seq: Count
    body: _Body


class Ready(_Message):
    """Actor: I am done with weights `version` (0: have none) and can take another set."""

    version: Count


class Ping(_Message):
    """Actor: I am here, though I have nothing to say."""


class Goodbye(_Message):
    """Actor: I am leaving; all that I had is acknowledged, or waits in my outbox."""


class Welcome(_Message):
    """Learner: `last_seq` is the newest on my disk; go on after it, with so much at most unacknowledged."""

    run: _Version
    last_seq: Count
    credit_records: Count
    credit_bytes: Count

    def __post_init__(self) -> None:
        self.run = plain(self.run)


class Refused(_Reason):
    """Learner: I cannot take your steps, and why: one of us must be set up otherwise."""


class NotNow(_Reason):
    """Learner: I cannot take your steps at present, and why: keep them and ask again."""


class Ack(_Message):
    """Learner: everything up to `last_seq` is on my disk; training has yet to consume `backlog` archived steps."""

    last_seq: Count
    credit_records: Count
    credit_bytes: Count
    backlog: Count
    awaits_ready: bool = False
    """No weights come before the actor says Ready. If it has said so, that was lost, or the weights were."""


class Rejected(_Message):
    """Learner: this one record is damaged or does not fit the spec; I have stepped over it."""

    seq: Count
    reason: _Text

    def __post_init__(self) -> None:
        self.reason = plain(self.reason, REASON_CHARS)


class WeightsSet(_Message):
    """Learner: the newest encoded weights, under a number that no other set has."""

    version: Count
    body: _WeightsBody


class Finished(_Reason):
    """Learner: the run is over; stop, and hand over what you still have."""


class WhoAreYou(_Message):
    """Learner: I do not know you (I was restarted, or the connection was): say Hello."""


ToLearner = Hello | Record | Ready | Ping | Goodbye
ToActor = Welcome | Refused | NotNow | Ack | Rejected | WeightsSet | Finished | WhoAreYou

_ENCODER = msgspec.msgpack.Encoder()
_FROM_ACTOR = msgspec.msgpack.Decoder(ToLearner)
_FROM_LEARNER = msgspec.msgpack.Decoder(ToActor)


def encode(message: ToLearner | ToActor) -> bytes:
    """The message as bytes."""
    return seal(_ENCODER.encode(message))


def decode_from_actor(data: bytes) -> ToLearner:
    """The message an actor sent; raises DecodeError on anything else."""
    return unseal(_FROM_ACTOR, data)


def decode_from_learner(data: bytes) -> ToActor:
    """The message a learner sent; raises DecodeError on anything else."""
    return unseal(_FROM_LEARNER, data)
