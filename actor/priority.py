"""Before whom the actor runs: its loop has deadlines, a learner on the same machine has only a backlog.

Both ask the system for what it may refuse (root, or rtprio and nice in /etc/security/limits.conf, which robots with a
real-time controller have anyway); where it does, the loop goes on as it is.
"""

import contextlib
import os
from collections.abc import Iterator

_NICENESS = -10
_PRIORITY = 5
"""Real-time, below the watchdog's."""


def raise_process() -> None:
    """Favour this thread and all that it starts: the loop must wait for whichever holds the interpreter's lock."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)


@contextlib.contextmanager
def first_in_line() -> Iterator[None]:
    """Let the calling thread alone run as soon as it can, before all that is not real-time."""
    try:
        before, its = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(_PRIORITY))
    except (OSError, AttributeError):
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, before, its)
