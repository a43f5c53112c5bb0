"""Real sockets and threads that hear mutants for a while go on serving whoever makes sense."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import fuzz_link
import pytest
import zmq
from counts import count
from experience import assert_same_step, make_spec, make_step
from zmq.utils.monitor import recv_monitor_message

from actor.uplink import Uplink
from learner.inbox import Inbox
from wire import link
from wire.codec import LIMITS
from wire.store import StepStore

SPEC = make_spec()
STEPS = [make_step(SPEC, number) for number in range(40)]
MESSAGES = count(ci=3_000, nightly=100_000)
WAIT_MS = 20_000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def raw(stack: ExitStack, kind: int) -> zmq.Socket:
    """A socket of a stranger, which waits no longer than WAIT_MS for anything."""
    context = stack.enter_context(zmq.Context())
    socket = stack.enter_context(context.socket(kind))
    socket.linger, socket.sndtimeo, socket.rcvtimeo = 0, WAIT_MS, WAIT_MS
    return socket


def start_inbox(stack: ExitStack, folder: Path, bind: str = "tcp://127.0.0.1:*") -> Inbox:
    inbox = Inbox(bind, folder / "steps.sqlite", SPEC, run="test")
    inbox.start()
    stack.callback(inbox.close, 0.0)
    return inbox


def start_uplink(stack: ExitStack, folder: Path, address: str) -> Uplink:
    uplink = Uplink(address, folder / "outbox.sqlite", SPEC)
    uplink.start()
    stack.callback(uplink.close, 0.0)
    return uplink


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.002)


def assert_archived(folder: Path, uplink: Uplink, wanted: int) -> None:
    with StepStore.read(folder / "steps.sqlite") as store:
        steps = [row.step for row in store.rows() if row.stream == uplink.stream]
        assert store.damaged == 0
    assert len(steps) == wanted
    for step, original in zip(steps, STEPS, strict=False):
        assert_same_step(step, original)


def test_a_learner_that_hears_mutants_archives_a_good_actors_steps(stack: ExitStack, tmp_path: Path):
    inbox = start_inbox(stack, tmp_path)
    uplink = start_uplink(stack, tmp_path, inbox.address)
    stranger = raw(stack, zmq.DEALER)
    stranger.connect(inbox.address)
    for number, data in enumerate(itertools.islice(fuzz_link.mutator(21), MESSAGES)):
        if number % 16 == 0:
            stranger.send_multipart([data[:7], b"", data])
        stranger.send(data)
        if number % (MESSAGES // len(STEPS)) == 0 and uplink.status.appended < len(STEPS):
            uplink.append(STEPS[uplink.status.appended])
    while uplink.status.appended < len(STEPS):
        uplink.append(STEPS[uplink.status.appended])
    until(lambda: uplink.status.unacked == 0 and uplink.status.state == "connected")
    assert not inbox.status.failed
    # Nearly all of them mean nothing, and each of those was counted.
    until(lambda: inbox.status.damaged > MESSAGES / 2)
    assert_archived(tmp_path, uplink, len(STEPS))
    print(
        f"S1: learner: {MESSAGES} mutants through a socket, {inbox.status.damaged} counted, {len(STEPS)} steps archived"
    )


def test_an_actor_that_hears_mutants_delivers_to_the_next_good_learner(stack: ExitStack, tmp_path: Path):
    impostor = raw(stack, zmq.ROUTER)
    port = impostor.bind_to_random_port("tcp://127.0.0.1")
    address = f"tcp://127.0.0.1:{port}"
    uplink = start_uplink(stack, tmp_path, address)
    peer, hello = impostor.recv_multipart()
    assert isinstance(link.decode_from_actor(hello), link.Hello)
    for data in itertools.islice(fuzz_link.mutator(22), MESSAGES):
        impostor.send_multipart([peer, data])
        while impostor.poll(0):
            peer, said = impostor.recv_multipart()
            link.decode_from_actor(said)
    # It has heard them all once it answers this.
    impostor.send_multipart([peer, link.encode(link.Welcome(run="end", last_seq=0, credit_records=0, credit_bytes=0))])
    impostor.send_multipart([peer, link.encode(link.WeightsSet(version=77, body=b"no weights"))])
    while link.decode_from_actor(impostor.recv_multipart()[1]) != link.Ready(version=77):
        pass
    impostor.close(0)
    for step in STEPS:
        uplink.append(step)
    inbox = start_inbox(stack, tmp_path, address)
    until(lambda: inbox.status.archived == len(STEPS))
    until(lambda: uplink.status.unacked == 0)
    assert_archived(tmp_path, uplink, len(STEPS))
    print(f"S1: actor: {MESSAGES} mutants through a socket, then {len(STEPS)} steps delivered to a learner")


def test_a_peer_with_an_oversize_message_is_dropped_and_one_with_an_oversize_record_is_named(
    stack: ExitStack, tmp_path: Path
):
    inbox = start_inbox(stack, tmp_path)
    uplink = start_uplink(stack, tmp_path, inbox.address)
    stranger = raw(stack, zmq.DEALER)
    monitor = stack.enter_context(stranger.get_monitor_socket(zmq.EVENT_DISCONNECTED))
    stack.callback(stranger.disable_monitor)
    monitor.rcvtimeo = WAIT_MS
    stranger.connect(inbox.address)
    stranger.send(link.encode(link.Record(after=0, seq=1, body=bytes(LIMITS.record_bytes + 1))))
    until(lambda: f"length <= {LIMITS.record_bytes}" in inbox.status.detail)
    stranger.send(bytes(LIMITS.record_bytes + (64 << 10) + 1))
    assert recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED
    for step in STEPS:
        uplink.append(step)
    until(lambda: inbox.status.archived == len(STEPS))
    print("S6: a message over MAXMSGSIZE closed its connection, a record over its limit was named, the learner went on")
