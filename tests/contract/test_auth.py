"""Who is let in, over real sockets: the six cases of the bar, revoking, a dead key checker, whose a stream is."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from experience import make_spec, make_step

from actor.uplink import Uplink
from learner.inbox import Inbox, InboxError
from wire import sockets
from wire.addresses import LinkError
from wire.allowed import ALLOWED, AllowList, learner_keys
from wire.keys import ActorKeys, KeyPair, actor_keys, make_pair, trust_learner
from wire.sockets import ActorSocket, LearnerSocket
from wire.store import StepStore

SPEC = make_spec()
ANY = "tcp://127.0.0.1:*"
REVOKED_S = 5.0
"""The bar: a revoked key is refused within so many seconds."""
KEY_REFUSED = "the learner does not let this key in"
NO_HANDSHAKE = "compare what handrail keys show says of the learner on both machines"


class Lab:
    """A learner's machine and any number of robots' machines, each with its own folder of keys."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.archive = folder / "steps.sqlite"
        self._stack = stack
        self.learner: KeyPair = make_pair(folder / "gpu", "learner")
        self.allowed = AllowList(folder / "gpu" / ALLOWED)

    def keys(self, name: str, *, allow: bool = True) -> ActorKeys:
        own = make_pair(self.folder / name, name)
        trust_learner(self.folder / name, self.learner.public)
        if allow:
            self.allowed.add(name, own.public)
        return actor_keys(self.folder / name)

    def inbox(self, bind: str = ANY, *, keyed: bool = True) -> Inbox:
        keys = learner_keys(self.folder / "gpu") if keyed else None
        inbox = Inbox(bind, self.archive, SPEC, run="test", keys=keys)
        inbox.start()
        self._stack.callback(inbox.close, 0.0)
        return inbox

    def uplink(self, inbox: Inbox, keys: ActorKeys | None, outbox: str) -> Uplink:
        uplink = Uplink(inbox.address, self.folder / outbox, SPEC, keys=keys)
        uplink.start()
        self._stack.callback(uplink.close, 0.0)
        return uplink

    def archived(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        with StepStore.read(self.archive) as store:
            for row in store.rows():
                found.setdefault(row.stream, []).append(row.seq)
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab(tmp_path, stack)


def until(condition: Callable[[], object], timeout_s: float = 20.0) -> float:
    """Wait for it; the seconds that it took."""
    start_s = time.monotonic()
    while not condition():
        assert time.monotonic() - start_s < timeout_s, "it did not happen in time"
        time.sleep(0.002)
    return time.monotonic() - start_s


def test_of_the_six_who_knock_exactly_the_allowed_one_is_let_in(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    # Who gets no answer is sent away when the handshake has lasted too long: 5 s, which one case would wait for.
    monkeypatch.setattr(sockets, "_HANDSHAKE_MS", 1000)
    inbox = lab.inbox()
    known = lab.keys("known")
    revoked = lab.keys("revoked")
    lab.allowed.remove("revoked")
    stranger = make_pair(lab.folder / "evil", "learner")
    deaf = LearnerSocket(ANY, keys=learner_keys(lab.folder / "gpu"))
    assert deaf._door is not None
    deaf._door._authenticator.pipe.send(b"TERMINATE")
    until(lambda: not deaf._door.alive)  # type: ignore[union-attr]
    knocks: dict[str, tuple[str, ActorKeys | None, str]] = {
        "known key": (inbox.address, known, ""),
        "unknown key": (inbox.address, lab.keys("unknown", allow=False), KEY_REFUSED),
        "revoked key": (inbox.address, revoked, KEY_REFUSED),
        "no key": (inbox.address, None, "one that wants keys: set link.keys=<folder>"),
        "another learner's key": (inbox.address, ActorKeys(known.own, stranger.public), NO_HANDSHAKE),
        "known key, nobody checks": (deaf.address, known, NO_HANDSHAKE),
    }
    accepted = []
    with deaf, ExitStack() as stack:
        for case, (address, keys, trouble) in knocks.items():
            uplink = Uplink(address, lab.folder / f"{case}.sqlite", SPEC, keys=keys)
            uplink.start()
            stack.callback(uplink.close, 0.0)
            uplink.append(make_step(SPEC, 0))
            if trouble:
                until(lambda u=uplink, t=trouble: t in u.status.detail)
            until(lambda u=uplink, t=trouble: t or u.status.acked_seq == 1)
            if uplink.status.state == "connected":
                accepted.append(case)
        assert deaf.receive() is None
    assert accepted == ["known key"]
    assert [len(seqs) for seqs in lab.archived().values()] == [1]
    print(f"S3: {len(accepted)} of {len(knocks)} accepted: {', '.join(accepted)}")


def test_a_revoked_key_is_out_in_time_though_connected_and_nobody_else_loses_a_step(lab: Lab):
    inbox = lab.inbox()
    bad, good = (lab.uplink(inbox, lab.keys(name), f"{name}.sqlite") for name in ("robot-1", "robot-2"))
    for number in range(20):
        bad.append(make_step(SPEC, number))
        good.append(make_step(SPEC, number))
    until(lambda: bad.status.unacked == good.status.unacked == 0)
    public = lab.allowed.remove("robot-1")
    took_s = until(lambda: bad.status.state != "connected", REVOKED_S)
    for number in range(20, 40):
        bad.append(make_step(SPEC, number))
        good.append(make_step(SPEC, number))
    back_s = until(lambda: good.status.acked_seq == 40)
    until(lambda: KEY_REFUSED in bad.status.detail)
    assert f"handrail keys allow robot-1 {public}" in bad.status.detail
    assert lab.archived() == {bad.stream: [*range(1, 21)], good.stream: [*range(1, 41)]}
    print(f"S3: revoked while connected: out after {took_s:.2f} s; the other goes on after {back_s:.2f} s, 0 lost")

    lab.allowed.add("robot-1", public)
    until(lambda: bad.status.unacked == 0)
    assert lab.archived()[bad.stream] == [*range(1, 41)]


def test_what_a_revoked_peer_still_says_is_dropped_from_the_moment_the_list_is_read(lab: Lab):
    keys = lab.keys("robot-1")
    with (
        LearnerSocket(ANY, keys=learner_keys(lab.folder / "gpu")) as learner,
        ActorSocket(learner.address, keys=keys) as actor,
    ):
        until(lambda: actor.send(b"before"))
        until(lambda: (message := learner.receive()) is not None and message.name == "robot-1")
        lab.allowed.remove("robot-1")
        assert learner._keys is not None
        learner._keys.allowed.refresh()
        assert actor.send(b"after")
        learner.wait(0.5)
        assert learner.receive() is None


def test_a_list_that_becomes_unreadable_lets_nobody_in_and_the_learner_says_why(lab: Lab):
    inbox = lab.inbox()
    uplink = lab.uplink(inbox, lab.keys("robot-1"), "outbox.sqlite")
    until(lambda: uplink.status.state == "connected")
    good = lab.allowed.path.read_text()
    lab.allowed.path.write_text(good + "robot-2\n")
    until(lambda: uplink.status.state != "connected", REVOKED_S)
    until(lambda: "nobody is let in: line 3" in inbox.status.detail)
    lab.allowed.path.write_text(good)
    until(lambda: uplink.status.state == "connected")
    until(lambda: "nobody" not in inbox.status.detail)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_key_checker_shuts_the_door_and_the_learner_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    inbox = lab.inbox()
    known = lab.keys("robot-1")
    inside = lab.uplink(inbox, known, "outbox.sqlite")
    until(lambda: inside.status.state == "connected")
    door = inbox._socket._door
    assert door is not None

    def fail() -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(door._keys.allowed, "refresh", fail)
    outside = lab.uplink(inbox, lab.keys("robot-2"), "other.sqlite")
    until(lambda: inbox.status.failed)
    assert "the thread that checks keys has died" in inbox.status.detail
    assert "start the learner again with resume=true" in inbox.status.detail
    with pytest.raises(InboxError, match="the thread that checks keys has died"):
        inbox.drain(1)
    until(lambda: inside.status.state != "connected")
    assert outside.status.state == "connecting"
    inbox.close(0)
    monkeypatch.undo()
    again = lab.inbox(inbox.address)
    until(lambda: len(again.status.actors) == 2)
    print("S3: key checker killed: 0 of 2 let in, the learner ends and says so; restarted: 2 of 2")


def test_where_no_checker_is_left_at_all_nobody_is_let_in(lab: Lab):
    """ZeroMQ's own default here is to let everybody in who knows the learner's public key."""
    keys = lab.keys("robot-1")
    with (
        LearnerSocket(ANY, keys=learner_keys(lab.folder / "gpu")) as learner,
        ActorSocket(learner.address, keys=keys) as inside,
    ):
        until(lambda: inside.send(b"let in while there was one"))
        assert learner._door is not None
        learner._door.close()
        with ActorSocket(learner.address, keys=keys) as outside:
            until(lambda: outside.wait(0.05) or NO_HANDSHAKE in outside.trouble)
            assert not outside.send(b"let me in")


def test_a_dead_key_checker_ends_the_wait_and_closing_does_not_hang(lab: Lab):
    learner = LearnerSocket(ANY, keys=learner_keys(lab.folder / "gpu"))
    assert learner._door is not None
    learner._door._authenticator.pipe.send(b"TERMINATE")
    until(lambda: not learner._door.alive)  # type: ignore[union-attr]
    with pytest.raises(LinkError, match="nobody is let in"):
        learner.wait(0.0)
    closing = threading.Thread(target=learner.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_a_stream_is_continued_by_the_key_that_began_it_alone_also_after_a_restart(lab: Lab):
    inbox = lab.inbox()
    owner, thief = lab.keys("robot-1"), lab.keys("robot-2")
    uplink = lab.uplink(inbox, owner, "outbox.sqlite")
    for number in range(5):
        uplink.append(make_step(SPEC, number))
    until(lambda: uplink.status.acked_seq == 5)
    stream = uplink.stream
    uplink.close(5)
    shutil.copy(lab.folder / "outbox.sqlite", lab.folder / "stolen.sqlite")

    def steal() -> str:
        robber = lab.uplink(inbox, thief, "stolen.sqlite")
        assert robber.stream == stream
        robber.append(make_step(SPEC, 99))
        until(lambda: robber.status.state == "refused")
        detail = robber.status.detail
        robber.close(0)
        return detail

    assert f"stream {stream[:8]} was begun by robot-1, and robot-2 cannot continue it" in steal()
    inbox.close(0)
    inbox = lab.inbox(inbox.address)
    assert f"stream {stream[:8]} was begun by robot-1, and robot-2 cannot continue it" in steal()
    uplink = lab.uplink(inbox, owner, "outbox.sqlite")
    uplink.append(make_step(SPEC, 5))
    until(lambda: uplink.status.acked_seq == 6)
    assert lab.archived() == {stream: [1, 2, 3, 4, 5, 6]}
    print("S3: stream taken over by another key: refused, before and after a restart of the learner")


def test_a_robot_with_a_new_key_of_its_old_name_goes_on_with_its_stream(lab: Lab):
    inbox = lab.inbox()
    uplink = lab.uplink(inbox, lab.keys("robot-1"), "outbox.sqlite")
    uplink.append(make_step(SPEC, 0))
    until(lambda: uplink.status.acked_seq == 1)
    uplink.close(5)
    lab.allowed.remove("robot-1")
    (lab.folder / "robot-1" / "robot-1.key").unlink()
    uplink = lab.uplink(inbox, lab.keys("robot-1"), "outbox.sqlite")
    uplink.append(make_step(SPEC, 1))
    until(lambda: uplink.status.acked_seq == 2)
    assert list(lab.archived().values()) == [[1, 2]]


def test_a_stream_that_began_with_a_key_does_not_go_on_without_one(lab: Lab):
    inbox = lab.inbox()
    uplink = lab.uplink(inbox, lab.keys("robot-1"), "outbox.sqlite")
    uplink.append(make_step(SPEC, 0))
    until(lambda: uplink.status.acked_seq == 1)
    uplink.close(5)
    inbox.close(0)
    open_to_all = lab.inbox(keyed=False)
    uplink = lab.uplink(open_to_all, None, "outbox.sqlite")
    until(lambda: "was begun by robot-1, and a link without keys cannot continue it" in uplink.status.detail)


def test_a_key_that_is_allowed_later_gets_in_without_a_restart_of_either_side(lab: Lab):
    inbox = lab.inbox()
    keys = lab.keys("robot-1", allow=False)
    uplink = lab.uplink(inbox, keys, "outbox.sqlite")
    uplink.append(make_step(SPEC, 0))
    until(lambda: KEY_REFUSED in uplink.status.detail)
    lab.allowed.add("robot-1", keys.own.public)
    until(lambda: uplink.status.acked_seq == 1)
    assert uplink.status.detail == ""


def test_with_keys_the_link_leaves_the_machine_and_the_port_survives_being_opened_anew(lab: Lab):
    inbox = lab.inbox("tcp://0.0.0.0:*")
    address = inbox.address.replace("0.0.0.0", "127.0.0.1")
    keys = lab.keys("robot-1")
    uplink = Uplink(address, lab.folder / "outbox.sqlite", SPEC, keys=keys)
    uplink.start()
    until(lambda: uplink.status.state == "connected")
    for _ in range(3):
        public = lab.allowed.remove("robot-1")
        until(lambda: uplink.status.state != "connected", REVOKED_S)
        lab.allowed.add("robot-1", public)
        until(lambda: uplink.status.state == "connected")
    assert inbox._socket.address == inbox.address
    uplink.close(1)
