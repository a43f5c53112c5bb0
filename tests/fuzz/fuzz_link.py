"""Fuzz what the two sides of the link make of any bytes. Under Atheris: `python tests/fuzz/fuzz_link.py`."""

from collections.abc import Iterator

from fuzzing import assert_plain, corpus, main, parents
from mutator import Mutator

from wire import link
from wire.actor_link import ActorLink
from wire.codec import DecodeError
from wire.learner_link import LearnerLink

_MESSAGES = [*link.ToLearner.__args__, *link.ToActor.__args__]
WORDS = ("type", *(name for kind in _MESSAGES for name in (kind.__name__, *kind.__struct_fields__)))
_LIFE = 4096


class _Outbox:
    """An outbox of a few short records."""

    newest = 9

    def unsent(self, after: int, max_records: int, max_bytes: int) -> Iterator[tuple[int, bytes]]:
        yield from [(seq, b"step") for seq in range(after + 1, self.newest + 1)][:max_records]


class Sides:
    """A learner and an actor, each of which hears everything and must survive it."""

    def __init__(self, hello: bytes, welcome: bytes) -> None:
        self._hello, self._welcome = hello, welcome
        self._begin()

    def _begin(self) -> None:
        self.heard, self.now_s = 0, 100.0
        self.learner = LearnerLink("run", None, lambda stream, spec: 3)
        message = link.decode_from_actor(self._hello)
        assert isinstance(message, link.Hello)
        self.actor = ActorLink(message, _Outbox())
        self.learner.receive(b"peer", self._hello, self.now_s)
        self.actor.receive(self._welcome, self.now_s)

    def hear(self, data: bytes) -> None:
        """Both take the message in and answer; what they answer must be understood by the other kind."""
        self.heard += 1
        self.now_s += 0.01
        self.learner.receive(b"peer", data, self.now_s)
        self.actor.receive(data, self.now_s)
        for _, answer in self.learner.step(self.now_s):
            link.decode_from_learner(answer)
        for answer in self.actor.step(self.now_s):
            link.decode_from_actor(answer)
        assert len(self.learner.detail) <= link.REASON_CHARS
        assert self.actor.detail.isprintable()
        if self.heard > _LIFE:
            self._begin()


_CORPUS = corpus("link")
_SIDES = Sides(_CORPUS["golden-hello"], _CORPUS["golden-welcome"])


def decode(data: bytes) -> bool:
    """Whether the bytes are a message of either side."""
    understood = False
    for decode_from in (link.decode_from_actor, link.decode_from_learner):
        try:
            decode_from(data)
            understood = True
        except DecodeError as error:
            assert_plain(error)
    return understood


def one(data: bytes) -> None:
    """Bytes are a message or a DecodeError; a message is taken in by the other side without an exception."""
    if decode(data):
        _SIDES.hear(data)


def mutator(seed: int) -> Mutator:
    """Mutants of the corpus."""
    return Mutator(*parents("link"), words=WORDS, unseal=lambda data: data[:-4], seal=link.seal, seed=seed)


if __name__ == "__main__":
    main("link", one, mutator(0))
