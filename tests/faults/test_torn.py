"""Damaged files: never a crash, never a wrong record; what is intact goes on, what is not is named and kept."""

import contextlib
import logging
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from counts import count
from experience import STREAM, assert_same_step, make_spec, make_step

from actor.outbox import Outbox
from actor.uplink import Uplink
from learner.inbox import Inbox
from wire.codec import encode_step
from wire.database import PAGE_BYTES, StoreError
from wire.specs import EnvSpec
from wire.store import StepStore

pytestmark = pytest.mark.timeout(3600)
SPEC = make_spec(size=32)
STEPS = [make_step(SPEC, number) for number in range(45)]
BODIES = [encode_step(step) for step in STEPS]
TAIL_BYTES = 64 << 10
MANY = 10**9
Damage = Callable[[Path], None]


def content(path: Path) -> bytes:
    """All but the file's header, in which SQLite counts who has opened it."""
    return path.read_bytes()[100:]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Every damaged file is logged."""
    caplog.set_level(logging.CRITICAL)


def make_archive(path: Path) -> None:
    """An archive whose last third is still in its log."""
    with StepStore.open(path, SPEC) as store:
        for number, step in enumerate(STEPS):
            store.insert(STREAM, number + 1, step)
            if number % 5 == 4:
                store.commit()
            if number == 29:
                store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        keep(path)


def make_outbox(path: Path) -> None:
    """An outbox whose last third is still in its log, and whose first five steps were delivered."""
    outbox = Outbox(path, SPEC)
    for number, step in enumerate(STEPS):
        outbox.insert(step)
        if number == 10:
            outbox.delete_until(5)
        outbox.commit()
        if number == 29:
            outbox._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    keep(path)
    outbox.close()


def keep(path: Path) -> None:
    """Copies of a file in use as a crash would leave it: closing it would empty the log."""
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{path}.kept{suffix}")


def fresh(path: Path, to: Path) -> Path:
    """A copy to damage, in a folder of its own."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}.kept{suffix}", f"{to / path.name}{suffix}")
    return to / path.name


def check_archive(path: Path) -> tuple[int, str]:
    """Start a learner's archive from a file; returns how many rows came out and what became of the file."""
    with contextlib.ExitStack() as stack:
        try:
            with StepStore.read(path) as store:
                check_rows(store)
        except StoreError as error:
            check_text(path, error)
        try:
            store = stack.enter_context(StepStore.open(path, SPEC))
        except StoreError as error:
            check_text(path, error)
            return 0, "refused"
        rows = check_rows(store)
        missing = len(STEPS) - len(rows)
        last = store.last_row()
        gaps = [row for row in range(1, last + 1) if row not in rows]
        # Where a damaged row is the last, its number says nothing of how many were before it.
        least = len([row for row in gaps if row < max(rows, default=0)])
        assert least <= store.damaged <= len(gaps), "counted"
        assert store.insert("f" * 32, 1, STEPS[0]), "and steps go on being archived"
        store.commit()
        kept = list(path.parent.glob(f"{path.name}.damaged-*"))
        return len(rows), "rebuilt" if kept else "rows skipped" if missing else "intact"


def check_rows(store: StepStore) -> set[int]:
    rows = {row.row: row for row in store.rows()}
    for row in rows.values():
        assert (row.stream, row.seq) == (STREAM, row.row)
        assert_same_step(row.step, STEPS[row.seq - 1])
    return set(rows)


def check_text(path: Path, error: StoreError) -> None:
    """What the user reads names the file and what to do."""
    assert str(path) in str(error)
    assert any(cure in str(error) for cure in ("restore", "name another file", "update", "check the disk"))


def check_outbox(path: Path) -> tuple[int, str]:
    """Start an actor's outbox from a file; returns how many records it delivers and what became of the file."""
    try:
        outbox = Outbox(path, SPEC)
    except StoreError as error:
        check_text(path, error)
        return 0, "refused"
    try:
        found = dict(outbox.unsent(0, MANY, MANY))
        for seq, body in found.items():
            assert body == BODIES[seq - 1], "a wrong record"
        assert outbox.pending == len(found)
        seq = outbox.insert(STEPS[0])
        assert seq > max(found, default=0), "and steps go on being taken"
        outbox.commit()
        kept = list(path.parent.glob(f"{path.name}.damaged-*"))
        assert bool(outbox.detail) == bool(kept or outbox.damaged), "the damage is named"
        new = seq <= len(STEPS)
        return len(found), "rebuilt" if kept else "rows set aside" if outbox.damaged else "older" if new else "intact"
    finally:
        outbox.close()


