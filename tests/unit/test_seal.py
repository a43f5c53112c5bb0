"""A sealed folder tells what is torn in it."""

import itertools
import shutil
from pathlib import Path

import pytest
from failing import Nth, failing_files

from learner.seal import SEAL, is_sealed, problem_of, seal

FILES = {"metadata": b"{}", "state/d/0a1b": bytes(range(256)) * 40, "state/empty": b"", "counters/one": b"1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "12"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    seal(folder)
    return folder


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def test_what_is_as_it_was_has_no_problem_also_elsewhere(folder: Path):
    assert is_sealed(folder)
    assert problem_of(folder) is None
    shutil.copytree(folder, folder.with_name("copy"))
    assert problem_of(folder.with_name("copy")) is None


@pytest.mark.parametrize("name", [name for name, data in FILES.items() if data])
@pytest.mark.parametrize("damage", [flip, truncate, zero, Path.unlink])
def test_a_damaged_file_is_named(damage, name: str, folder: Path):
    damage(folder / name)
    problem = problem_of(folder)
    assert problem is not None
    assert problem.startswith(f"{name} is ")


def test_a_file_that_was_not_sealed_is_named(folder: Path):
    (folder / "state/new").touch()
    assert problem_of(folder) == "state/new is unknown"


@pytest.mark.parametrize(
    "damage", [truncate, zero, lambda path: path.write_text("[]"), lambda path: path.write_text("")]
)
def test_a_damaged_list_of_digests_is_a_problem_too(damage, folder: Path):
    damage(folder / SEAL)
    assert problem_of(folder) is not None


def test_what_was_never_sealed_says_so(folder: Path):
    (folder / SEAL).unlink()
    assert not is_sealed(folder)


def test_whatever_fails_while_sealing_what_is_sealed_is_whole_and_the_next_try_succeeds(folder: Path):
    for n in itertools.count(1):
        (folder / SEAL).unlink()
        nth = Nth(n)
        try:
            with failing_files(nth):
                seal(folder)
        except OSError:
            assert not is_sealed(folder) or problem_of(folder) is None
            seal(folder)
        assert problem_of(folder) is None
        if nth.passed:
            break
    print(f"D4: seal: {n - 1} operations failed in turn, 0 torn folders taken for whole")
    assert n > 15
