"""The learner is away: the actor spools to its disk, says when there is no more room, and then catches up."""

import contextlib
import dataclasses
import os
import signal
from pathlib import Path

import pytest
from counts import count
from experience import make_spec, make_step
from rooms import PATIENCE_S, Cell, cell, until

from actor.outbox import CAP_BYTES, Outbox
from actor.room import shortage, wait_for_room
from actor.status import LinkStatus
from actor.uplink import Uplink, UplinkError
from learner.inbox import Inbox
from wire.store import StepStore

pytestmark = [pytest.mark.process, pytest.mark.timeout(3600)]
CAMERAS = make_spec(size=158)
"""Two cameras, 150 kB a step."""
SMALL = make_spec(size=64)
LIVE_HZ = 20.0


def test_what_was_spooled_while_the_learner_was_away_arrives_five_times_faster_than_live(tmp_path: Path):
    spooled = count(ci=400, nightly=int(600 * LIVE_HZ))
    with cell(tmp_path, CAMERAS, rate_hz=count(ci=200, nightly=int(LIVE_HZ))) as rooms:
        rooms.start("actor0")
        until(lambda: rooms.accepted("actor0") >= spooled, 1200)
        rooms.kill("actor0")
        rooms.rate_hz = LIVE_HZ
        rooms.start("actor0")
        rooms.start("learner")
        until(lambda: rooms.acked("actor0") > 0)
        began_s = used_by(rooms)
        took_s = until(lambda: rooms.acked("actor0") >= spooled, 600)
        used_s = used_by(rooms) - began_s
        rooms.drain()
        archived, lost, duplicated = rooms.check()
    # Both rooms on one core that others use too: what they would do alone is told by the processor's time.
    rate, alone = spooled / took_s, spooled / used_s
    print(
        f"D6: {spooled} steps of 150 kB spooled, caught up at {rate:.0f}/s, {rate / LIVE_HZ:.1f} times the live rate, "
        f"by processor time {alone / LIVE_HZ:.1f} times; {archived} archived, {lost} lost, {duplicated} duplicated"
    )
    assert (lost, duplicated) == (0, 0)
    assert alone >= 5 * LIVE_HZ


def test_the_cap_is_never_exceeded_and_what_was_accepted_arrives(tmp_path: Path):
    cap_bytes = 4_000_000
    archive = tmp_path / "steps.sqlite"
    inbox = Inbox("tcp://127.0.0.1:*", archive, SMALL, run="test")
    inbox.start()
    inbox.close(0)
    with contextlib.closing(_Uplink(inbox.address, tmp_path / "outbox.sqlite", SMALL, cap_bytes=cap_bytes)) as uplink:
        uplink.start()
        number = 0
        while not uplink.status.full:
            uplink.append(make_step(SMALL, number))
            number += 1
            until(lambda: uplink.status.waiting == 0)
        assert uplink.status.nearly_full
        held_at = uplink.status.pending_bytes
        assert 0.9 * cap_bytes < held_at <= cap_bytes - 2 * SMALL.step_bytes()
        assert "of at most 0.004 GB (actor.outbox_cap_gb)" in uplink.status.room
        # Whoever does not listen is stopped all the same.
        with contextlib.suppress(UplinkError):
            for _ in range(100):
                uplink.append(make_step(SMALL, number))
                number += 1
                until(lambda: uplink.status.waiting == 0)
        with pytest.raises(UplinkError, match=r"the outbox is full: .* holds .* GB"):
            uplink.append(make_step(SMALL, number))
        assert uplink.status.pending_bytes <= cap_bytes
        inbox = Inbox(inbox.address, archive, SMALL, run="test")
        inbox.start()
        until(lambda: uplink.status.unacked == 0)
        assert not uplink.status.nearly_full
    inbox.close(0)
    with StepStore.read(archive) as store:
        assert [row.seq for row in store.rows()] == list(range(1, number + 1))
    print(f"D6: told to hold at {held_at / cap_bytes:.0%} of the cap, which was never exceeded; 0 dropped")


def used_by(rooms: Cell) -> float:
    """Seconds of processor that the rooms have used so far."""
    stats = [Path(f"/proc/{room.pid}/stat").read_text().rpartition(")")[2].split() for room in rooms.processes.values()]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")


class _Uplink(Uplink):
    def close(self, timeout_s: float = 5.0) -> bool:
        return super().close(timeout_s)


def test_a_disk_that_is_almost_full_counts_like_the_cap(tmp_path: Path):
    outbox = Outbox(tmp_path / "outbox.sqlite", SMALL)
    assert not outbox.nearly_full
    assert not outbox.full
    outbox._free_bytes = 60 << 20
    assert outbox.nearly_full
    assert not outbox.full
    outbox._free_bytes = 10 << 20
    assert outbox.full
    assert "its disk has 0.0105 GB free" in outbox.room
    outbox.sync()
    assert not outbox.nearly_full
    outbox.close()


