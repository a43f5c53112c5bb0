"""A terminal whose keys are read as they are pressed: by whoever drives with them, and by the front door for a room."""

import contextlib
import os
import select
import termios
import tty
from collections.abc import Iterator

PASTES_MARKED, PASTES_UNMARKED = b"\x1b[?2004h", b"\x1b[?2004l"
"""Has a terminal say where pasted text begins and ends (xterm's bracketed paste), so that it is not taken for keys."""


@contextlib.contextmanager
def keys_at_once(fd: int) -> Iterator[None]:
    """For the block, the terminal at `fd` neither waits for Enter nor shows keys, and marks what is pasted.

    Ctrl-C stays what it is, and the terminal is left as it was. What is no terminal is left alone.
    """
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    _tell(fd, PASTES_MARKED)
    try:
        yield
    finally:
        _tell(fd, PASTES_UNMARKED)
        # A terminal that was closed has nothing to restore, and one whose output is stopped shall not stop us.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSANOW, before)


def _tell(fd: int, what: bytes) -> None:
    """Write to a terminal that takes it at once; one that is closed, stopped, or open for reading alone is not told."""
    with contextlib.suppress(OSError):
        if select.select([], [fd], [], 0)[1]:
            os.write(fd, what)
