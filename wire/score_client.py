"""The robot's side of the reward service, without sockets, threads or a clock of its own."""

import math
from collections import OrderedDict, deque

from wire.codec import DecodeError, encode_observation
from wire.scoring import PROTOCOL, Ask, Introduce, Scored, Serving, Unscored, decode_from_service, encode
from wire.types import Observation

INTRODUCE_S = 0.5
"""Between two attempts to learn who is serving."""
AWAY_S = 1.0
"""A service that leaves questions unanswered for so long is away: it is asked on, and not waited for."""
ASKED = 64
"""Questions of which a client still expects an answer; older ones are given up."""
_WAITING = 8
"""Messages that may wait to be sent; the newest are the ones that a robot still waits for."""


class ScoreClient:
    """The robot's side: `receive` what came, send what `step` returns, again and again; `ask` in between."""

    def __init__(self) -> None:
        self.serving: Serving | None = None
        """What answers; None while nobody has said."""
        self.detail = "no reward service has answered yet"
        self.dropped = 0
        """Messages that could not be decoded."""
        self._newest = 0
        self._out: deque[bytes] = deque(maxlen=_WAITING)
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
