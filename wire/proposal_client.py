"""The robot's side of a policy that is served elsewhere, without sockets, threads or a clock of its own."""

import math
from collections import OrderedDict

import numpy as np

from wire.codec import DecodeError, encode_observation
from wire.proposing import (
    PROTOCOL,
    Declined,
    Introduce,
    Offer,
    Propose,
    decode_actions,
    decode_from_server,
    encode,
)
from wire.types import Observation

INTRODUCE_S = 0.5
"""Between two attempts to learn who is serving, where nobody is heard."""
REMEMBERED = 16
"""Questions whose late answers still tell how long the policy takes."""


class ProposalClient:
    """The robot's side: `receive` what came, send what `step` returns, again and again; `ask` in between.

    One question is open at a time: to ask, or to `give_up`, is to want no answer to the one before.
    """

    def __init__(self) -> None:
        self.offer: Offer | None = None
        """What answers; None while nobody has said."""
        self.detail = "nobody has answered yet"
        """What is amiss, for people; empty where nothing is known to be."""
        self.dropped = 0
        """Messages that could not be decoded."""
        self.away = True
        """The last question got no answer in time, and nothing has come since: do not wait for the next one."""
        self.answer_s = 0.0
        """What the last answer took, one that came too late included."""
        self._newest = 0
        self._open: int | None = None
        self._answer: np.ndarray | Declined | None = None
        self._asked: OrderedDict[int, float] = OrderedDict()
        self._out: list[bytes] = []
        self._introduce_s = -math.inf

    def ask(self, observation: Observation, now_s: float, *, candidates: int, begins: bool) -> None:
        """Ask for proposals; raises ValueError where nobody serves, or the observation lacks what they look at."""
        offer = self.offer
        if offer is None or not offer.observation.keys() <= observation.keys():
            raise ValueError("nobody serves a policy that looks at these")
        self._newest += 1
        self._open, self._answer = self._newest, None
        self._asked[self._newest] = now_s
        while len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
        body = encode_observation({name: observation[name] for name in offer.observation})
        wanted = min(candidates, offer.candidates)
        self._out = [encode(Propose(number=self._newest, candidates=wanted, begins=begins, body=body))]

    def answer(self) -> np.ndarray | Declined | None:
        """The answer to the open question: proposals (candidates, chunk, n), or a reason; None: it is not there."""
        return self._answer

    def give_up(self) -> None:
        """Wait no longer."""
        self._open, self.away = None, True

    def receive(self, data: bytes, now_s: float) -> None:
        """Take one message in; what is malformed is counted in `dropped` and named in `detail`."""
        try:
            message = decode_from_server(data)
            actions = None
            if not isinstance(message, Offer | Declined):
                if self.offer is None:
                    return
                actions = decode_actions(message.body, self.offer)
        except DecodeError as error:
            self.dropped += 1
            self.detail = str(error)
            return
        if isinstance(message, Offer):
            if message.protocol != PROTOCOL:
                self.detail = f"the policy speaks protocol {message.protocol}, wanted {PROTOCOL}: run the same version"
                return
            self.offer, self.detail, self.away = message, "", False
            return
        asked_s = self._asked.pop(message.number, None)
        if asked_s is None:
            return  # Never asked, or long ago.
        self.answer_s, self.away = now_s - asked_s, False
        self.detail = message.reason if isinstance(message, Declined) else ""
        if message.number == self._open:
            self._answer = message if isinstance(message, Declined) else actions

    def step(self, now_s: float) -> list[bytes]:
        """What to send now."""
        out, self._out = self._out, []
        if self.away and now_s - self._introduce_s >= INTRODUCE_S:
            # One that was started again may serve another policy.
            self._introduce_s = now_s
            out.append(encode(Introduce(protocol=PROTOCOL)))
        return out