STATUS = LinkStatus("connecting", 5, 0, 900, 0, 0, 5, 0, nearly_full=True, full=False, room="there is none", detail="")


@pytest.mark.parametrize("full", [False, True])
def test_without_room_the_robot_holds_and_a_person_is_told_what_there_is(full: bool, caplog: pytest.LogCaptureFixture):
    told: list[str] = []
    moments = iter([dataclasses.replace(STATUS, full=full)] * 3 + [dataclasses.replace(STATUS, nearly_full=False)])
    wait_for_room(lambda: next(moments), lambda: told.append("hold"), ("finished",))
    assert told == ["hold"]
    assert next(moments, None) is None
    assert "there is none" in caplog.text
    assert "The robot holds until there is room" in caplog.text
    assert ("the episode was ended before its time" in caplog.text) == full


def test_a_wait_for_room_ends_with_the_run():
    wait_for_room(lambda: dataclasses.replace(STATUS, state="finished"), lambda: None, ("finished",))


def test_eight_hours_fit_the_cap_and_a_disk_that_does_not_take_them_is_named(tmp_path: Path):
    hours = 8 * 3600 * LIVE_HZ * CAMERAS.step_bytes()
    print(
        f"D6: 8 h of 20 Hz x {CAMERAS.step_bytes() / 1e3:.0f} kB take {hours / 1e9:.1f} GB, 90 % of the cap are 90.0 GB"
    )
    assert hours < 0.9 * CAP_BYTES
    outbox = tmp_path / "outbox.sqlite"
    assert shortage(CAMERAS, cap_bytes=CAP_BYTES, free_bytes=CAP_BYTES, outbox=outbox) is None
    text = shortage(CAMERAS, cap_bytes=CAP_BYTES, free_bytes=20 * 10**9, outbox=outbox)
    assert text is not None
    for words in ("the steps of 1.8 h (20 Hz x 150 kB) fit", "has 20.0 GB free", "8 h take 86.6 GB", "make room"):
        assert words in text
    text = shortage(CAMERAS, cap_bytes=10**9, free_bytes=CAP_BYTES, outbox=outbox)
    assert text is not None
    assert "actor.outbox_cap_gb is 1, 8 h take" in text
    assert text.endswith("; raise it")


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak(pid: int, seconds: float) -> int:
    """The most memory a process holds at any time in the next seconds, sampled."""
    most = [0]

    def sample() -> bool:
        most[0] = max(most[0], rss_bytes(pid))
        return False

    with contextlib.suppress(AssertionError):
        until(sample, seconds)
    return most[0]


def test_an_actor_whose_learner_is_stopped_stays_as_small_as_it_was(tmp_path: Path):
    seconds, rate_hz = count(ci=10, nightly=600), count(ci=80, nightly=20)
    with cell(tmp_path, CAMERAS, rate_hz=rate_hz) as rooms:
        rooms.start("learner")
        rooms.start("actor0")
        until(lambda: rooms.acked("actor0") > 30)
        actor, learner = rooms.processes["actor0"].pid, rooms.processes["learner"].pid
        assert actor is not None
        assert learner is not None
        before = rss_bytes(actor)
        os.kill(learner, signal.SIGSTOP)
        accepted = rooms.accepted("actor0")
        most = peak(actor, seconds)
        spooled = rooms.accepted("actor0") - accepted
        os.kill(learner, signal.SIGCONT)
        rooms.drain()
        archived, lost, duplicated = rooms.check()
    grown = (most - before) / 2**20
    print(
        f"B1: learner stopped for {seconds} s, {spooled} steps of 150 kB spooled, actor +{grown:.0f} MiB; "
        f"{archived} archived, {lost} lost, {duplicated} duplicated"
    )
    assert spooled > 20 * seconds / 2
    assert grown <= 50
    assert (lost, duplicated) == (0, 0)


def test_a_learner_with_eight_greedy_actors_stays_within_its_credit(tmp_path: Path):
    with cell(tmp_path, CAMERAS, actors=8, rate_hz=1000.0) as rooms:
        rooms.start("learner")
        until(lambda: (tmp_path / "steps.sqlite").exists())
        learner = rooms.processes["learner"].pid
        assert learner is not None
        before = rss_bytes(learner)
        for name in rooms.actors:
            rooms.start(name)
        until(lambda: all(rooms.acked(name) > 0 for name in rooms.actors), PATIENCE_S)
        most = peak(learner, count(ci=5, nightly=60))
        taken = sum(rooms.acked(name) for name in rooms.actors)
    grown = (most - before) / 2**20
    print(f"B1: learner with 8 greedy actors, {taken} steps of 150 kB taken: +{grown:.0f} MiB")
    assert grown <= 200
