"""Keys through a real pseudo-terminal: never waited for, never lasting longer than they were pressed."""

import os
import pty
import select
import termios
import threading

import pytest
from devices import until

from actor.human.instrument import STILL
from actor.human.keyboard import KEEP_S, MOVE_S, NAMES, Keyboard
from wire.terminal import PASTES_MARKED, PASTES_UNMARKED


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def terminal():
    ours, theirs = pty.openpty()
    yield ours, theirs
    for fd in (ours, theirs):
        try:
            os.close(fd)
        except OSError:
            continue


def test_a_key_counts_without_enter_is_not_shown_and_the_terminal_is_left_as_it_was(terminal: tuple[int, int]):
    ours, theirs = terminal
    before = termios.tcgetattr(theirs)
    keyboard = Keyboard(theirs)
    os.write(ours, b"y")
    said: list[int] = []
    until(lambda: said.extend(keyboard.pressed()) or said)
    assert said == [1]
    assert os.read(ours, 100) == PASTES_MARKED
    os.set_blocking(ours, False)
    with pytest.raises(BlockingIOError):
        os.read(ours, 10)
    keyboard.close()
    os.set_blocking(ours, True)
    assert os.read(ours, 100) == PASTES_UNMARKED
    assert termios.tcgetattr(theirs) == before


def test_a_terminal_whose_output_is_stopped_holds_nobody_up(terminal: tuple[int, int]):
    _, theirs = terminal
    before = termios.tcgetattr(theirs)
    termios.tcflow(theirs, termios.TCOOFF)
    Keyboard(theirs).close()
    assert termios.tcgetattr(theirs) == before


def test_a_tap_is_a_nudge_and_a_repeated_key_moves_on(terminal: tuple[int, int]):
    ours, theirs = terminal
    clock = Clock()
    keyboard = Keyboard(theirs, clock=clock)
    try:
        assert keyboard.latest().axes[0] == 0.0
        assert not keyboard.latest().holding
        os.write(ours, b"w")
        until(lambda: keyboard.latest().axes[0] == 1.0)
        clock.now_s += MOVE_S
        assert (keyboard.latest().axes[0], keyboard.latest().holding) == (0.0, True)
        # The first repetition comes; then one every 90 ms.
        clock.now_s += 0.66 - MOVE_S
        assert keyboard.latest().holding
        for _ in range(5):
            os.write(ours, b"w")
            until(lambda: keyboard.latest().axes[0] == 1.0)
            clock.now_s += 0.09
            assert keyboard.latest().axes[0] == 1.0
            clock.now_s += MOVE_S - 0.09
            assert keyboard.latest().axes[0] == 0.0
        clock.now_s += KEEP_S
        assert not keyboard.latest().holding
    finally:
        keyboard.close()


@pytest.mark.parametrize(
    ("keys", "axis", "way"),
    [
        (b"w", 0, 1),
        (b"\x1b[A", 0, 1),
        (b"s", 0, -1),
        (b"\x1b[B", 0, -1),
        (b"a", 1, 1),
        (b"\x1b[D", 1, 1),
        (b"d", 1, -1),
        (b"\x1b[C", 1, -1),
        (b"r", 2, 1),
        (b"f", 2, -1),
        (b"o", 3, 1),
        (b"u", 3, -1),
        (b"i", 4, 1),
        (b"k", 4, -1),
        (b"j", 5, 1),
        (b"l", 5, -1),
    ],
)
def test_every_key_pushes_its_axis(terminal: tuple[int, int], keys: bytes, axis: int, way: int):
    ours, theirs = terminal
    keyboard = Keyboard(theirs, clock=Clock())
    try:
        os.write(ours, keys)
        wanted = tuple(way * float(number == axis) for number in range(6))
        until(lambda: keyboard.latest().axes == wanted)
    finally:
        keyboard.close()


def test_opposite_keys_cancel_and_others_are_nothing(terminal: tuple[int, int]):
    ours, theirs = terminal
    keyboard = Keyboard(theirs, clock=Clock())
    try:
        os.write(ours, b"\xff\x00gQ\x1bwwsd q y n x z p q")
        said: list[int] = []
        until(lambda: said.extend(keyboard.pressed()) or len(said) == 14)
        assert [NAMES[number] for number in said if number] == [
            *("end", "success", "failure", "discard", "undo", "pause", "end"),
        ]
        assert keyboard.latest().axes == (0.0, -1.0, 0.0, 0.0, 0.0, 0.0)
    finally:
        keyboard.close()


def test_a_sequence_in_two_reads_is_one_key_and_one_that_is_unknown_is_none():
    reading, writing = os.pipe()
    clock = Clock()
    keyboard = Keyboard(reading, clock=clock)

    def read(data: bytes) -> None:
        # What is gone from the pipe has been taken in once the thread has stamped a later time.
        os.write(writing, data)
        until(lambda: not select.select([reading], [], [], 0)[0])
        clock.now_s += 0.001
        until(lambda: keyboard.latest().heard_s == clock.now_s)

    try:
        for half in (b"\x1b[1;2", b"A", b"\x1bO", b"P", b"\x1bO", b"Q", b"\x1b[", b"Z", b"\x1b[1", b"5~"):
            read(half)
        assert (keyboard.pressed(), keyboard.latest().axes, keyboard.latest().holding) == ([], STILL, False)
        read(b"\x1b[")
        read(b"A")
        assert keyboard.latest().axes[:2] == (1.0, 0.0)
    finally:
        keyboard.close()
        os.close(writing)
        os.close(reading)


def test_a_closed_terminal_wants_nothing_any_more():
    reading, writing = os.pipe()
    keyboard = Keyboard(reading)
    os.write(writing, b"w")
    until(lambda: keyboard.latest().axes[0] == 1.0)
    os.close(writing)
    until(lambda: keyboard.latest() is None)
    assert keyboard.trouble == "was closed, and its terminal with it"
    keyboard.close()
    os.close(reading)
    assert not [thread for thread in threading.enumerate() if thread.name == "keyboard"]
