"""Wherever frames are kept, what is drawn is what came in."""

import numpy as np
import pytest
from experience import make_spec, make_step

from learner.columns import DeviceColumn, HostColumn, fits_on_device, keep_freed_memory
from learner.replay import Replay

SPEC = make_spec(size=8)


@pytest.mark.parametrize("kind", [HostColumn, DeviceColumn])
def test_rows_come_back_as_they_were_last_put(kind: type):
    column, rng = kind(12, (2, 3), "uint8"), np.random.default_rng(0)
    wanted = np.zeros((12, 2, 3), np.uint8)
    for first, count in [(0, 1), (3, 2), (0, 1), (8, 4), (5, 1)]:
        values = rng.integers(0, 256, (count, 2, 3), np.uint8)
        wanted[first : first + count] = values
        column.put(first, values)
        rows = np.array([[first, 3], [4, 0]]) if first else np.array([[0]])
        filled = {0: [[0]], 3: rows, 8: rows, 5: rows}[first]
        np.testing.assert_array_equal(column.take(np.array(filled)), wanted[np.array(filled)])


def test_what_is_put_may_change_afterwards():
    column, value = DeviceColumn(2, (1,), "float32"), np.ones((1, 1), np.float32)
    column.put(0, value)
    value[:] = 7
    assert float(column.take(np.array([0]))[0, 0]) == 1.0


def test_a_replay_on_the_device_draws_the_same_batches_as_one_on_the_host():
    replays = [Replay(SPEC, 12, keep_on=place) for place in ("host", "device")]
    for number in range(40):  # More than fits: rows are reused.
        for replay in replays:
            replay.add("a", make_step(SPEC, number))
        if number % 7 == 6:
            rows = [replay.online.sample(np.random.default_rng(number), 16).reshape(2, 8) for replay in replays]
            host, device = (replay.gather(each) for replay, each in zip(replays, rows, strict=True))
            for part in ("observation", "next_observation"):
                for name in SPEC.observation:
                    np.testing.assert_array_equal(host[part][name], device[part][name])


def test_a_cpu_is_no_other_place_than_the_host():
    assert not fits_on_device(1)


@pytest.mark.parametrize("library", [object(), None], ids=["no glibc", "glibc"])
def test_memory_is_kept_where_the_allocator_can_and_nothing_is_said_elsewhere(
    library: object | None, monkeypatch: pytest.MonkeyPatch
):
    if library is not None:
        monkeypatch.setattr("learner.columns.ctypes.CDLL", lambda name: library)
    keep_freed_memory()
