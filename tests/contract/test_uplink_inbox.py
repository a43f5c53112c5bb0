"""The promises of the two threads over real sockets and real files."""

import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import numpy as np
import pytest
from experience import STREAM, assert_same_step, make_spec, make_step

from actor.uplink import Uplink, UplinkError
from envs.config import EnvConfig
from learner import inbox as inbox_module
from learner.inbox import Inbox
from wire.sockets import LinkError
from wire.specs import EnvSpec, SpecMismatch
from wire.store import Row, StepStore, StoreError

SPEC = make_spec(size=64)
STEPS = [make_step(SPEC, number) for number in range(200)]
ANY = "tcp://127.0.0.1:*"


class Cell:
    """Starts inboxes and uplinks on one run folder and closes what is left of them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.archive = folder / "steps.sqlite"
        self.outbox = folder / "outbox.sqlite"
        self._stack = stack

    def inbox(self, bind: str = ANY, spec: EnvSpec | None = SPEC, kind: type[Inbox] = Inbox, **options: Any) -> Inbox:
        inbox = kind(bind, self.archive, spec, run="test", **options)
        inbox.start()
        self._stack.callback(inbox.close, 0.0)
        return inbox

    def uplink(self, address: str, spec: EnvSpec = SPEC, **options: object) -> Uplink:
        uplink = Uplink(address, self.outbox, spec, **options)  # type: ignore[arg-type]
        uplink.start()
        self._stack.callback(uplink.close, 0.0)
        return uplink

    def archived(self) -> list[Row]:
        with StepStore.read(self.archive) as store:
            assert store.damaged == 0
            return list(store.rows())


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    with ExitStack() as stack:
        yield Cell(tmp_path, stack)


def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.002)


def assert_whole(rows: list[Row], count: int) -> None:
    """The first `count` steps, each once, in order."""
    assert [row.seq for row in rows] == list(range(1, count + 1))
    for row in rows:
        assert_same_step(row.step, STEPS[row.seq - 1])


def test_steps_are_archived_in_order_and_drained_as_they_were(cell: Cell):
    inbox = cell.inbox()
    uplink = cell.uplink(inbox.address)
    drained: list[Row] = []
    for step in STEPS:
        uplink.append(step)
        drained += inbox.drain(7)
    until(lambda: len(drained.extend(inbox.drain(7)) or drained) == 200)
    assert uplink.flush(5)
    assert_whole(drained, 200)
    assert_whole(cell.archived(), 200)
    assert [row.row for row in drained] == list(range(1, 201))
    status = uplink.status
    assert (status.state, status.unacked, status.appended, status.acked_seq) == ("connected", 0, 200, 200)
    assert inbox.status.archived == 200
    assert inbox.status.actors[0].last_seq == 200


def test_a_loop_that_appends_at_any_moment_does_not_kill_the_uplink(cell: Cell):
    uplinks: list[Uplink] = []
    steps = iter(STEPS[:100])

    def trace(frame: FrameType, event: str, _: object) -> object:
        """Let the loop append between any two instructions of whatever takes the steps over."""
        frame.f_trace_opcodes = True
        if event == "opcode" and uplinks:
            for step in itertools.islice(steps, 1):
                uplinks[0].append(step)
        return trace if frame.f_code.co_name in ("_accept", "<listcomp>") else None

    threading.settrace(trace)
    try:
        uplinks.append(cell.uplink(ANY.replace("*", "9")))
        until(lambda: uplinks[0].status.unacked == 100)
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
    assert uplinks[0].flush(10)


def test_steps_wait_on_disk_while_there_is_no_learner(cell: Cell):
    first = cell.inbox()
    address = first.address
    first.close(0)
    uplink = cell.uplink(address)
    for step in STEPS[:50]:
        uplink.append(step)
    assert uplink.flush(5)
    assert (uplink.status.state, uplink.status.unacked) == ("connecting", 50)
    uplink.close(1)
    uplink = cell.uplink(address)
    assert uplink.next_episode == 10
    for step in STEPS[50:60]:
        uplink.append(step)
    cell.inbox(address)
    until(lambda: uplink.status.unacked == 0)
    assert_whole(cell.archived(), 60)


def test_a_learner_that_is_restarted_in_mid_run_loses_and_doubles_nothing(cell: Cell):
    inbox = cell.inbox()
    uplink = cell.uplink(inbox.address)
    drained: list[Row] = []
    for number, step in enumerate(STEPS):
        uplink.append(step)
        if number in (60, 120):
            acked = uplink.status.acked_seq
            until(lambda acked=acked: uplink.status.acked_seq > acked)
            inbox.close(0)
            drained += inbox.drain(1000)
            inbox = cell.inbox(inbox.address)
            assert inbox.resumed_row == len(drained)
    until(lambda: uplink.status.unacked == 0)
    until(lambda: len(drained.extend(inbox.drain(1000)) or drained) == 200)
    assert_whole(cell.archived(), 200)
    assert_whole(drained, 200)


def test_two_actors_share_one_archive_each_in_its_own_order(cell: Cell, tmp_path: Path):
    inbox = cell.inbox()
    uplinks = [cell.uplink(inbox.address)]
    cell.outbox = tmp_path / "other.sqlite"
    uplinks.append(cell.uplink(inbox.address))
    for step in STEPS[:40]:
        for uplink in uplinks:
            uplink.append(step)
    until(lambda: inbox.status.archived == 80)
    rows = cell.archived()
    for uplink in uplinks:
        assert_whole([row for row in rows if row.stream == uplink.stream], 40)


def test_the_first_actor_says_what_the_steps_are_like(cell: Cell):
    inbox = cell.inbox(spec=None)
    assert inbox.spec is None
    assert inbox.wait_for_spec(0.01) is None
    uplink = cell.uplink(inbox.address)
    assert inbox.wait_for_spec(10) == SPEC
    uplink.append(STEPS[0])
    until(lambda: inbox.drain(1))
    inbox.close(0)
    assert cell.inbox(spec=None).wait_for_spec(0.0) == SPEC


def test_a_trainer_that_fell_behind_reads_the_rest_from_the_archive(cell: Cell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inbox_module, "RECENT_BYTES", 10 * 25_000)
    inbox = cell.inbox()
    uplink = cell.uplink(inbox.address)
    for step in STEPS[:100]:
        uplink.append(step)
    until(lambda: inbox.status.archived == 100)
    drained = inbox.drain(30) + inbox.drain(1)
    assert len(drained) == 31
    for step in STEPS[100:]:
        uplink.append(step)
    until(lambda: len(drained.extend(inbox.drain(30)) or drained) == 200)
    assert_whole(drained, 200)
    assert inbox.drain(10) == []


def test_weights_come_latest_only_and_whole(cell: Cell):
    taken: list[bytes] = []
    hold = threading.Event()

    def on_weights(data: bytes, number: int) -> bool:
        taken.append(data)
        return hold.wait(10)

    inbox = cell.inbox()
    cell.uplink(inbox.address, on_weights=on_weights)
    until(lambda: inbox.status.actors)
    inbox.publish(b"1" * (4 << 20), 1)
    until(lambda: taken)
    for version in (2, 3, 4):
        inbox.publish(b"%d" % version * (4 << 20), version)
    until(lambda: not inbox._asked)
    hold.set()
    until(lambda: taken[-1][:1] == b"4")
    time.sleep(0.05)
    assert taken == [b"1" * (4 << 20), b"4" * (4 << 20)]


def test_steps_go_on_flowing_when_weights_make_the_policy_fail(cell: Cell):
    def on_weights(data: bytes, version: int) -> bool:
        raise RuntimeError("no such network")

    inbox = cell.inbox()
    uplink = cell.uplink(inbox.address, on_weights=on_weights)
    inbox.publish(b"w", 1)
    uplink.append(STEPS[0])
    until(lambda: inbox.drain(1))


def test_backlog_and_finished_reach_the_actor_at_once_and_the_rest_is_handed_over(cell: Cell):
    inbox = cell.inbox()
    uplink = cell.uplink(inbox.address)
    until(lambda: uplink.status.state == "connected")
    for step in STEPS[:10]:
        uplink.append(step)
    until(lambda: uplink.status.backlog == 10)
    start_s = time.monotonic()
    inbox.set_trained(4)
    until(lambda: uplink.status.backlog == 6)
    inbox.finish("10 steps are done")
    until(lambda: uplink.status.state == "finished")
    assert time.monotonic() - start_s < 0.5
    assert uplink.status.detail == "10 steps are done"
    for step in STEPS[10:20]:
        uplink.append(step)
    closer = threading.Thread(target=inbox.close, args=(10,))
    closer.start()
    assert uplink.close(10)
    closer.join()
    assert_whole(cell.archived(), 20)


def test_an_actor_of_another_spec_is_refused_and_both_sides_are_named(cell: Cell):
    inbox = cell.inbox()
    uplink = cell.uplink(inbox.address, make_spec(size=64, task="pick"))
    until(lambda: uplink.status.state == "refused")
    for words in ("the learner (here)", "the actor (there)", "task: reach here, pick there", "Start both"):
        assert words in uplink.status.detail
    until(lambda: inbox.status.refused >= 1)
    assert "task: reach here, pick there" in inbox.status.detail


def test_a_first_actor_of_another_environment_leaves_the_archive_to_the_right_one(cell: Cell):
    wanted = EnvConfig(task="reach", obs="pixels", image_size=SPEC.observation["front"].shape[0])
    inbox = cell.inbox(spec=None, fits=lambda spec: wanted.require_fitting(spec, "the actor"))
    stranger = cell.uplink(inbox.address, make_spec(task="pick_cube"))
    until(lambda: stranger.status.state == "refused")
    assert "the actor is of env=sim task=pick_cube" in stranger.status.detail
    assert "this run is of env=sim task=reach" in stranger.status.detail
    stranger.close(0.0)
    assert inbox.spec is None
    assert not cell.archive.exists()


def test_an_actor_goes_on_recording_while_the_learners_disk_is_full_and_delivers_after(cell: Cell):
    mended = threading.Event()

    class FullDisk(Inbox):
        def _resume(self, stream: str, spec: EnvSpec) -> int:
            if not mended.is_set():
                raise StoreError("cannot read steps.sqlite: the disk is full; make room on the disk")
            return super()._resume(stream, spec)

    inbox = cell.inbox(kind=FullDisk)
    uplink = cell.uplink(inbox.address)
    until(lambda: "the disk is full; make room" in uplink.status.detail)
    assert uplink.status.state == "away", "a state in which an actor goes on"
    for step in STEPS[:50]:
        uplink.append(step)
    until(lambda: uplink.status.waiting == 0)
    assert uplink.status.unacked == 50
    mended.set()
    until(lambda: uplink.status.unacked == 0)
    assert uplink.status.state == "connected"
    assert_whole(cell.archived(), 50)


def test_a_step_that_does_not_fit_is_refused_where_it_is_appended(cell: Cell):
    uplink = cell.uplink(ANY.replace("*", "9"))
    with pytest.raises(SpecMismatch, match="step 0 of episode 0 does not fit the spec: action holds a NaN"):
        uplink.append(msgspec.structs.replace(STEPS[0], action=np.full(4, np.nan, np.float32)))
    assert uplink.status.appended == 0


def test_a_record_damaged_on_the_actors_disk_is_named_and_set_aside_and_the_others_go_on(cell: Cell):
    first = cell.inbox()
    address = first.address
    first.close(0)
    uplink = cell.uplink(address)
    for step in STEPS[:5]:
        uplink.append(step)
    uplink.close(5)
    db = sqlite3.connect(cell.outbox)
    with db:
        db.execute(
            "UPDATE records SET body = CAST(substr(body, 1, 99) || x'00' || substr(body, 101) AS BLOB) WHERE seq = 3"
        )
    db.close()
    inbox = cell.inbox(address)
    uplink = cell.uplink(address)
    until(lambda: inbox.status.archived == 4)
    assert uplink.flush(5)
    assert [row.seq for row in cell.archived()] == [1, 2, 4, 5]
    assert (inbox.status.damaged, inbox.status.refused, uplink.status.refused) == (0, 0, 1)
    assert "step 3" in uplink.status.detail
    uplink.close(5)
    db = sqlite3.connect(cell.outbox)
    assert db.execute("SELECT seq, length(body) > 1000 FROM damaged").fetchall() == [(3, 1)]
    db.close()


def test_a_full_outbox_disk_is_said_and_no_step_is_lost(cell: Cell):
    uplink = cell.uplink(ANY.replace("*", "9"))
    uplink.append(STEPS[0])
    assert uplink.flush(5)
    uplink._outbox._db.execute("PRAGMA max_page_count = 8")
    for step in STEPS[1:30]:
        uplink.append(step)
    until(lambda: "wait in memory" in uplink.status.detail)
    assert "make room" in uplink.status.detail
    assert uplink.status.unacked == 30
    assert not uplink.flush(0.01)
    uplink._outbox._db.execute("PRAGMA max_page_count = 1000000")
    until(lambda: not uplink._handoff)
    inbox = cell.inbox()
    uplink.close(5)
    cell.uplink(inbox.address)
    until(lambda: inbox.status.archived == 30)
    assert_whole(cell.archived(), 30)


def test_a_full_archive_disk_acknowledges_nothing_and_catches_up_after(cell: Cell):
    inbox = cell.inbox()
    uplink = cell.uplink(inbox.address)
    uplink.append(STEPS[0])
    until(lambda: uplink.status.acked_seq == 1)
    assert inbox._store is not None
    inbox._store._db.execute("PRAGMA max_page_count = 20")
    for step in STEPS[1:50]:
        uplink.append(step)
    until(lambda: "make room" in inbox.status.detail)
    with StepStore.read(cell.archive) as store:
        assert uplink.status.acked_seq <= store.last_seq(uplink.stream)
    inbox._store._db.execute("PRAGMA max_page_count = 1000000")
    until(lambda: uplink.status.unacked == 0)
    assert_whole(cell.archived(), 50)


def test_an_uplink_that_died_takes_no_more_steps_and_says_why(cell: Cell, monkeypatch: pytest.MonkeyPatch):
    uplink = cell.uplink(ANY.replace("*", "9"))

    def fail(_: float) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(uplink, "_talk", fail)
    until(lambda: uplink.status.state == "failed")
    with pytest.raises(UplinkError, match="out of luck"):
        uplink.append(STEPS[0])


def test_a_busy_port_and_a_busy_archive_are_named_with_the_cure(cell: Cell, tmp_path: Path):
    inbox = cell.inbox()
    with pytest.raises(StoreError, match="stop that one"):
        Inbox(ANY, cell.archive, SPEC, run="x").start()
    with pytest.raises(LinkError, match="in use: another learner runs there"):
        Inbox(inbox.address, tmp_path / "other.sqlite", SPEC, run="x").start()
    StepStore.open(tmp_path / "other.sqlite", SPEC).close()


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:*", "tcp://*:5999", "tcp://192.0.2.7:5555", "tcp://gpu-box:5555"])
def test_leaving_the_machine_without_keys_is_refused_with_the_cure(tmp_path: Path, address: str):
    with pytest.raises(LinkError, match=r"link\.insecure=true"):
        Inbox(address, tmp_path / "steps.sqlite", SPEC, run="x").start()
    with pytest.raises(LinkError, match=r"link\.insecure=true"):
        Uplink(address, tmp_path / "outbox.sqlite", SPEC).start()


def test_leaving_the_machine_is_allowed_where_somebody_says_so(cell: Cell, tmp_path: Path):
    inbox = Inbox("tcp://0.0.0.0:*", cell.archive, SPEC, run="x", insecure=True)
    inbox.start()
    uplink = cell.uplink(inbox.address.replace("0.0.0.0", "127.0.0.1"))
    until(lambda: uplink.status.state == "connected")
    inbox.close(0)


def test_an_address_that_is_none_is_named(cell: Cell):
    with pytest.raises(LinkError, match="write tcp://<host>:<port>"):
        cell.uplink("tcp://127.0.0.1:notaport")


def test_strangers_noise_is_counted_and_does_not_disturb(cell: Cell):
    zmq = pytest.importorskip("zmq")
    inbox = cell.inbox()
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.connect(inbox.address)
    for _ in range(100):
        stranger.send(b"\xdf\xff\xff\xff\xff")
        stranger.send_multipart([b"a", b"b", STREAM.encode()])
    uplink = cell.uplink(inbox.address)
    for step in STEPS[:20]:
        uplink.append(step)
    until(lambda: inbox.status.archived == 20 and inbox.status.damaged == 200)
    stranger.close(0)
    context.term()
    assert_whole(cell.archived(), 20)
