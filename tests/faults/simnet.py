"""One learner, several actors, their disks, their network and their clock in one thread: a seed is a history.

The links are the real ones; everything around them is a fake that can do what the world does. A connection carries
messages in order until somebody delays, drops, repeats or reorders one; when it is cut, a first part of what was under
way still arrives, late, as it does from a socket's buffers. Disks keep what was committed. Whatever happens, `SimNet`
checks after each event what must always hold, and `calm` what must hold once nothing goes wrong any more.
"""

from experience import Clock
from simdisks import SPEC, Actor, Archive, body_of, flipped

from wire import link
from wire.learner_link import LearnerLink

CREDIT_RECORDS, CREDIT_BYTES = 4, 60
"""Less than the real ones, so that short histories exhaust them."""
DAMAGED = b"damaged"
CALM_S = 20.0
"""A link without faults has delivered everything by then: the longest waits are AWAY_S, REFUSED_S and HELLO_MAX_S."""
_TURN_S = 0.1


class SimNet:
    """The world: call its events in any order, then `calm`. Which actor or message is meant is an int of any size."""

    def __init__(self, actors: int = 2) -> None:
        self.clock = Clock()
        self.archive = Archive()
        self.connections = 0
        self.processes = 0
        self.versions = 0
        self.published = (0, b"")
        self.finished = False
        self.corrupted: set[bytes] = set()
        """Messages in which a bit was flipped, as they are now."""
        self.actors = [Actor(number) for number in range(actors)]
        self._start_learner()
        for which in range(actors):
            self.plug(which)

    # What happens when all is well.

    def append(self, which: int, count: int = 1, skip: int = 0, damaged: bool = False) -> None:
        """The robot makes steps."""
        actor = self.actors[which % len(self.actors)]
        for _ in range(count):
            body = DAMAGED if damaged else body_of(actor.outbox.stream, actor.outbox.newest + 1 + skip)
            actor.accepted.append(actor.outbox.append(body, skip))

    def turn_actor(self, which: int) -> None:
        """One round of the uplink's thread, what has arrived already taken in."""
        actor = self.actors[which % len(self.actors)]
        weights = actor.link.weights
        if weights is not None:
            actor.weights = (weights.version, weights.body)
            actor.link.weights_done(weights.version)
        for seq in actor.outbox.delete_until(actor.link.acked_seq):
            assert not actor.owed(self.archive, seq - 1, seq + 1), f"step {seq} was deleted and is on no disk"
        for data in actor.link.step(self.clock.now_s):
            if not actor.peer:
                actor.link.lost(self.clock.now_s)
                continue
            actor.up.append((actor.peer, data))
            message = link.decode_from_actor(data)
            if isinstance(message, link.Record):
                actor.window.append((message.seq, len(message.body)))
        assert len(actor.window) <= CREDIT_RECORDS, "more records in flight than the learner granted"
        assert sum(size for _, size in actor.window) <= CREDIT_BYTES, "more bytes in flight than the learner granted"

    def turn_learner(self) -> None:
        """The learner sends what is due."""
        for peer, data in self.learner.step(self.clock.now_s):
            actor = next((actor for actor in self.actors if actor.peer == peer), None)
            if actor is None:
                self.learner.gone(peer)
                continue
            message = link.decode_from_learner(data)
            if isinstance(message, link.Ack | link.Welcome):
                stream = actor.outbox.stream
                assert message.last_seq <= self.archive.settled(stream), "acknowledged before it was on disk"
            actor.down.append(data)

    def deliver_up(self, which: int, index: int = 0) -> None:
        """A message reaches the learner; not the first: it has overtaken others."""
        actor = self.actors[which % len(self.actors)]
        if not actor.up:
            return
        peer, data = actor.up.pop(index % len(actor.up))
        dropped = self.learner.dropped
        arrival = self.learner.receive(peer, data, self.clock.now_s)
        assert self.learner.dropped == dropped or data in self.corrupted, "dropped, and nothing had happened to it"
        if arrival is None:
            return
        damaged = arrival.body == DAMAGED
        if damaged:
            self.learner.reject(arrival, "it fails its checksum")
        else:
            assert arrival.body == body_of(arrival.stream, arrival.seq), "another step's contents"
        self.archive.pending.append((arrival.stream, arrival.seq, damaged))

    def deliver_down(self, which: int, index: int = 0) -> None:
        """A message reaches the actor; not the first: it has overtaken others."""
        actor = self.actors[which % len(self.actors)]
        if not actor.down:
            return
        data = actor.down.pop(index % len(actor.down))
        dropped = actor.link.dropped
        actor.link.receive(data, self.clock.now_s)
        if actor.link.dropped > dropped:
            assert data in self.corrupted, "dropped, and nothing had happened to it"
            return
        match link.decode_from_learner(data):
            case link.Welcome():
                actor.window.clear()
            case link.Ack(last_seq=last_seq):
                while actor.window and actor.window[0][0] <= last_seq:
                    actor.window.popleft()

    def commit(self) -> None:
        """The learner's disk takes what has come, or does not."""
        if self.archive.broken:
            self.fail_commit()
            return
        self._check_pending()
        self.archive.commit()
        self.learner.committed()

    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.clock.tick(seconds)

    def sync(self, which: int) -> None:
        """The actor's disk makes everything so far survive a power cut."""
        self.actors[which % len(self.actors)].outbox.sync()

    def forget(self, which: int) -> None:
        """The actor's disk commits its deletions."""
        self.actors[which % len(self.actors)].outbox.commit()

    def publish(self) -> None:
        """Training has new weights."""
        self.versions += 1
        body = b"weights %d of process %d" % (self.versions, self.processes)
        self.published = (self.session + self.versions, body)
        self.learner.publish(self.versions, body)

    def finish(self) -> None:
        """The budget is spent."""
        self.finished = True
        self.learner.finish("done")

    # What goes wrong.

    def drop(self, which: int, index: int, up: bool) -> None:
        """A message never arrives."""
        actor = self.actors[which % len(self.actors)]
        queue = actor.up if up else actor.down
        if queue:
            queue.pop(index % len(queue))

    def repeat(self, which: int, index: int, up: bool) -> None:
        """A message arrives once more, later."""
        actor = self.actors[which % len(self.actors)]
        queue: list = actor.up if up else actor.down
        if queue:
            queue.append(queue[index % len(queue)])

    def corrupt(self, which: int, index: int, up: bool, position: int) -> None:
        """A bit flips in a message under way."""
        actor = self.actors[which % len(self.actors)]
        if up and actor.up:
            peer, data = actor.up[index % len(actor.up)]
            changed = flipped(data, position)
            actor.up[index % len(actor.up)] = peer, changed
            self.corrupted.add(changed)
        elif not up and actor.down:
            changed = flipped(actor.down[index % len(actor.down)], position)
            actor.down[index % len(actor.down)] = changed
            self.corrupted.add(changed)

    def unplug(self, which: int, kept: int) -> None:
        """The connection is gone; the first few messages each way are in the receivers' buffers already."""
        actor = self.actors[which % len(self.actors)]
        actor.peer = b""
        del actor.up[kept:], actor.down[kept:]

    def plug(self, which: int) -> None:
        """There is a connection again, which the learner takes for a new peer."""
        actor = self.actors[which % len(self.actors)]
        if not actor.peer:
            self.connections += 1
            actor.peer = b"%d" % self.connections

    def cut(self, which: int, kept: int) -> None:
        """The connection breaks and comes back."""
        self.unplug(which, kept)
        self.plug(which)

    def crash_actor(self, which: int, kept: int) -> None:
        """Kill -9; the process starts again at once."""
        self.cut(which, kept)
        actor = self.actors[which % len(self.actors)]
        actor.outbox.crash()
        actor.start()

    def power_cut(self, which: int) -> None:
        """The actor's machine loses power: its newest steps, which it had not synced, may be gone."""
        self.cut(which, 0)
        actor = self.actors[which % len(self.actors)]
        before = set(actor.outbox.records)
        actor.outbox.power_cut()
        actor.lost |= before - set(actor.outbox.records)
        actor.start()

    def crash_learner(self, kept: int) -> None:
        """Kill -9; the process starts again at once."""
        for which, actor in enumerate(self.actors):
            actor.up.clear()
            self.cut(which, kept)
        self.archive.pending = []
        self._start_learner()

    def copy_archive(self) -> None:
        """Somebody copies the archive and the checkpoint."""
        self.archive.copy()

    def restore_archive(self) -> None:
        """Somebody starts the learner from the older copy: what only the newer archive had is theirs to look for."""
        self.archive.restore()
        self.versions //= 2
        self.crash_learner(0)

    def fail_commit(self) -> None:
        """The learner's disk is full."""
        self.archive.pending = []
        self.learner.rolled_back("the disk is full")

    def break_disk(self, broken: bool) -> None:
        """The learner's disk stops answering, or answers again."""
        self.archive.broken = broken

    # What must hold in the end.

    def calm(self) -> float:
        """Nothing goes wrong any more: everything is delivered in bounded time; returns how many seconds it took."""
        self.archive.broken = False
        start_s = self.clock.now_s
        for which in range(len(self.actors)):
            self.plug(which)
        while not self._drained():
            assert self.clock.now_s - start_s < CALM_S, f"it does not come to rest: {self._why()}"
            self._turn()
        return self.clock.now_s - start_s

    def _turn(self) -> None:
        self.tick(_TURN_S)
        for which, actor in enumerate(self.actors):
            self.turn_actor(which)
            for _ in range(len(actor.up)):
                self.deliver_up(which)
        self.commit()
        self.turn_learner()
        for which, actor in enumerate(self.actors):
            for _ in range(len(actor.down)):
                self.deliver_down(which)

    def _drained(self) -> bool:
        return all(
            actor.link.live
            and not actor.outbox.records
            and not actor.up
            and actor.weights == self.published
            and actor.link.state == ("finished" if self.finished else "connected")
            and not actor.owed(self.archive, 0, actor.outbox.newest + 1)
            for actor in self.actors
        )

    def _why(self) -> str:
        lines = []
        for actor in self.actors:
            lines.append(
                f"{actor.link.state} acked={actor.link.acked_seq} waiting={list(actor.outbox.records)} "
                f"owed={actor.owed(self.archive, 0, actor.outbox.newest + 1)} "
                f"archived={self.archive.rows.get(actor.outbox.stream)}"
            )
        return "; ".join(lines)

    def _check_pending(self) -> None:
        """What is about to be committed is next in its stream: nothing twice, nothing skipped, within the credit."""
        last: dict[str, int] = {}
        counts: dict[str, int] = {}
        for stream, seq, _ in self.archive.pending:
            actor = self.actors[int(stream, 16)]
            before = last.get(stream, self.archive.last_seq(stream))
            assert seq > before, f"step {seq} came twice or out of order, after {before}"
            skipped = actor.owed(self.archive, before, seq)
            assert not skipped, f"step {seq} was taken after {before}: {skipped} are skipped"
            last[stream] = seq
            counts[stream] = counts.get(stream, 0) + 1
        assert all(n <= CREDIT_RECORDS for n in counts.values()), "the learner holds more than it granted"

    def _start_learner(self) -> None:
        self.processes += 1
        self.session = self.processes << 20
        self.learner = LearnerLink("run", SPEC, self.archive.last_seq, session=self.session)
        self.publish()
        if self.finished:
            self.learner.finish("done")
