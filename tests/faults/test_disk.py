"""Disks that fail or are full: no acknowledgement of what is not on disk, a clear message, and recovery after."""

import contextlib
import itertools
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from counts import count
from experience import STREAM, assert_same_step, make_spec, make_step
from failing import Nth, failing_sqlite
from rooms import until

from actor import uplink as uplink_module
from actor.outbox import Outbox
from actor.uplink import Uplink
from learner.inbox import Inbox
from wire.codec import decode_step
from wire.database import StoreError
from wire.specs import EnvSpec
from wire.store import StepStore

SPEC = make_spec()
BIG = make_spec(size=64)
STEPS = [make_step(SPEC, number) for number in range(12)]
TMPFS_BYTES = 4 << 20


def again(act: Callable[[], object], failures: list[str]) -> None:
    """Do something until the disk takes it; at most one operation of it fails."""
    try:
        act()
    except StoreError as error:
        failures.append(str(error))
        act()


def test_whichever_operation_fails_the_outbox_keeps_each_accepted_step_once_and_in_order(tmp_path: Path):
    for n in itertools.count(1):
        path, failures = tmp_path / f"{n}.sqlite", []
        nth = Nth(n)
        with failing_sqlite(nth):
            try:
                outbox = Outbox(path, SPEC)
            except StoreError as error:
                failures.append(str(error))
                outbox = Outbox(path, SPEC)

            def batch(first: int, outbox: Outbox = outbox) -> None:
                for number in range(first, first + 3):
                    outbox.insert(STEPS[number])
                outbox.commit()

            for first in (0, 3, 6):
                again(lambda first=first, batch=batch: batch(first), failures)
                again(outbox.sync, failures)
            again(lambda outbox=outbox: (outbox.delete_until(4), outbox.commit()), failures)
            again(lambda outbox=outbox: list(outbox.unsent(0, 100, 10**9)), failures)
            with contextlib.suppress(StoreError):
                outbox.close()
        outbox = Outbox(path, SPEC)
        kept = [(seq, decode_step(body)) for seq, body in outbox.unsent(0, 100, 10**9)]
        assert [seq for seq, _ in kept] == [5, 6, 7, 8, 9]
        for seq, step in kept:
            assert_same_step(step, STEPS[seq - 1])
        assert (outbox.newest, outbox.appended, outbox.pending) == (9, 9, 5)
        outbox.close()
        assert all("disk I/O error; check the disk" in failure for failure in failures)
        if nth.passed:
            break
    print(f"D4: outbox: {n - 1} operations failed in turn, 0 lost, 0 twice")
    assert n > 30


def test_whichever_operation_fails_the_archive_keeps_each_confirmed_step_once(tmp_path: Path):
    for n in itertools.count(1):
        path = tmp_path / f"{n}.sqlite"
        nth = Nth(n)
        failures: list[str] = []
        with failing_sqlite(nth):
            try:
                store = StepStore.open(path, SPEC)
            except StoreError as error:
                failures.append(str(error))
                store = StepStore.open(path, SPEC)

            def batch(first: int, store: StepStore = store) -> None:
                for number in range(first, first + 3):
                    store.insert(STREAM, number + 1, STEPS[number])
                store.commit()

            for first in (0, 3, 6, 9):
                again(lambda first=first, batch=batch: batch(first), failures)
            with contextlib.suppress(StoreError):
                store.close()
        with StepStore.read(path) as reader:
            assert [(row.row, row.seq) for row in reader.rows()] == [(seq, seq) for seq in range(1, 13)]
            assert reader.damaged == 0
            assert [episode.length for episode in reader.episodes()] == [5, 5]
        if nth.passed:
            break
    print(f"D4: archive: {n - 1} operations failed in turn, 0 lost, 0 twice")
    assert n > 60


class NoSync(Nth):
    """A disk that takes commits and, while it is `broken`, no sync: the only PRAGMA of an outbox that is open."""

    def __init__(self) -> None:
        super().__init__(0)
        self.broken = False

    def due(self, operation: str) -> bool:
        self.left -= self.broken and operation == "PRAGMA"
        return self.broken and operation == "PRAGMA"


def test_a_sync_that_fails_after_its_commit_is_said_and_archives_no_step_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Every pass of the thread syncs, so each batch has a sync after it that fails.
    monkeypatch.setattr(uplink_module, "_SYNC_S", 0.0)
    monkeypatch.setattr(uplink_module, "_RETRY_S", 0.01)
    disk, archive = NoSync(), tmp_path / "steps.sqlite"
    with failing_sqlite(disk), link(tmp_path / "outbox.sqlite", archive, SPEC) as (uplink, _):
        before, disk.broken = uplink.status.appended, True
        for number, step in enumerate(STEPS, 1):
            uplink.append(step)
            until(lambda number=number: disk.left <= -2 * number)
        until(lambda: uplink.status.waiting == 0)
        status = uplink.status
        assert "disk I/O error; check the disk" in status.detail
        assert (status.nearly_full, status.full) == (True, False)
        assert status.appended - before == len(STEPS)
        disk.broken = False
        until(lambda: uplink.status.unacked == 0 and not uplink.status.nearly_full)
    with StepStore.read(archive) as store:
        assert [row.seq for row in store.rows()] == list(range(1, len(STEPS) + 1))
        for row in store.rows():
            assert_same_step(row.step, STEPS[row.seq - 1])


