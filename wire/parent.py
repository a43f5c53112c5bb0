"""No room outlives its front door, however that ended: a pipe that nobody writes to closes when its last owner dies."""

import contextlib
import os
import signal
import threading
import time

VARIABLE = "HANDRAIL_DOOR"
"""In a room's environment: the number of the descriptor on which it hears that its front door is gone."""
GRACE_S = 30.0
"""For a room to put everything on disk. Nobody waits for it, so it may take longer than after a Ctrl-C."""


class Door:
    """The end of the pipe that the front door keeps: `end` goes to the rooms, and closes for them when we die."""

    def __init__(self) -> None:
        # Neither end is inherited unless somebody says so: a room with the other room's end would keep it alive.
        self.end, self._ours = os.pipe()

    def environment(self) -> dict[str, str]:
        """What a room must find in its environment."""
        return {VARIABLE: str(self.end)}

    def close(self) -> None:
        """Let go of the rooms, which have ended."""
        os.close(self._ours)
        os.close(self.end)


def end_with_parent() -> None:
    """From now on end as after a SIGTERM when the front door that started us is gone; nothing where there is none."""
    end = os.environ.pop(VARIABLE, "")
    if end.isdigit():
        threading.Thread(target=_listen, args=(int(end),), name="door", daemon=True).start()


def _listen(end: int) -> None:
    with contextlib.suppress(OSError):
        os.read(end, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)
