"""Both sides of the reward service's protocol, without sockets and with a clock of their own."""

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewarding import SIZE, look

from wire import scoring
from wire.codec import DecodeError, decode_observation, encode_observation
from wire.score_client import ASKED, AWAY_S, INTRODUCE_S, ScoreClient
from wire.score_server import QUEUED, ScoreServer
from wire.scoring import PROTOCOL, Ask, Gate, Introduce, Rule, Scored, Serving, Unscored

RNG = np.random.default_rng(0)
SEEN = look(RNG, True)
INPUTS = dict.fromkeys(("front", "wrist"), (SIZE, SIZE, 3))
PEER = b"robot"


def serving(version: str = "success-1") -> Serving:
    return Serving(protocol=PROTOCOL, version=version, inputs=INPUTS, rule=Rule(0.5, 2, 3, Gate("state", 0, low=0.5)))


def introduced(now_s: float = 0.0) -> tuple[ScoreClient, ScoreServer]:
    client, server = ScoreClient(), ScoreServer(serving())
    exchange(client, server, now_s)
    assert client.serving is not None
    return client, server


def exchange(client: ScoreClient, server: ScoreServer, now_s: float, value: float = 0.9) -> None:
    """One round there and back, everything judged."""
    for data in client.step(now_s):
        server.receive(PEER, data)
    for question in server.take(100):
        server.scored(question, value, 1.0, server.serving.version)
    for _, data in server.step():
        client.receive(data, now_s)


def test_a_client_learns_who_serves_and_gets_an_answer_to_its_question():
    client, server = introduced()
    assert client.serving == server.serving
    number = client.ask(SEEN, 0.1)
    assert number is not None
    assert client.answer(number) is None
    exchange(client, server, 0.2, value=0.75)
    answer = client.answer(number)
    assert isinstance(answer, Scored)
    assert (answer.value, answer.version) == (0.75, "success-1")
    assert client.answer(number) is None  # Once.


def test_only_what_the_model_looks_at_is_sent():
    client, _ = introduced()
    client.ask(SEEN, 0.1)
    (data,) = client.step(0.1)
    message = scoring.decode_from_client(data)
    assert isinstance(message, Ask)
    assert decode_observation(message.body).keys() == INPUTS.keys()


def test_a_silent_service_is_away_asked_on_and_not_waited_for():
    client, server = introduced()
    client.ask(SEEN, 0.0)
    client.step(0.0)
    assert client.live(AWAY_S / 2)
    assert not client.live(AWAY_S + 0.01)
    sent = client.step(AWAY_S + INTRODUCE_S)
    assert [type(scoring.decode_from_client(data)) for data in sent] == [Introduce]
    exchange(client, server, AWAY_S + 2 * INTRODUCE_S)
    assert client.live(AWAY_S + 2 * INTRODUCE_S)


def test_a_service_that_was_started_again_may_have_another_model():
    client, _ = introduced()
    client.ask(SEEN, 0.0)
    again = ScoreServer(serving("success-2"))
    exchange(client, again, 5.0)
    assert client.serving is not None
    assert client.serving.version == "success-2"


def test_a_client_forgets_what_nobody_answers():
    client, _ = introduced()
    for number in range(3 * ASKED):
        client.ask(SEEN, float(number))
        assert len(client.step(float(number))) <= QUEUED
    assert len(client._asked) <= ASKED


def test_a_flood_of_questions_leaves_the_newest_and_says_so_of_the_others():
    client, server = introduced()
    numbers = []
    for _ in range(4 * QUEUED):
        numbers.append(client.ask(SEEN, 0.1))
        for data in client.step(0.1):
            server.receive(PEER, data)
    assert server.overtaken == 3 * QUEUED
    assert [question.number for question in server.take(100)] == numbers[-QUEUED:]
    told = [scoring.decode_from_service(data) for _, data in server.step()]
    assert [message.number for message in told if isinstance(message, Unscored)] == numbers[: 3 * QUEUED]


def test_clients_are_answered_in_turns():
    server = ScoreServer(serving())
    for number in range(1, 4):
        for peer in (b"a", b"b"):
            server.receive(peer, scoring.encode(Ask(number=number, body=encode_observation(SEEN))))
    assert [(q.peer, q.number) for q in server.take(4)] == [(b"a", 1), (b"b", 1), (b"a", 2), (b"b", 2)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"front": np.zeros((8, 8, 3), np.uint8)}, r"front has shape \(8, 8, 3\)"),
        ({"front": np.zeros((SIZE, SIZE, 3), np.float32)}, "dtype float32"),
        ({"front": None}, "looks at front, which was not sent"),
    ],
)
def test_a_camera_set_that_is_not_the_models_is_answered_with_the_reason(changes: dict, says: str):
    server = ScoreServer(serving())
    sent = {name: value for name, value in (SEEN | changes).items() if value is not None}
    server.receive(PEER, scoring.encode(Ask(number=7, body=encode_observation(sent))))
    assert server.take(10) == []
    ((_, data),) = server.step()
    message = scoring.decode_from_service(data)
    assert isinstance(message, Unscored)
    assert message.number == 7
    import re

    assert re.search(says, message.reason)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_score_that_is_not_finite_leaves_a_service_or_enters_a_client(value: float):
    client, server = introduced()
    number = client.ask(SEEN, 0.1)
    exchange(client, server, 0.1, value=value)
    assert number is not None
    assert isinstance(client.answer(number), Unscored)
    forged = msgspec.msgpack.encode({"type": "Scored", "number": 1, "value": value, "confidence": 1.0, "version": "v"})
    client.receive(forged + struct.pack("<I", __import__("zlib").crc32(forged)), 0.2)
    assert client.dropped == 1


@given(st.binary(max_size=200), st.integers(0, 3))
def test_whatever_comes_neither_side_raises(data: bytes, flip: int):
    client, server = ScoreClient(), ScoreServer(serving())
    for message in (Introduce(protocol=1), Ask(number=1, body=encode_observation(SEEN)), serving()):
        good = bytearray(scoring.encode(message))
        for place, byte in enumerate(data[:8]):
            good[(byte * 7 + place * flip) % len(good)] ^= byte
        for bad in (data, bytes(good), bytes(good[: len(data)])):
            client.receive(bad, 0.0)
            server.receive(PEER, bad)
    client.step(0.0)
    server.take(10)
    server.step()


def test_an_observation_that_is_none_is_a_decode_error():
    for data in (b"", b"\x80" * 3, b"\xc1", msgspec.msgpack.encode({"front": 3}), msgspec.msgpack.encode([1])):
        with pytest.raises(DecodeError):
            decode_observation(data)
