"""The promises of the actor's durable queue."""

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import numpy as np
import pytest
from experience import assert_same_step, make_spec, make_step

from actor import outbox as outbox_module
from actor.outbox import Outbox
from wire.codec import decode_step
from wire.database import StoreError
from wire.store import StepStore

SPEC = make_spec()
MANY = 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def fill(outbox: Outbox, first: int, last: int) -> None:
    for number in range(first, last):
        outbox.insert(make_step(SPEC, number))
    outbox.commit()


def seqs(outbox: Outbox, after: int = 0, records: int = MANY, size: int = MANY) -> list[int]:
    return [seq for seq, _ in outbox.unsent(after, records, size)]


def test_what_is_committed_comes_out_in_order_and_as_it_was(path: Path):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 7)
    for number, (seq, body) in enumerate(outbox.unsent(0, MANY, MANY)):
        assert seq == number + 1
        assert_same_step(decode_step(body), make_step(SPEC, number))
    assert (outbox.newest, outbox.pending, outbox.appended, outbox.next_episode) == (7, 7, 7, 2)
    outbox.close()


def test_stream_and_numbers_go_on_after_a_restart(path: Path):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 7)
    outbox.delete_until(7)
    outbox.commit()
    stream = outbox.stream
    outbox.close()
    outbox = Outbox(path, SPEC)
    assert (outbox.stream, outbox.newest, outbox.pending, outbox.appended, outbox.next_episode) == (stream, 7, 0, 7, 2)
    fill(outbox, 10, 11)
    assert seqs(outbox) == [8]
    outbox.close()


def test_what_was_not_committed_never_happened(path: Path):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 2)
    outbox.insert(make_step(SPEC, 2))
    outbox.close()
    outbox = Outbox(path, SPEC)
    assert (seqs(outbox), outbox.newest, outbox.appended) == ([1, 2], 2, 2)
    outbox.close()


def test_a_deleted_file_makes_a_new_stream(path: Path):
    outbox = Outbox(path, SPEC)
    stream = outbox.stream
    outbox.close()
    path.unlink()
    outbox = Outbox(path, SPEC)
    assert outbox.stream != stream
    assert outbox.newest == 0
    outbox.close()


def test_both_limits_bound_what_is_read(path: Path):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 4)
    size = len(next(outbox.unsent(0, 1, MANY))[1])
    assert seqs(outbox, records=2) == [1, 2]
    assert seqs(outbox, after=2) == [3, 4]
    assert seqs(outbox, size=2 * size) == [1, 2]
    assert seqs(outbox, size=2 * size - 1) == [1]
    assert seqs(outbox, size=size - 1) == []
    outbox.close()


def test_pending_is_what_was_not_deleted_and_90_percent_of_the_cap_is_nearly_full(path: Path):
    outbox = Outbox(path, SPEC, cap_bytes=100_000)
    while not outbox.nearly_full:
        fill(outbox, 0, 1)
    assert 90_000 <= outbox.pending_bytes <= 90_000 + 1_000
    count = outbox.pending
    outbox.delete_until(count - 1)
    outbox.commit()
    assert outbox.pending == 1
    assert not outbox.nearly_full
    assert seqs(outbox) == [count]
    outbox.close()
    outbox = Outbox(path, SPEC)
    assert outbox.pending == 1
    assert outbox.pending_bytes == len(next(outbox.unsent(0, 1, MANY))[1])
    outbox.close()


def test_undelivered_steps_of_another_spec_are_not_mixed_and_the_text_says_what_to_do(path: Path):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 2)
    outbox.close()
    with pytest.raises(
        StoreError, match=r"holds 2 undelivered steps.*task: pick here, reach there.*move the file away"
    ):
        Outbox(path, make_spec(task="pick"))
    Outbox(path, SPEC).close()


def test_another_spec_on_a_delivered_outbox_is_a_new_stream(path: Path):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 2)
    outbox.delete_until(2)
    outbox.commit()
    stream = outbox.stream
    outbox.close()
    outbox = Outbox(path, make_spec(task="pick"))
    assert outbox.stream != stream
    assert (outbox.newest, outbox.appended, outbox.next_episode) == (0, 0, 0)
    outbox.close()


