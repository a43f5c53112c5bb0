"""The promises of the link, on a simulated network that drops, repeats, reorders and cuts, with disks that survive."""

from collections.abc import Iterator

import pytest
from experience import STREAM, Clock, make_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import link
from wire.actor_link import ActorLink
from wire.codec import encode_spec
from wire.database import StoreError
from wire.learner_link import LearnerLink
from wire.specs import EnvSpec

SPEC = make_spec()


class Outbox:
    """An outbox whose disk is a dict."""

    def __init__(self) -> None:
        self.newest = 0
        self.records: dict[int, bytes] = {}

    def append(self, skip: int = 0) -> None:
        self.newest += 1 + skip
        self.records[self.newest] = b"step %d" % self.newest

    def unsent(self, after: int, max_records: int, max_bytes: int) -> Iterator[tuple[int, bytes]]:
        for seq in sorted(seq for seq in self.records if seq > after)[:max_records]:
            max_bytes -= len(self.records[seq])
            if max_bytes < 0:
                return
            yield seq, self.records[seq]


def make_hello(spec: EnvSpec = SPEC, protocol: int = link.PROTOCOL, stream: str = STREAM) -> link.Hello:
    return link.Hello(protocol=protocol, stream=stream, spec=encode_spec(spec), software="test")


class World:
    """One actor and one learner, their disks, and what is under way between them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.outbox = Outbox()
        self.produced: list[int] = []
        self.archive: list[int] = []
        self.uncommitted: list[int] = []
        self.rejected: list[int] = []
        self.connections = self.session = 0
        self.start_actor()
        self.start_learner()

    def start_actor(self) -> None:
        self.actor = ActorLink(make_hello(), self.outbox)
        self.cut()

    def start_learner(self) -> None:
        self.uncommitted = []
        self.learner = LearnerLink("run", SPEC, lambda stream, spec: max(self.archive, default=0), session=self.session)
        self.session += 100
        self.cut()

    def cut(self) -> None:
        """What is under way is lost, and the actor comes back as another connection."""
        self.connections += 1
        self.peer = b"peer %d" % self.connections
        self.up: list[bytes] = []
        self.down: list[bytes] = []

    def append(self, skip: int = 0) -> None:
        self.outbox.append(skip)
        self.produced.append(self.outbox.newest)

    def turn_actor(self) -> None:
        self.up += self.actor.step(self.clock.now_s)
        for seq in [seq for seq in self.outbox.records if seq <= self.actor.acked_seq]:
            assert seq in self.archive + self.rejected, "acknowledged before it was on disk"
            del self.outbox.records[seq]

    def turn_learner(self) -> None:
        self.down += [data for peer, data in self.learner.step(self.clock.now_s) if peer == self.peer]

    def arrive_up(self, data: bytes) -> None:
        arrival = self.learner.receive(self.peer, data, self.clock.now_s)
        if arrival is not None:
            assert arrival.body == b"step %d" % arrival.seq
            self.uncommitted.append(arrival.seq)

    def commit(self) -> None:
        self.archive += self.uncommitted
        self.uncommitted = []
        self.learner.committed()

    def fail_commit(self) -> None:
        self.uncommitted = []
        self.learner.rolled_back("disk full")

    def calm(self, seconds: float = 30.0) -> None:
        """The network behaves for a while."""
        end_s = self.clock.now_s + seconds
        while self.clock.tick() < end_s:
            self.turn_actor()
            up, self.up = self.up, []
            for data in up:
                self.arrive_up(data)
            self.commit()
            self.turn_learner()
            down, self.down = self.down, []
            for data in down:
                self.actor.receive(data, self.clock.now_s)

    def event(self, what: int, where: int) -> None:
        """One thing that may happen."""
        queue = self.up if where % 2 else self.down
        index = where % len(queue) if queue else 0
        match what:
            case 0 | 1 | 2:
                self.append(skip=1000 if where == 7 else 0)
            case 3 | 4:
                self.turn_actor()
                self.turn_learner()
            case 5 | 6 | 7 if queue:
                data = queue.pop(0 if what != 7 else index)
                self.arrive_up(data) if queue is self.up else self.actor.receive(data, self.clock.now_s)
            case 8 if queue:
                queue.pop(index)
            case 9 if queue:
                queue.append(queue[index])
            case 10:
                self.commit()
            case 11:
                self.clock.tick((0.05, 0.3, 1.5, 6.0)[where % 4])
            case 12:
                (self.start_actor, self.start_learner, self.cut)[where % 3]()
            case 13:
                self.fail_commit()


@given(st.lists(st.tuples(st.integers(0, 13), st.integers(0, 63)), max_size=150))
@settings(max_examples=150)
def test_whatever_the_network_does_nothing_is_lost_or_doubled_and_the_order_is_kept(events: list[tuple[int, int]]):
    world = World()
    for what, where in events:
        world.event(what, where)
        assert world.archive == world.produced[: len(world.archive)]
    world.append()
    world.calm()
    assert world.archive == world.produced
    assert world.actor.state == "connected"
    assert world.actor.acked_seq == world.outbox.newest
    assert not world.outbox.records
    assert world.actor.dropped == world.learner.dropped == 0


def connected(records: int = 0) -> World:
    world = World()
    for _ in range(records):
        world.append()
    world.calm(1.0)
    assert world.actor.state == "connected"
    return world


def test_a_gap_is_answered_by_welcome_and_closed_at_once():
    world = connected(1)
    for _ in range(3):
        world.append()
    world.turn_actor()
    world.up.pop(0)
    world.calm(0.2)
    assert world.archive == [1, 2, 3, 4]


def test_a_whole_window_that_was_lost_is_sent_again_though_nothing_follows_it():
    world = connected()
    for _ in range(2 * link.CREDIT_RECORDS):
        world.append()
    world.turn_actor()
    world.up.clear()
    world.calm(link.STALL_S + 1)
    assert world.archive == world.produced


def test_records_whose_commit_failed_are_not_acknowledged_and_come_again():
    world = connected()
    world.append()
    world.turn_actor()
    for data in world.up:
        world.arrive_up(data)
    world.up.clear()
    world.fail_commit()
    world.append()
    world.calm(1)
    assert world.archive == [1, 2]


def test_a_record_that_comes_twice_is_taken_once_and_acknowledged_again():
    world = connected()
    world.append()
    world.turn_actor()
    [record] = world.up
    world.up.append(record)
    world.calm(1)
    world.arrive_up(record)
    world.calm(1)
    assert world.archive == [1]
    assert world.learner.duplicates == 2


@pytest.mark.parametrize(("settle", "last_seq"), [("commit", 1), ("fail_commit", 0)])
def test_welcome_waits_for_what_is_on_its_way_to_the_disk(settle: str, last_seq: int):
    world = connected()
    world.append()
    world.turn_actor()
    for data in world.up:
        world.arrive_up(data)
    world.turn_learner()
    world.down.clear()
    world.arrive_up(link.encode(make_hello()))
    world.turn_learner()
    assert not world.down
    getattr(world, settle)()
    world.turn_learner()
    told = [message for data in world.down if isinstance(message := link.decode_from_learner(data), link.Welcome)]
    assert [message.last_seq for message in told] == [last_seq]


def test_what_is_in_flight_never_exceeds_the_credit():
    world = connected()
    for _ in range(100):
        world.append()
    for _ in range(50):
        world.turn_actor()
    assert len(world.up) == link.CREDIT_RECORDS
    world.outbox.records = {seq: bytes(link.CREDIT_BYTES // 3) for seq in world.outbox.records}
    big = World()
    big.outbox.newest = 9
    big.outbox.records = {seq: bytes(link.CREDIT_BYTES // 3) for seq in range(1, 10)}
    big.actor.receive(
        link.encode(link.Welcome(run="r", last_seq=0, credit_records=32, credit_bytes=link.CREDIT_BYTES)), 100.0
    )
    assert sum(len(data) > 1000 for data in big.actor.step(100.0)) == 3


@pytest.mark.parametrize("size", [10, link.CREDIT_BYTES // 3])
def test_a_learner_cannot_talk_an_actor_into_sending_more_than_fits_its_memory(size: int):
    actor, outbox = ActorLink(make_hello(), Outbox()), Outbox()
    actor._outbox = outbox
    outbox.newest = 100
    outbox.records = {seq: bytes(size) for seq in range(1, 101)}
    actor.receive(link.encode(link.Welcome(run="r", last_seq=0, credit_records=2**53, credit_bytes=2**53)), 100.0)
    sent = [data for data in actor.step(100.0) if len(data) > size]
    sent = [data for data in sent if isinstance(link.decode_from_actor(data), link.Record)]
    assert len(sent) == min(link.CREDIT_RECORDS, link.CREDIT_BYTES // size)


def test_nothing_is_acknowledged_before_it_is_committed():
    world = connected()
    world.append()
    world.turn_actor()
    for data in world.up:
        world.arrive_up(data)
    world.clock.tick(2)
    world.turn_learner()
    for data in world.down:
        world.actor.receive(data, world.clock.now_s)
    assert world.actor.acked_seq == 0
    world.commit()
    world.turn_learner()
    for data in world.down:
        world.actor.receive(data, world.clock.now_s)
    assert world.actor.acked_seq == 1


def test_a_silent_learner_is_away_and_found_again():
    world = connected()
    for _ in range(120):
        world.clock.tick()
        world.turn_actor()
    assert world.actor.state == "away"
    hellos = len(world.up)
    assert hellos < 15, "HELLO backs off"
    world.calm(3)
    assert world.actor.state == "connected"


def test_an_idle_link_stays_connected():
    world = connected()
    world.calm(60)
    assert world.actor.state == "connected"
    assert [stream.state(world.clock.now_s) for stream in world.learner.streams.values()] == ["connected"]


def test_a_new_run_takes_what_the_outbox_still_has_of_an_old_stream():
    world = connected(5)
    world.archive.clear()
    world.produced.clear()
    world.start_learner()
    for _ in range(3):
        world.append()
    world.calm()
    assert world.archive == world.produced == [6, 7, 8]


def test_an_outbox_restored_from_a_copy_is_refused_with_the_cure():
    world = connected(5)
    world.outbox.newest = 3
    world.start_actor()
    world.calm(1)
    assert world.actor.state == "refused"
    assert "Move the outbox file away" in world.actor.detail


def test_another_spec_is_refused_and_both_sides_and_every_difference_are_named():
    world = World()
    world.actor = ActorLink(make_hello(make_spec(task="pick", state=9)), world.outbox)
    world.calm(1)
    assert world.actor.state == "refused"
    for words in (
        "the learner (here)",
        "the actor (there)",
        "task: reach here, pick there",
        "(3,)",
        "(9,)",
        "Start both",
    ):
        assert words in world.actor.detail
    assert world.learner.refused >= 1


def test_another_protocol_is_refused_and_both_versions_are_named():
    world = World()
    world.actor = ActorLink(make_hello(protocol=7), world.outbox)
    world.calm(1)
    assert world.actor.state == "refused"
    assert "link protocol 1, the actor 7" in world.actor.detail


def test_a_refused_actor_asks_again_and_is_taken_once_the_learner_agrees():
    world = World()
    world.actor = ActorLink(make_hello(make_spec(task="pick")), world.outbox)
    world.calm(1)
    world.learner = LearnerLink("run", make_spec(task="pick"), lambda stream, spec: 0)
    world.calm(10)
    assert world.actor.state == "connected"


def test_the_first_actor_says_what_the_steps_are_like_and_the_next_must_agree():
    learner = LearnerLink("run", None, lambda stream, spec: 0)
    learner.receive(b"a", link.encode(make_hello()), 0.0)
    assert learner.spec == SPEC
    learner.receive(b"b", link.encode(make_hello(make_spec(task="pick"), stream="f" * 32)), 0.0)
    sent = [(peer, link.decode_from_learner(data)) for peer, data in learner.step(0.0)]
    assert [type(message) for peer, message in sent if peer == b"b"] == [link.Refused]


def test_a_learner_whose_archive_cannot_be_opened_asks_for_patience():
    def resume(stream: str, spec: EnvSpec) -> int:
        raise StoreError("the disk is full")

    learner = LearnerLink("run", None, resume)
    learner.receive(b"a", link.encode(make_hello()), 0.0)
    [(_, data)] = learner.step(0.0)
    assert link.decode_from_learner(data) == link.NotNow(reason="the disk is full")
    assert learner.spec is None


@pytest.mark.parametrize("known", [False, True], ids=["at first", "while connected"])
def test_an_actor_that_is_asked_for_patience_keeps_its_steps_and_asks_again(known: bool):
    world = connected() if known else World()
    world.append()
    world.actor.receive(link.encode(link.NotNow(reason="the disk is full")), world.clock.now_s)
    assert (world.actor.state, world.actor.detail) == ("away", "the disk is full")
    assert not world.actor.live
    said = 0
    for _ in range(100):
        world.clock.tick(0.1)
        out = [link.decode_from_actor(data) for data in world.actor.step(world.clock.now_s)]
        assert all(isinstance(message, link.Hello) for message in out)
        if out:
            said += 1
            world.actor.receive(link.encode(link.NotNow(reason="the disk is full")), world.clock.now_s)
    assert 5 <= said <= 15, "it asks on, and with patience"
    world.calm(link.HELLO_MAX_S + 1)
    assert (world.actor.state, world.actor.detail) == ("connected", "")
    assert world.archive == world.produced


def test_a_rejected_record_is_stepped_over_and_named():
    world = connected()
    world.append()
    world.turn_actor()
    arrival = next(a for data in world.up if (a := world.learner.receive(world.peer, data, world.clock.now_s)))
    world.up.clear()
    world.learner.reject(arrival, "action holds a NaN")
    world.rejected.append(arrival.seq)
    world.append()
    world.calm(1)
    assert world.archive == [2]
    assert world.actor.rejected == 1
    assert not world.outbox.records


def test_a_record_damaged_on_its_way_comes_again_wherever_the_bit_flipped():
    world = connected()
    world.append()
    world.turn_actor()
    [record] = world.up
    for bit in range(8 * len(record)):
        flipped = bytearray(record)
        flipped[bit // 8] ^= 1 << bit % 8
        assert world.learner.receive(world.peer, bytes(flipped), world.clock.now_s) is None
    assert world.learner.dropped == 8 * len(record)
    assert "fails its checksum" in world.learner.detail
    world.up.clear()
    world.calm(link.STALL_S + 1)
    assert world.archive == [1]
    assert world.actor.rejected == 0


def test_a_silent_connection_is_replaced_again_and_again_and_a_live_one_never():
    world = connected()
    assert not world.actor.renewal_due(world.clock.now_s)
    world.calm(20)
    assert not world.actor.renewal_due(world.clock.now_s)
    for _ in range(2):
        world.clock.tick(link.RENEW_S + 0.1)
        assert world.actor.renewal_due(world.clock.now_s)
        assert not world.actor.renewal_due(world.clock.now_s)


def test_weights_damaged_on_their_way_come_again():
    world = connected()
    world.learner.publish(1, b"weights")
    world.turn_learner()
    [data] = [data for data in world.down if b"weights" in data]
    world.down = [data.replace(b"weights", b"wreights")]
    world.calm(link.STALL_S + 1)
    assert world.actor.weights is not None
    assert world.actor.weights.body == b"weights"


def test_a_lost_ready_is_said_again_and_the_newest_weights_come():
    world = connected()
    world.learner.publish(1, b"first")
    world.calm(0.5)
    world.actor.weights_done(1)
    world.turn_actor()
    assert [type(link.decode_from_actor(data)) for data in world.up] == [link.Ready]
    world.up.clear()
    world.learner.publish(2, b"second")
    world.calm(link.STALL_S + 1)
    assert world.actor.weights is not None
    assert world.actor.weights.body == b"second"


def test_an_actor_that_has_said_ready_does_not_say_it_again_while_the_answer_may_be_under_way():
    world = connected()
    said = 0
    for version in range(1, 40):
        world.learner.publish(version, b"weights")
        world.clock.tick(0.1)
        world.turn_actor()
        said += sum(isinstance(link.decode_from_actor(data), link.Ready) for data in world.up)
        for data in world.up:
            world.arrive_up(data)
        world.up.clear()
        world.turn_learner()
        for data in world.down:
            world.actor.receive(data, world.clock.now_s)
        world.down.clear()
        if world.actor.weights is not None:
            world.actor.weights_done(world.actor.weights.version)
    assert said == 38


def test_weights_are_latest_only_with_one_set_in_flight():
    world = connected()
    for version in (1, 2, 3):
        world.learner.publish(version, b"weights %d" % version)
    world.calm(0.5)
    assert world.actor.weights is not None
    assert world.actor.weights.version == 3
    for version in (4, 5, 6):
        world.learner.publish(version, b"weights %d" % version)
        world.calm(0.5)
    assert world.actor.weights.version == 3
    world.actor.weights_done(3)
    world.calm(0.5)
    assert world.actor.weights.body == b"weights 6"
    world.actor.weights_done(6)
    world.calm(5)
    assert world.actor.weights is None


def test_weights_that_were_lost_with_the_connection_come_again():
    world = connected()
    world.learner.publish(1, b"w")
    world.turn_learner()
    world.cut()
    world.calm(5)
    assert world.actor.weights is not None


def test_weights_of_another_process_are_replaced_though_they_have_the_same_number():
    world = connected()
    world.learner.publish(5, b"before the restart")
    world.calm(0.5)
    world.actor.weights_done(5)
    world.start_learner()
    world.learner.publish(5, b"after it")
    world.calm(5)
    assert world.actor.weights is not None
    assert world.actor.weights.body == b"after it"


@pytest.mark.parametrize("lose", ["the connection", "the message"])
def test_weights_of_another_process_come_again_where_they_were_lost_though_they_have_the_same_number(lose: str):
    world = connected()
    world.learner.publish(5, b"before the restart")
    world.calm(0.5)
    world.actor.weights_done(5)
    world.start_learner()
    world.learner.publish(5, b"after it")
    for _ in range(1000):
        world.clock.tick(0.1)
        world.turn_actor()
        for data in world.up:
            world.arrive_up(data)
        world.up = []
        world.turn_learner()
        if any(b"after it" in data for data in world.down):
            break
        for data in world.down:
            world.actor.receive(data, world.clock.now_s)
        world.down = []
    world.down = []
    if lose == "the connection":
        world.cut()
    world.calm(5)
    assert world.actor.weights is not None
    assert world.actor.weights.body == b"after it"


def test_finished_comes_again_where_it_was_lost():
    world = connected()
    world.learner.finish("done")
    world.turn_learner()
    world.down.clear()
    world.calm(1)
    assert world.actor.state == "finished"


def test_an_archive_that_was_replaced_by_an_older_one_is_said_and_the_rest_still_flows(
    caplog: pytest.LogCaptureFixture,
):
    world = connected(5)
    del world.archive[3:]
    world.start_learner()
    world.append()
    world.calm(5)
    assert world.archive == [1, 2, 3, 6]
    assert "run run has gone back to step 3 of this stream after it had acknowledged 5" in caplog.text


def test_finished_reaches_actors_present_and_to_come_and_the_rest_still_flows():
    world = connected(3)
    world.learner.finish("10,000 steps are done")
    world.append()
    world.calm(1)
    assert world.actor.state == "finished"
    assert world.actor.detail == "10,000 steps are done"
    assert world.archive == world.produced
    world.start_actor()
    world.append()
    world.calm(1)
    assert world.actor.state == "finished"
    assert world.archive == world.produced


def test_backlog_travels_with_the_next_acknowledgement():
    world = connected(3)
    world.learner.set_backlog(2)
    world.calm(0.1)
    assert world.actor.backlog == 2


def test_goodbye_is_known_and_a_stream_that_returns_goes_on():
    world = connected(2)
    world.learner.receive(world.peer, world.actor.goodbye(), world.clock.now_s)
    assert world.learner.streams[STREAM].state(world.clock.now_s) == "gone"
    world.start_actor()
    world.append()
    world.calm(1)
    assert world.archive == [1, 2, 3]


@given(st.binary(max_size=64), st.booleans(), st.booleans())
@settings(max_examples=300)
def test_noise_is_dropped_counted_and_named_on_both_sides(noise: bytes, sealed: bool, known: bool):
    world = connected() if known else World()
    noise = link.seal(noise) if sealed else noise
    assert world.learner.receive(world.peer, noise, world.clock.now_s) is None
    world.actor.receive(noise, world.clock.now_s)
    assert world.learner.dropped == world.actor.dropped == 1
    assert "not a message" in world.learner.detail
    assert "not a message" in world.actor.detail


@pytest.mark.parametrize(
    "message",
    [link.Ack(last_seq=99, credit_records=9, credit_bytes=9, backlog=0), link.Ping(), link.Goodbye(), make_hello()],
)
def test_messages_out_of_place_change_nothing(message: link.ToActor | link.ToLearner):
    world = connected(2)
    world.actor.receive(link.encode(message), world.clock.now_s)
    assert world.actor.dropped == 1
    assert world.actor.acked_seq == 2
    assert world.actor.state == "connected"


def test_a_stranger_is_asked_who_it_is():
    learner = LearnerLink("run", SPEC, lambda stream, spec: 0)
    assert learner.receive(b"x", link.encode(link.Record(after=0, seq=1, body=b"")), 0.0) is None
    [(peer, data)] = learner.step(0.0)
    assert peer == b"x"
    assert link.decode_from_learner(data) == link.WhoAreYou()


def test_a_stream_belongs_to_the_name_that_began_it_and_to_no_other():
    owners: dict[str, str] = {}
    learner = LearnerLink("run", SPEC, lambda stream, spec: 0, lambda stream, name: owners.setdefault(stream, name))
    record = link.encode(link.Record(after=0, seq=1, body=b"x"))
    learner.receive(b"a", link.encode(make_hello()), 0.0, "robot-1")
    learner.receive(b"b", link.encode(make_hello()), 0.0, "robot-2")
    refused = [link.decode_from_learner(data) for peer, data in learner.step(0.0) if peer == b"b"]
    assert [type(message) for message in refused] == [link.Refused]
    assert "was begun by robot-1, and robot-2 cannot continue it" in refused[0].reason  # type: ignore[union-attr]
    assert learner.receive(b"b", record, 0.0, "robot-2") is None
    assert learner.receive(b"a", record, 0.0, "robot-1") is not None

    restarted = LearnerLink("run", SPEC, lambda stream, spec: 1, lambda stream, name: owners.setdefault(stream, name))
    restarted.receive(b"b", link.encode(make_hello()), 0.0, "robot-2")
    assert not restarted.streams
    assert restarted.refused == 1


def test_a_connection_that_takes_over_anothers_id_does_not_take_over_its_stream():
    learner = LearnerLink("run", SPEC, lambda stream, spec: 0)
    learner.receive(b"a", link.encode(make_hello()), 0.0, "robot-1")
    learner.step(0.0)
    assert learner.receive(b"a", link.encode(link.Record(after=0, seq=1, body=b"x")), 0.0, "robot-2") is None
    assert [type(link.decode_from_learner(data)) for _, data in learner.step(0.1)] == [link.WhoAreYou]
