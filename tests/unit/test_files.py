"""A file is replaced whole or not at all, whichever operation of the disk fails."""

import itertools
from pathlib import Path

from failing import Nth, failing_files

from wire.files import write_atomically

OLD, NEW = b"old" * 1000, b"new" * 5000


def test_whatever_fails_the_file_is_the_old_or_the_new_one_and_the_next_try_succeeds(tmp_path: Path):
    path = tmp_path / "policy.weights"
    for n in itertools.count(1):
        path.write_bytes(OLD)
        nth = Nth(n)
        with failing_files(nth):
            if nth_passes(path):
                break
        assert path.read_bytes() in (OLD, NEW)
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
        write_atomically(path, NEW)
        assert path.read_bytes() == NEW
    print(f"D4: atomic write: {n - 1} operations failed in turn, 0 torn files")
    assert nth.passed
    assert n > 5


def nth_passes(path: Path) -> bool:
    try:
        write_atomically(path, NEW)
    except OSError:
        return False
    return True


def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_after(tmp_path: Path):
    nth = Nth(1000)
    with failing_files(nth):
        write_atomically(tmp_path / "policy.weights", NEW)
    assert nth.seen == ["open", "open", "write", "fsync", "replace", "open", "fsync"]


def test_the_remains_of_a_killed_write_are_in_nobodys_way(tmp_path: Path):
    path = tmp_path / "policy.weights"
    path.with_name("policy.weights.part").write_bytes(b"half")
    write_atomically(path, NEW)
    assert path.read_bytes() == NEW
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