def test_after_a_reboot_no_number_is_given_out_twice(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 3)
    outbox.close()
    boot = tmp_path / "boot_id"
    boot.write_text("another boot\n")
    monkeypatch.setattr(outbox_module, "_BOOT_ID", boot)
    outbox = Outbox(path, SPEC)
    fill(outbox, 3, 5)
    skipped = outbox.newest
    assert skipped > 1_000_000
    assert seqs(outbox) == [1, 2, 3, skipped - 1, skipped]
    assert outbox.appended == 5
    outbox.close()
    Outbox(path, SPEC).close()
    outbox = Outbox(path, SPEC)
    assert outbox.newest == skipped
    outbox.close()


def test_a_power_cut_right_after_the_first_steps_does_not_give_their_numbers_out_again(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    outbox = Outbox(path, SPEC)
    outbox.sync()
    copy = tmp_path / "as the power cut left it.sqlite"
    copy.write_bytes(path.read_bytes())
    fill(outbox, 0, 3)
    outbox.close()
    boot = tmp_path / "boot_id"
    boot.write_text("another boot\n")
    monkeypatch.setattr(outbox_module, "_BOOT_ID", boot)
    outbox = Outbox(copy, SPEC)
    assert outbox.insert(make_step(SPEC, 3)) > 3
    outbox.close()


def test_a_full_disk_undoes_the_batch_and_its_numbers_and_goes_on_after(path: Path):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 2)
    outbox._db.execute(f"PRAGMA max_page_count = {outbox._db.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StoreError, match="make room"):
        fill(outbox, 2, 500)
    assert (outbox.newest, outbox.pending, outbox.appended) == (2, 2, 2)
    outbox._db.execute("PRAGMA max_page_count = 1000000")
    fill(outbox, 2, 4)
    assert seqs(outbox) == [1, 2, 3, 4]
    outbox.close()


def test_a_step_that_cannot_be_encoded_changes_nothing(path: Path):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 1)
    with pytest.raises(ValueError, match="dtype object"):
        outbox.insert(msgspec.structs.replace(make_step(SPEC, 1), action=np.array([None])))
    fill(outbox, 1, 2)
    assert seqs(outbox) == [1, 2]
    outbox.close()


def test_an_archive_is_not_taken_for_an_outbox(path: Path):
    StepStore.open(path, SPEC).close()
    with pytest.raises(StoreError, match="not a Handrail outbox"):
        Outbox(path, SPEC)


def edit(path: Path, *lines: str) -> None:
    """Change a closed outbox behind its back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for line in lines:
            db.execute(line)


@pytest.mark.parametrize("number", [9, 2, 5], ids=["beyond the newest", "delivered long ago", "in a gap"])
def test_a_record_under_the_number_of_another_is_never_sent_and_named(path: Path, number: int):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 7)
    outbox.delete_until(3)
    outbox.commit()
    outbox.close()
    edit(path, "DELETE FROM records WHERE seq = 5", f"UPDATE records SET seq = {number} WHERE seq = 6")
    outbox = Outbox(path, SPEC)
    fill(outbox, 7, 10)
    bodies = [body for _, body in outbox.unsent(3, MANY, MANY)]
    for body, number in zip(bodies, [3, 6, 7, 8, 9], strict=True):
        assert_same_step(decode_step(body), make_step(SPEC, number))
    assert outbox.pending == 5
    assert "damaged" in outbox.detail
    outbox.close()


def test_an_outbox_of_format_1_is_delivered_and_goes_on_as_format_2(path: Path):
    outbox = Outbox(path, SPEC)
    fill(outbox, 0, 5)
    stream = outbox.stream
    outbox.close()
    edit(path, "ALTER TABLE records DROP COLUMN crc", "PRAGMA user_version = 1")
    for _ in range(2):
        outbox = Outbox(path, SPEC)
        assert (outbox.stream, seqs(outbox), outbox.damaged) == (stream, [1, 2, 3, 4, 5], 0)
        outbox.close()
    edit(path, "UPDATE records SET seq = 6 WHERE seq = 5")
    outbox = Outbox(path, SPEC)
    assert seqs(outbox) == [1, 2, 3, 4]
    outbox.close()
