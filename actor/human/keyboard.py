"""The keys of a terminal, which also works over ssh.

    w s   forward, back     i k   turn about left      space   gripper      p   pause, go on
    a d   left, right       j l   turn about up        y       success      q   end
    r f   up, down          u o   turn about forward   n       failure      x   discard the episode
                                                       z       undo: take back the last demonstration

Arrow keys are w, a, s and d. Nothing else is a key: no capital, and no key that sends more than one character, such as
F1, End or ALT with a letter (see actor.human.escapes). Pasted text is none either, in terminals that mark it.

**How long a key lasts.** A terminal says that a key went down, and, where it is kept down, says so again after 0.25 to
0.66 s and then every 30 to 90 ms. It never says that a key went up. So a key moves the robot for 0.15 s and no longer
unless it repeats: a tap is a nudge, a key kept down nudges once, waits for the terminal and then moves on, and nothing
moves on by itself when the connection dies. For 0.7 s after the last key the person keeps control and the robot stands
still; else the policy would snatch it back between the nudge and the first repetition.
"""

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable

from actor.human.escapes import KeyParser
from actor.human.instrument import STILL, Controls
from wire.terminal import keys_at_once

log = logging.getLogger(__name__)

MOVE_S, KEEP_S = 0.15, 0.7
_WAKE_S = 0.02
_MOVES = {
    "w": (0, 1.0),
    "s": (0, -1.0),
    "a": (1, 1.0),
    "d": (1, -1.0),
    "r": (2, 1.0),
    "f": (2, -1.0),
    "o": (3, 1.0),
    "u": (3, -1.0),
    "i": (4, 1.0),
    "k": (4, -1.0),
    "j": (5, 1.0),
    "l": (5, -1.0),
}
"""Key -> axis of actor.human.instrument.AXES, and which way."""
BUTTONS = {" ": 0, "y": 1, "n": 2, "x": 3, "p": 4, "q": 5, "z": 6}
"""Key -> button: gripper, success, failure, discard, pause, end, undo."""
NAMES = ("gripper", "success", "failure", "discard", "pause", "end", "undo")


AXIS_KEYS = tuple(
    " ".join(key for way in (1.0, -1.0) for key, moves in _MOVES.items() if moves == (axis, way)) for axis in range(6)
)
"""Axis -> the keys that push it there and back, for people to read."""
LABEL_KEYS = ", ".join(f"{key} {NAMES[button]}" for key, button in BUTTONS.items() if button)
"""What the keys say beside the gripper's, for people to read."""


class Keyboard:
    """Reads a terminal, or a pipe that somebody forwards one's keys into, in a thread; never blocks anybody."""

    name = "keyboard"
    connection = 1

    def __init__(self, fd: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the keys from descriptor `fd`; a terminal no longer waits for Enter, nor shows them, until `close`."""
        self.trouble = ""
        self._fd, self._clock = fd, clock
        self._lock = threading.Lock()
        self._parser = KeyParser()
        self._pressed: list[int] = []
        self._until_s: dict[tuple[int, float], float] = {}
        self._kept_until_s = self._awake_s = self._clock()
        self._terminal = contextlib.ExitStack()
        self._terminal.enter_context(keys_at_once(fd))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="keyboard", daemon=True)
        self._thread.start()

    def latest(self) -> Controls | None:
        """Which keys are down, as far as a terminal can tell; None where it is closed."""
        now_s = self._clock()
        with self._lock:
            if self.trouble:
                return None
            axes = list(STILL)
            for (axis, way), until_s in self._until_s.items():
                axes[axis] += way if now_s < until_s else 0.0
            return Controls(self._awake_s, tuple(axes), holding=now_s < self._kept_until_s)

    def pressed(self) -> list[int]:
        """The buttons pressed since the last call, in order."""
        with self._lock:
            pressed, self._pressed = self._pressed, []
        return pressed

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._closing.set()
        self._thread.join()
        self._terminal.close()

    def _listen(self) -> None:
        while not self._closing.is_set():
            ready, _, _ = select.select([self._fd], [], [], _WAKE_S)
            try:
                data = os.read(self._fd, 1024) if ready else None
            except OSError:
                data = b""
            if data == b"":
                self.trouble = "was closed, and its terminal with it"
                return
            with self._lock:
                self._awake_s = self._clock()
                if data is not None:
                    self._take(data)

    def _take(self, data: bytes) -> None:
        for key in self._parser.feed(data, self._awake_s):
            if key in _MOVES:
                self._until_s[_MOVES[key]] = self._awake_s + MOVE_S
                self._kept_until_s = self._awake_s + KEEP_S
            elif key in BUTTONS:
                self._pressed.append(BUTTONS[key])
