"""Fuzz what a robot and a reward service make of any bytes. Under Atheris: `python tests/fuzz/fuzz_scoring.py`."""

import math

from fuzzing import assert_plain, corpus, main, parents
from mutator import Mutator

from wire import scoring
from wire.codec import DecodeError, decode_observation
from wire.score_client import ScoreClient
from wire.score_server import ScoreServer

_MESSAGES = [*scoring.ToService.__args__, *scoring.ToClient.__args__]
WORDS = ("type", "front", *(name for kind in _MESSAGES for name in (kind.__name__, *kind.__struct_fields__)))
_LIFE = 4096


class Sides:
    """A service and a client, each of which hears everything and must survive it."""

    def __init__(self, serving: bytes) -> None:
        self._serving = serving
        self._begin()

    def _begin(self) -> None:
        self.heard, self.now_s = 0, 0.0
        message = scoring.decode_from_service(self._serving)
        assert isinstance(message, scoring.Serving)
        self.service = ScoreServer(message)
        self.client = ScoreClient()

    def hear(self, data: bytes) -> None:
        """Both take the message in and answer; what they answer must be understood by the other kind."""
        self.heard += 1
        self.now_s += 0.01
        self.service.receive(b"peer", data)
        self.client.receive(data, self.now_s)
        for question in self.service.take(8):
            assert question.observation.keys() >= self.service.serving.inputs.keys()
            self.service.scored(question, 0.5, 1.0, "v")
        for _, answer in self.service.step():
            scoring.decode_from_service(answer)
        for message in self.client.step(self.now_s):
            scoring.decode_from_client(message)
        if self.client.serving is not None:
            assert self.client.serving.rule.problem() is None
        assert self.client.detail.isprintable()
        if self.heard > _LIFE:
            self._begin()


_SIDES = Sides(corpus("scoring")["golden-serving"])


def decode(data: bytes) -> object:
    """The message, whoever sent it, and the observation in it; raises DecodeError."""
    try:
        return scoring.decode_from_service(data)
    except DecodeError:
        message = scoring.decode_from_client(data)
        return decode_observation(message.body) if isinstance(message, scoring.Ask) else message


def one(data: bytes) -> None:
    """Bytes are a message, or a DecodeError; neither side minds, and no score is anything but a finite number."""
    try:
        message = decode(data)
    except DecodeError as error:
        assert_plain(error)
    else:
        if isinstance(message, scoring.Scored):
            assert math.isfinite(message.value)
            assert math.isfinite(message.confidence)
    _SIDES.hear(data)


def mutator(seed: int) -> Mutator:
    """Mutants of the corpus, behind a right checksum mostly."""
    return Mutator(*parents("scoring"), words=WORDS, unseal=lambda frame: frame[:-4], seal=scoring.seal, seed=seed)


if __name__ == "__main__":
    main("scoring", one, mutator(0))
