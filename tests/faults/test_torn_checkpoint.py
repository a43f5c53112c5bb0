"""A torn checkpoint is never believed: the one before it is used, or training begins again, and a person is told."""

import gc
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from counts import count
from rooms import until

from learner import checkpoint as checkpoint_module
from learner.checkpoint import Checkpointer
from learner.limiter import RateLimiter
from learner.seal import SEAL
from wire.database import StoreError


class State(NamedTuple):
    weights: jnp.ndarray
    steps: jnp.ndarray


EMPTY = State(jnp.zeros(1000), jnp.zeros((3, 4)))


def state_of(blocks: int) -> State:
    return State(jnp.arange(1000.0) + blocks, jnp.full((3, 4), float(blocks)))


def save(run: Path, *blocks: int) -> None:
    checkpointer = Checkpointer(run)
    for done in blocks:
        checkpointer.save(state_of(done), RateLimiter(done=done), fingerprint="abc", version=done)
    checkpointer.close()


def restore(run: Path) -> tuple[int | None, str]:
    """The blocks done of the checkpoint that was restored, checked to be what was saved, and what was said."""
    said: list[str] = []
    checkpointer = Checkpointer(run, said.append)
    restored = checkpointer.restore(EMPTY, fingerprint="abc")
    checkpointer.close()
    if restored is None:
        return None, "\n".join(said)
    state, limiter, version = restored
    assert version == limiter.done
    for got, saved in zip(state, state_of(limiter.done), strict=True):
        np.testing.assert_array_equal(got, saved)
    return limiter.done, "\n".join(said)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, Callable[[Path], None]] = {"flip": flip, "truncate": truncate, "remove": Path.unlink}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    save(run, 5, 10)
    return run


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Path:
    """A run with whole checkpoints at 5 and at 10 blocks."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


def files(run: Path, step: int) -> list[Path]:
    """Every file of a checkpoint, the biggest first."""
    found = [path for path in (run / "checkpoints" / str(step)).rglob("*") if path.is_file() and path.stat().st_size]
    return sorted(found, key=lambda path: (-path.stat().st_size, path))


def test_whole_checkpoints_are_used_without_a_word(run: Path):
    assert restore(run) == (10, "")


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_file_torn_in_turn_leads_to_the_checkpoint_before_and_is_said(damage: str, saved: Path, tmp_path: Path):
    names = [path.relative_to(saved) for path in files(saved, 10)]
    names = names[: count(ci=3, nightly=len(names))]
    for number, name in enumerate(names):
        run = Path(shutil.copytree(saved, tmp_path / str(number)))
        DAMAGE[damage](run / name)
        done, said = restore(run)
        assert done == 5, name
        if name.name != SEAL:
            assert said.startswith("warning: checkpoint 10 is torn (")
        assert "the one before it is used" in said
    print(f"D4: checkpoint: {damage} of {len(names)} files in turn, the one before used each time")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_list_of_digests_leads_to_the_checkpoint_before(damage: str, run: Path):
    DAMAGE[damage](run / "checkpoints/10" / SEAL)
    done, said = restore(run)
    assert done == 5
    assert "the one before it is used" in said


def test_with_both_torn_training_begins_again_and_says_so(run: Path):
    for step in (5, 10):
        flip(files(run, step)[0])
    done, said = restore(run)
    assert done is None
    assert "checkpoint 10 is torn" in said
    assert "checkpoint 5 is torn" in said
    assert "training begins again, from all steps in the archive" in said
    save(run, 2, 4)
    assert restore(run) == (4, "")


def test_what_is_learned_after_a_torn_checkpoint_is_saved_again(run: Path):
    flip(files(run, 10)[0])
    assert restore(run)[0] == 5
    save(run, 7)
    assert restore(run) == (7, "")


def test_a_checkpoint_from_before_there_were_seals_is_used_where_there_is_no_better(run: Path):
    for step in (5, 10):
        (run / "checkpoints" / str(step) / SEAL).unlink()
    assert restore(run) == (10, "")


def test_a_torn_checkpoint_without_a_seal_is_no_traceback(run: Path):
    for step in (5, 10):
        (run / "checkpoints" / str(step) / SEAL).unlink()
        for path in files(run, step):
            path.write_bytes(b"")
    done, said = restore(run)
    assert done is None
    assert "training begins again" in said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_save_that_fails_is_told_by_the_next_one_which_succeeds_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = tmp_path / "run"
    save(run, 5)
    checkpointer = Checkpointer(run)

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module, "seal", full)
        checkpointer.save(state_of(10), RateLimiter(done=10), fingerprint="abc", version=10)
        with pytest.raises(StoreError, match=r"cannot write a checkpoint to .*No space left.*make room on the disk"):
            checkpointer.save(state_of(15), RateLimiter(done=15), fingerprint="abc", version=15)
    checkpointer.save(state_of(15), RateLimiter(done=15), fingerprint="abc", version=15)
    checkpointer.close()
    assert restore(run)[0] == 15


# What Orbax leaves behind of a save that failed complains of its closed event loop when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_does_not_take_a_checkpoint_is_said_and_the_one_before_is_still_there(tmp_path: Path):
    run = tmp_path / "run"
    save(run, 5)
    checkpointer = Checkpointer(run)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # Writing past it fails in Orbax's own threads, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1]))
        checkpointer.save(state_of(10), RateLimiter(done=10), fingerprint="abc", version=10)
        with pytest.raises(StoreError, match=r"cannot write a checkpoint to .*; make room on the disk"):
            checkpointer.save(state_of(11), RateLimiter(done=11), fingerprint="abc", version=11)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    # Orbax clears away what is left of it in the background.
    until(lambda: [path.name for path in (run / "checkpoints").iterdir()] == ["5"])
    checkpointer.save(state_of(15), RateLimiter(done=15), fingerprint="abc", version=15)
    checkpointer.close()
    assert restore(run) == (15, "")
    gc.collect()
