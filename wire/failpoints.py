"""Points at which a process can be made to die: how the tests prove what a crash at the worst moment costs.

`HANDRAIL_FAIL=after_insert:17` in its environment kills a process, as `kill -9` does, when it passes that point for the
17th time. Nothing that is received can set it: the environment is read once, when this module is imported.
"""

import os
import signal

VARIABLE = "HANDRAIL_FAIL"
POINTS = {
    "before_create": "a file's tables are laid, their transaction is open",
    "after_insert": "a step is in an open transaction",
    "before_commit": "a transaction is about to be committed",
    "after_commit": "a transaction is on disk, and nobody knows",
    "before_ack": "the archive has steps of which no actor has been told",
    "after_delete": "acknowledged steps have left the outbox, in an open transaction",
    "mid_publish": "new weights exist, the policy's file is the old one",
    "mid_checkpoint": "a checkpoint is being written",
    "before_digest": "a checkpoint is written, the list of its digests is not",
    "before_rename": "a file's new contents are on disk, under another name",
}

_armed = ""
_left = 0


def arm(text: str) -> None:
    """Die at `<point>:<n>`; the empty text disarms. Raises ValueError where there is no such point."""
    global _armed, _left
    point, _, count = text.partition(":")
    if text and (point not in POINTS or not count.isdigit() or int(count) < 1):
        raise ValueError(f"{VARIABLE} must be <point>:<n>, n >= 1, point one of {', '.join(POINTS)}; got {text}")
    _armed, _left = point, int(count or 0)


def passing(point: str) -> None:
    """Die here, if it was asked for."""
    global _left
    if point == _armed:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get(VARIABLE, ""))
