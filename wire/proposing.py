"""How a robot asks a policy that is served elsewhere: typed, bounded messages between proposal_client and -_server.

INTRODUCE until OFFER, which says what the policy looks at and what it gives; then PROPOSE, answered by PROPOSED,
several action chunks to choose from, or DECLINED. Nothing is repeated: a question that was lost, or whose answer comes
too late, is one that nobody answered, and the robot holds meanwhile. Messages end with a CRC-32, as those of the link.
"""

from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from wire.codec import DTYPES, LIMITS, Count, DecodeError, decode_observation, encode_observation
from wire.errors import UserError, plain
from wire.sealing import seal, unseal
from wire.specs import EnvSpec
from wire.types import Observation

PROTOCOL = 1
MOST_CANDIDATES, MOST_CHUNK, MOST_DIMENSIONS = 1024, 1024, 256
_REASON_CHARS = 1000
_ACTIONS = "actions"


class PolicyMisfit(UserError, ValueError):
    """A policy that is served elsewhere cannot drive this environment; the text names what differs and the cure."""


class Seen(NamedTuple):
    """One array that a policy looks at."""

    shape: tuple[int, ...]
    dtype: str


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LIMITS.name_bytes)]
_Body = Annotated[bytes, msgspec.Meta(max_length=LIMITS.record_bytes)]
_Seen = Annotated[dict[_Name, Seen], msgspec.Meta(min_length=1, max_length=LIMITS.arrays)]
_Names = Annotated[tuple[_Name, ...], msgspec.Meta(max_length=MOST_DIMENSIONS)]


class _Message(msgspec.Struct, kw_only=True, tag=True):
    pass


class Introduce(_Message):
    """Client: what are you?"""

    protocol: Count


class Propose(_Message):
    """Client: what would you do? `number` counts the client's questions."""

    number: Count
    candidates: Annotated[int, msgspec.Meta(ge=1, le=MOST_CANDIDATES)]
    """At most so many."""
    begins: bool
    """Whatever was planned is void: an episode begins, somebody took over, or the robot held."""
    body: _Body
    """By `encode_observation`."""


class Offer(_Message):
    """Server: the policy that answers from now on."""

    name: _Name
    """For people: what it is, which version."""
    observation: _Seen
    """Name -> shape and dtype: what to send."""
    action: Annotated[int, msgspec.Meta(ge=1, le=MOST_DIMENSIONS)]
    """Length of an action."""
    protocol: Count = PROTOCOL
    chunk: Annotated[int, msgspec.Meta(ge=1, le=MOST_CHUNK)] = 1
    """Actions in one proposal, one a control period."""
    candidates: Annotated[int, msgspec.Meta(ge=1, le=MOST_CANDIDATES)] = 1
    """The most proposals that one answer may hold."""
    action_names: _Names = ()
    """Of the action's entries; empty: not said, and not compared."""
    rate_hz: float | None = None
    """Control rate that the policy is made for; None: not said."""

    def __post_init__(self) -> None:
        self.name = plain(self.name)
        strange = [seen.dtype for seen in self.observation.values() if seen.dtype not in DTYPES]
        if strange:
            raise ValueError(f"dtype {plain(strange[0])} is not one of {', '.join(DTYPES)}")


class Proposed(_Message):
    """Server: the answer."""

    number: Count
    body: _Body
    """By `encode_actions`."""


class Declined(_Message):
    """Server: no answer, and why."""

    number: Count
    reason: Annotated[str, msgspec.Meta(max_length=LIMITS.text_bytes)]

    def __post_init__(self) -> None:
        self.reason = plain(self.reason, _REASON_CHARS)


ToServer = Introduce | Propose
ToRobot = Offer | Proposed | Declined

_ENCODER = msgspec.msgpack.Encoder()
_FROM_ROBOT = msgspec.msgpack.Decoder(ToServer)
_FROM_SERVER = msgspec.msgpack.Decoder(ToRobot)


def encode(message: ToServer | ToRobot) -> bytes:
    """The message as bytes."""
    return seal(_ENCODER.encode(message))


def decode_from_robot(data: bytes) -> ToServer:
    """The message that a robot sent; raises DecodeError on anything else."""
    return unseal(_FROM_ROBOT, data)


def decode_from_server(data: bytes) -> ToRobot:
    """The message that a server sent; raises DecodeError on anything else."""
    return unseal(_FROM_SERVER, data)


def encode_actions(actions: np.ndarray) -> bytes:
    """Proposals (candidates, chunk, n) as bytes, in single precision."""
    return encode_observation({_ACTIONS: np.asarray(actions, np.float32)})


def decode_actions(body: bytes, offer: Offer) -> np.ndarray:
    """The proposals, float32 (candidates, chunk, n), finite; raises DecodeError where they are not as was offered."""
    actions = decode_observation(body).get(_ACTIONS)
    if actions is None or actions.dtype != np.float32 or actions.ndim != 3:
        raise DecodeError("an answer without actions: wanted float32 of shape (candidates, chunk, n)")
    if not 1 <= len(actions) <= MOST_CANDIDATES or actions.shape[1:] != (offer.chunk, offer.action):
        raise DecodeError(
            f"proposals have shape {actions.shape}, offered were chunks of {offer.chunk} actions of {offer.action}"
        )
    if not np.isfinite(actions).all():
        raise DecodeError("a proposal holds a NaN or an infinity")
    return actions


def misfit(offer: Offer, spec: EnvSpec) -> str | None:
    """Why a policy cannot drive an environment, or None: what it looks at is not there, or it acts otherwise."""
    for name, seen in offer.observation.items():
        here = spec.observation.get(name)
        if here is None:
            return f"it looks at {plain(name)}, and this environment shows {', '.join(spec.observation)}"
        if (here.shape, here.dtype) != (tuple(seen.shape), seen.dtype):
            return f"it looks at {name} as {tuple(seen.shape)} {seen.dtype}, and here that is {here.shape} {here.dtype}"
    if (offer.action,) != spec.action.shape:
        return f"its actions have {offer.action} entries, here they have {spec.action.shape[0]}"
    if offer.action_names and offer.action_names != spec.action_names:
        theirs, ours = plain(", ".join(offer.action_names)), ", ".join(spec.action_names)
        return f"its actions are {theirs}, here they are {ours}"
    if offer.rate_hz is not None and offer.rate_hz != spec.rate_hz:
        return f"it acts at {offer.rate_hz:g} Hz, this environment at {spec.rate_hz:g} Hz"
    return None


def unseen(offer: Offer, observation: Observation) -> str | None:
    """What is wrong with the arrays of a question, or None."""
    for name, seen in offer.observation.items():
        found = observation.get(name)
        if found is None:
            return f"the policy looks at {name}, which was not sent; got {plain(', '.join(observation))}"
        if (found.shape, found.dtype.name) != (tuple(seen.shape), seen.dtype):
            wanted = f"{tuple(seen.shape)} {seen.dtype}"
            return f"{name} has shape {found.shape} and dtype {found.dtype}, the policy looks at {wanted}"
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            return f"{name} holds a NaN or an infinity"
    return None