KINDS = {"steps.sqlite": (make_archive, check_archive), "outbox.sqlite": (make_outbox, check_outbox)}
"""How each file is made, and what must hold of it whatever its damage."""


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("suffix", ["", "-wal"], ids=["database", "log"])
def test_a_missing_tail_costs_only_what_was_in_it(name: str, suffix: str, tmp_path: Path):
    make, check = KINDS[name]
    make(tmp_path / name)
    outcomes: Counter[str] = Counter()
    size = Path(f"{tmp_path / name}.kept{suffix}").stat().st_size
    page = PAGE_BYTES if suffix == "" else PAGE_BYTES + 24
    cuts = {size - size % page - n * page for n in range(TAIL_BYTES // PAGE_BYTES + 1)}
    cuts |= {size - n for n in range(0, TAIL_BYTES, 4096)} | {size - 1, 1, 0}
    for cut in sorted(cuts):
        path = fresh(tmp_path / name, tmp_path / "copy")
        with Path(f"{path}{suffix}").open("r+b") as file:
            file.truncate(max(cut, 0))
        found, outcome = check(path)
        outcomes[outcome] += 1
        # A log that is cut loses commits from its end; what was checkpointed before is in the database, whole.
        if suffix:
            assert found >= 25, f"cut at {cut} of {size}: {found}, {outcome}"
            assert outcome != "rebuilt", "a commit that a crash cut short is no damage"
    print(f"\nD3: {name}{suffix} cut at {len(cuts)} places: {dict(outcomes)}, 0 crashes, 0 wrong records")


def flip(path: Path, rng: random.Random, bits: int) -> None:
    """Flip so many bits of a file and its log."""
    files = {file: bytearray(file.read_bytes()) for file in (path, Path(f"{path}-wal"))}
    for _ in range(bits):
        data = rng.choice(list(files.values()))
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    for file, data in files.items():
        file.write_bytes(data)


@pytest.mark.parametrize("name", KINDS)
def test_flipped_bits_never_crash_and_never_make_a_wrong_record(name: str, tmp_path: Path):
    make, check = KINDS[name]
    make(tmp_path / name)
    wanted = count(ci=20_000, nightly=500_000)
    flips = found = files = 0
    outcomes: Counter[str] = Counter()
    rng = random.Random(name)
    while flips < wanted:
        path = fresh(tmp_path / name, tmp_path / "copy")
        bits = min(int(rng.paretovariate(0.5)), 1000)
        flip(path, rng, bits)
        try:
            n, outcome = check(path)
        except BaseException as error:
            error.add_note(f"after {files} files")
            raise
        flips, found, files = flips + bits, found + n, files + 1
        outcomes[outcome] += 1
    print(
        f"\nD3: {name}: {flips} bits flipped in {files} copies, {found} of {files * len(STEPS)} records recovered, "
        f"0 wrong, 0 crashes; files {dict(outcomes)}"
    )


def wiped(path: Path) -> Path:
    """A copy of a closed file in which a page that only points to others is wiped: SQLite finds nothing below it."""
    data = bytearray(path.read_bytes())
    parents = [start for start in range(PAGE_BYTES, len(data), PAGE_BYTES) if data[start] == 5]
    assert parents, "the file is too small to have a tree"
    data[parents[0] : parents[0] + PAGE_BYTES] = bytes(PAGE_BYTES)
    copy = path.parent / "copy" / path.name
    copy.parent.mkdir()
    copy.write_bytes(data)
    return copy


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_page_above_others_costs_no_record_and_the_damaged_file_is_kept(name: str, tmp_path: Path):
    make, check = KINDS[name]
    make(tmp_path / name)
    path = wiped(tmp_path / name)
    before = content(path)
    found, outcome = check(path)
    assert outcome == "rebuilt"
    assert found == len(STEPS) - (5 if name == "outbox.sqlite" else 0)
    assert content(Path(f"{path}.damaged-1")) == before
    assert opens_as_it_is(path)


@pytest.mark.parametrize("name", KINDS)
def test_a_bit_flipped_early_in_the_log_does_not_cost_the_commits_after_it(name: str, tmp_path: Path):
    make, check = KINDS[name]
    make(tmp_path / name)
    path = fresh(tmp_path / name, tmp_path / "copy")
    log = Path(f"{path}-wal")
    data = bytearray(log.read_bytes())
    data[32 + 24 + PAGE_BYTES // 2] ^= 1
    log.write_bytes(data)
    found, outcome = check(path)
    assert outcome == "rebuilt"
    # The flipped page is of a commit of one step (outbox) or of five (archive).
    assert found >= (39 if name == "outbox.sqlite" else 40)
    assert Path(f"{path}.damaged-1-wal").read_bytes() == data


def opens_as_it_is(path: Path) -> bool:
    """Whether the file opens without being rebuilt once more."""
    if path.name == "steps.sqlite":
        StepStore.open(path, SPEC).close()
    else:
        Outbox(path, SPEC).close()
    return not Path(f"{path}.damaged-2").exists()


def test_a_rebuilt_archive_has_its_episodes_and_goes_on_where_it_was(tmp_path: Path):
    make_archive(tmp_path / "steps.sqlite")
    with StepStore.read(tmp_path / "steps.sqlite") as store:
        episodes = store.episodes()
    with StepStore.open(wiped(tmp_path / "steps.sqlite"), SPEC) as store:
        assert store.episodes() == episodes
        assert "was damaged: its 45 intact steps go on, the damaged file is kept as" in store.repaired
        assert (store.last_seq(STREAM), store.last_row()) == (45, 45)


def test_a_rebuilt_outbox_keeps_its_stream_and_gives_no_number_out_twice(tmp_path: Path):
    make_outbox(tmp_path / "outbox.sqlite")
    path = wiped(tmp_path / "outbox.sqlite")
    original = Outbox(tmp_path / "outbox.sqlite", SPEC)
    outbox = Outbox(path, SPEC)
    assert (outbox.stream, outbox.next_episode, outbox.appended) == (original.stream, 9, 45)
    assert outbox.newest > 1_000_000
    assert "was damaged: its 40 intact steps go on" in outbox.detail
    outbox.close()
    original.close()


@pytest.mark.parametrize("spec", [make_spec(size=32, state=9), make_spec(size=32, task="pick")], ids=["shape", "task"])
def test_an_archive_of_another_spec_is_not_rebuilt_as_ours(spec: EnvSpec, tmp_path: Path):
    make_archive(tmp_path / "steps.sqlite")
    path = wiped(tmp_path / "steps.sqlite")
    before = content(path)
    with pytest.raises(StoreError, match="restore it from a copy"):
        StepStore.open(path, spec)
    assert content(path) == before
    assert not list(path.parent.glob("*.damaged-*"))


def test_a_learner_starts_on_a_damaged_archive_and_an_actor_on_a_damaged_outbox(tmp_path: Path):
    make_archive(tmp_path / "steps.sqlite")
    archive = wiped(tmp_path / "steps.sqlite")
    make_outbox(tmp_path / "outbox.sqlite")
    (tmp_path / "copy").rename(tmp_path / "learner")
    outbox = wiped(tmp_path / "outbox.sqlite")
    inbox = Inbox("tcp://127.0.0.1:*", tmp_path / "learner" / archive.name, SPEC, run="torn")
    inbox.start()
    uplink = Uplink(inbox.address, outbox, SPEC)
    uplink.start()
    assert "45 intact steps go on" in inbox.repaired
    uplink.append(STEPS[0])
    came = []
    while len(came) < 41:
        came += inbox.drain(10)
        time.sleep(0.001)
    assert "40 intact steps go on" in uplink.status.detail
    assert uplink.close(10)
    inbox.close(0)
    for row, step in zip(came, [*STEPS[5:], STEPS[0]], strict=True):
        assert_same_step(row.step, step)
    assert inbox.resumed_row == 45
