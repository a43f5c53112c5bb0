"""Both sides of the protocol for policies that are served elsewhere, without sockets and with a clock of their own."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning import vector_spec
from proposing import fan, offer_for

from wire import proposing
from wire.codec import DecodeError
from wire.proposal_client import INTRODUCE_S, ProposalClient
from wire.proposal_server import ProposalServer
from wire.proposing import Declined, Offer, Propose, Proposed, Seen, misfit

SPEC = vector_spec(actions=2)
SEEN = {"state": np.zeros(3, np.float32)}
PEER = b"robot"


def exchange(client: ProposalClient, server: ProposalServer, now_s: float) -> None:
    """One round there and back, everything answered."""
    for data in client.step(now_s):
        server.receive(PEER, data)
    while (question := server.take()) is not None:
        server.propose(question, fan(question.observation, question.candidates, question.begins))
    for _, data in server.step():
        client.receive(data, now_s)


def introduced(**changes: Any) -> tuple[ProposalClient, ProposalServer]:
    client, server = ProposalClient(), ProposalServer(offer_for(SPEC, **changes))
    exchange(client, server, 0.0)
    return client, server


def test_a_robot_learns_what_is_served_and_gets_proposals():
    client, server = introduced(candidates=4)
    assert client.offer == server.offer
    assert not client.away
    client.ask(SEEN, 1.0, candidates=10, begins=True)
    assert client.answer() is None
    exchange(client, server, 1.5)
    answer = client.answer()
    assert isinstance(answer, np.ndarray)
    np.testing.assert_array_equal(answer, fan(SEEN, 4, True))  # No more than are offered.
    assert client.answer_s == 0.5


def test_an_answer_that_comes_too_late_is_not_taken_for_another_questions_and_tells_how_long_it_took():
    client, server = introduced()
    client.ask(SEEN, 1.0, candidates=1, begins=False)
    late = client.step(1.0)
    client.give_up()
    assert client.away
    client.ask(SEEN, 1.1, candidates=2, begins=False)
    for data in late:
        server.receive(PEER, data)
    exchange(client, ProposalServer(server.offer), 1.2)  # To a server that died before it answered.
    question = server.take()
    assert question is not None
    server.propose(question, fan(SEEN, 1, False))
    for _, data in server.step():
        client.receive(data, 1.4)
    assert client.answer_s == pytest.approx(0.4)
    assert not client.away  # Somebody is there, only slow,
    answer = client.answer()
    assert isinstance(answer, np.ndarray)
    assert len(answer) == 2  # and this is the answer to the second question.


def test_a_robot_that_asks_anew_has_given_up_its_question_but_not_that_its_plan_is_void():
    client, server = introduced()
    for number, begins in enumerate((True, False)):
        client.ask(SEEN, float(number), candidates=3, begins=begins)
        for data in client.step(float(number)):
            server.receive(PEER, data)
    question = server.take()
    assert question is not None
    assert (question.number, question.begins) == (2, True)
    assert server.take() is None


def test_while_nobody_is_heard_a_robot_introduces_itself_again_and_again():
    client = ProposalClient()
    sent = [len(client.step(at_s)) for at_s in (0.0, INTRODUCE_S / 2, INTRODUCE_S, 1.5 * INTRODUCE_S, 2 * INTRODUCE_S)]
    assert sent == [1, 0, 1, 0, 1]
    with pytest.raises(ValueError, match="nobody serves"):
        client.ask(SEEN, 0.0, candidates=1, begins=True)


def test_an_observation_that_is_not_as_the_policy_looks_at_it_is_declined_with_the_reason():
    client, server = introduced()
    client.ask({"state": np.zeros(4, np.float32)}, 0.0, candidates=1, begins=True)
    exchange(client, server, 0.1)
    answer = client.answer()
    assert isinstance(answer, Declined)
    assert answer.reason == "state has shape (4,) and dtype float32, the policy looks at (3,) float32"
    assert client.detail == answer.reason
    client.ask({"state": np.full(3, np.nan, np.float32)}, 0.2, candidates=1, begins=True)
    exchange(client, server, 0.3)
    assert client.detail == "state holds a NaN or an infinity"


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        (np.zeros((1, 1, 3)), "proposals have shape (1, 1, 3), offered were chunks of 1 actions of 2"),
        (np.zeros((1, 2)), "an answer without actions: wanted float32 of shape (candidates, chunk, n)"),
        (np.full((1, 1, 2), np.inf), "a proposal holds a NaN or an infinity"),
    ],
    ids=["size", "rank", "infinite"],
)
def test_proposals_that_are_not_as_was_offered_are_declined_by_the_server_itself(actions: np.ndarray, reason: str):
    client, server = introduced()
    client.ask(SEEN, 0.0, candidates=1, begins=True)
    for data in client.step(0.0):
        server.receive(PEER, data)
    question = server.take()
    assert question is not None
    server.propose(question, actions)
    for _, data in server.step():
        client.receive(data, 0.1)
    answer = client.answer()
    assert isinstance(answer, Declined)
    assert answer.reason == reason


def test_a_robot_believes_no_server_that_sends_what_it_did_not_offer():
    client, _ = introduced()
    client.ask(SEEN, 0.0, candidates=1, begins=True)
    body = proposing.encode_actions(np.full((1, 1, 2), np.nan))
    client.receive(proposing.encode(Proposed(number=1, body=body)), 0.1)
    assert client.answer() is None
    assert (client.dropped, client.detail) == (1, "a proposal holds a NaN or an infinity")


def test_another_protocol_is_refused_in_words():
    client = ProposalClient()
    client.receive(proposing.encode(msgspec.structs.replace(offer_for(SPEC), protocol=2)), 0.0)
    assert client.offer is None
    assert client.detail == "the policy speaks protocol 2, wanted 1: run the same version"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"observation": {"front": Seen((64, 64, 3), "uint8")}}, "it looks at front, and this environment shows state"),
        (
            {"observation": {"state": Seen((9,), "float32")}},
            "state as (9,) float32, and here that is (3,) float32",
        ),
        ({"action": 7}, "its actions have 7 entries, here they have 2"),
        ({"action_names": ("x", "y")}, "its actions are x, y, here they are a0, a1"),
        ({"rate_hz": 5.0}, "it acts at 5 Hz, this environment at 20 Hz"),
    ],
    ids=["camera", "shape", "action", "names", "rate"],
)
def test_what_does_not_fit_is_said_plainly(changes: dict[str, Any], reason: str):
    assert misfit(offer_for(SPEC), SPEC) is None
    told = misfit(offer_for(SPEC, **changes), SPEC)
    assert told is not None
    assert reason in told


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_counted_and_change_nothing(data: bytes):
    client, server = introduced()
    client.receive(data, 0.0)
    server.receive(PEER, data)
    assert (client.dropped, server.dropped) == (1, 1)
    assert server.step() == []
    assert server.take() is None


@given(st.builds(Declined, number=st.integers(0, 9), reason=st.text(max_size=20).filter(str.isprintable)))
def test_messages_come_back_as_they_were_sent(message: Any):
    assert proposing.decode_from_server(proposing.encode(message)) == message


@pytest.mark.parametrize(
    "changes", [{"action": 0}, {"chunk": 0}, {"observation": {}}, {"observation": {"a": Seen((1,), "object")}}]
)
def test_an_offer_that_makes_no_sense_is_no_message(changes: dict[str, Any]):
    fields = {"type": "Offer", **msgspec.to_builtins(offer_for(SPEC)), **changes}
    with pytest.raises(DecodeError):
        proposing.decode_from_server(proposing.seal(msgspec.msgpack.encode(fields)))


def test_a_question_asks_for_at_least_one_proposal():
    bad = proposing.encode(Propose(number=1, candidates=0, begins=True, body=b""))
    with pytest.raises(DecodeError):
        proposing.decode_from_robot(bad)


def test_names_of_policies_cannot_write_on_the_terminal():
    assert (
        Offer(name="a\x1b[2J", observation={"a": Seen((1,), "float32")}, action=1).name
        == "a\N{REPLACEMENT CHARACTER}[2J"
    )
