"""A program in a terminal of its own, without a fork of the tests' process, which has threads."""

import os
import pty
import subprocess
import sys
from pathlib import Path

_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"


def in_terminal(*arguments: str, folder: Path | None = None) -> tuple[subprocess.Popen[bytes], int]:
    """Start `python <arguments>` as the leader of a pseudo-terminal's session; also returns our end of it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", _TAKE, sys.executable, *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=folder)
    os.close(theirs)
    return process, ours