class Disk:
    """A small disk that can be filled and emptied: a tmpfs where this process may mount one, else a limit on files."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder, self.mounted = folder, mounted
        self._filler = folder / "filler"

    def fill(self, but_bytes: int) -> None:
        """Leave only so much room."""
        if self.mounted:
            free = shutil.disk_usage(self.folder).free
            self._filler.write_bytes(bytes(max(0, free - but_bytes)))
        else:
            largest = max(path.stat().st_size for path in self.folder.iterdir())
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest + but_bytes, resource.RLIM_INFINITY))

    def empty(self) -> None:
        """Make room again."""
        self._filler.unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextlib.contextmanager
def link(outbox: Path, archive: Path, spec: EnvSpec = BIG) -> Iterator[tuple[Uplink, Inbox]]:
    with contextlib.ExitStack() as stack:
        inbox = Inbox("tcp://127.0.0.1:*", archive, spec, run="test")
        inbox.start()
        stack.callback(inbox.close, 0.0)
        uplink = Uplink(inbox.address, outbox, spec)
        uplink.start()
        stack.callback(uplink.close, 1.0)
        yield uplink, inbox


def archive_on_a_full_disk(disk: Disk, elsewhere: Path, dice: random.Random) -> int:
    """Fill the archive's disk at a random moment, see that nothing is confirmed that is not there, make room."""
    archive = disk.folder / "steps.sqlite"
    with link(elsewhere / "outbox.sqlite", archive) as (uplink, inbox):
        number = 0
        disk.fill(but_bytes=dice.randrange(400_000))
        while "make room" not in inbox.status.detail:
            assert number < 1000, "a full disk must be noticed"
            uplink.append(make_step(BIG, number))
            number += 1
            until(lambda: uplink.status.unacked < 8 or "make room" in inbox.status.detail)
        with StepStore.read(archive) as store:
            assert uplink.status.acked_seq <= store.last_seq(uplink.stream)
            assert store.count() == store.last_seq(uplink.stream)
        disk.empty()
        until(lambda: uplink.status.unacked == 0)
    return number


def outbox_on_a_full_disk(disk: Disk, elsewhere: Path, dice: random.Random) -> int:
    """Fill the outbox's disk at a random moment: steps wait in memory, the robot is told to hold, none is lost."""
    with link(disk.folder / "outbox.sqlite", elsewhere / "steps.sqlite") as (uplink, _):
        disk.fill(but_bytes=dice.randrange(400_000))
        number = 0
        while "wait in memory" not in uplink.status.detail:
            assert number < 1000, "a full disk must be noticed"
            uplink.append(make_step(BIG, number))
            number += 1
            until(lambda: uplink.status.waiting == 0 or "wait in memory" in uplink.status.detail)
        assert "make room" in uplink.status.detail or "check the disk" in uplink.status.detail
        disk.empty()
        until(lambda: uplink.status.unacked == 0)
    return number


def suffer(which: str, disk: Disk, elsewhere: Path, seed: int) -> None:
    scenario = {"archive": archive_on_a_full_disk, "outbox": outbox_on_a_full_disk}[which]
    number = scenario(disk, elsewhere, random.Random(seed))
    archive = (disk.folder if which == "archive" else elsewhere) / "steps.sqlite"
    with StepStore.read(archive) as store:
        rows = list(store.rows())
        assert store.damaged == 0
    assert [row.seq for row in rows] == list(range(1, number + 1))
    for row in rows:
        assert_same_step(row.step, make_step(BIG, row.seq - 1))


def mounting(folder: Path) -> list[str]:
    """The words that run a command with a 4 MB file system at `folder`, in its own namespaces; [] where forbidden."""
    script = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "-", str(TMPFS_BYTES), str(folder)]
    try:
        allowed = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return []
    return words if allowed else []


@pytest.mark.process
@pytest.mark.parametrize("which", ["archive", "outbox"])
def test_a_full_disk_confirms_nothing_says_so_and_recovers(which: str, tmp_path: Path):
    words = mounting(tmp_path)
    times = count(ci=2, nightly=20)
    for turn in range(times):
        elsewhere = tmp_path.parent / f"{tmp_path.name}-{turn}"
        elsewhere.mkdir()
        seed = random.randrange(2**32)
        told = json.dumps([which, str(tmp_path), bool(words), str(elsewhere), seed])
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [*words, sys.executable, __file__, told], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
        if not words:
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()
    kind = "a 4 MB tmpfs" if words else "a limit on the size of files, as no tmpfs may be mounted here"
    print(f"D4: {which} on a full disk ({kind}), {times} times at a random point: 0 lost, 0 twice, recovered")


if __name__ == "__main__":
    kind, at, is_mounted, beside, dice_seed = json.loads(sys.argv[1])
    suffer(kind, Disk(Path(at), mounted=is_mounted), Path(beside), dice_seed)
