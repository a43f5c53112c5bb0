"""An acknowledgement means: on disk at the learner. A step accepted by the actor is on the platter within a second."""

import time
from contextlib import closing
from pathlib import Path

import pytest
from experience import make_spec, make_step
from rooms import until

from actor.uplink import Uplink
from learner.inbox import Inbox
from wire import link
from wire.database import open_reader
from wire.store import StepStore

pytestmark = pytest.mark.process
SPEC = make_spec()


class Watch:
    """Sees, in order, what an inbox tells SQLite and what it tells the actor."""

    def __init__(self, inbox: Inbox, archive: Path) -> None:
        assert inbox._store is not None
        self.inserted = self.committed = self.acks = 0
        self.problems: list[str] = []
        self._archive = archive
        self._send = inbox._socket.send
        inbox._store._db.set_trace_callback(self._statement)
        inbox._socket.send = self._sending  # type: ignore[method-assign]

    def _statement(self, sql: str) -> None:
        self.inserted += sql.startswith("INSERT INTO steps")

    def _sending(self, peer: bytes, data: bytes) -> bool:
        message = link.decode_from_learner(data)
        if isinstance(message, link.Ack):
            self.acks += 1
            # Another connection sees only what is committed.
            with StepStore.read(self._archive) as store:
                self.committed = store.count()
            if message.last_seq > self.committed:
                self.problems.append(f"step {message.last_seq} confirmed, {self.committed} on disk")
        return self._send(peer, data)


def test_no_step_is_acknowledged_before_it_is_committed(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    inbox = Inbox("tcp://127.0.0.1:*", archive, SPEC, run="test")
    inbox.start()
    watch = Watch(inbox, archive)
    uplink = Uplink(inbox.address, tmp_path / "outbox.sqlite", SPEC)
    uplink.start()
    for number in range(300):
        uplink.append(make_step(SPEC, number))
        if number % 30 == 0:
            until(lambda number=number: uplink.status.acked_seq > number - 30)
    assert uplink.flush(30)
    uplink.close(5)
    inbox.close(0)
    print(f"D2: {watch.acks} acknowledgements of {watch.inserted} steps, {len(watch.problems)} before their commit")
    assert watch.problems == []
    assert watch.committed == watch.inserted == 300
    assert watch.acks > 10


def test_a_power_cut_takes_at_most_a_second_of_the_actors_steps(tmp_path: Path):
    """What is in the main file, SQLite's log left aside, was synced before it was copied there."""
    path = tmp_path / "outbox.sqlite"
    uplink = Uplink("tcp://127.0.0.1:9", path, SPEC)
    uplink.start()
    worst_s, appended_s = 0.0, {}
    began_s = time.monotonic()
    while time.monotonic() - began_s < 4.0:
        number = len(appended_s)
        appended_s[number + 1] = time.monotonic()
        uplink.append(make_step(SPEC, number))
        with closing(_main_file_alone(path)) as db:
            synced = db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0]
        if synced < number:
            worst_s = max(worst_s, time.monotonic() - appended_s[synced + 1])
        time.sleep(0.02)
    uplink.close(1)
    print(f"D2: the oldest of {len(appended_s)} steps not yet on the platter was at most {worst_s:.2f} s old")
    assert 0.1 < worst_s <= 1.0


def _main_file_alone(path: Path):
    """The database without its log, copied: SQLite would read the log of the original."""
    from actor.outbox import _KIND

    copy = path.with_name("copy.sqlite")
    copy.write_bytes(path.read_bytes())
    return open_reader(copy, _KIND)
