"""A program in a terminal of its own, without a fork of the tests' process, which has threads."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"


def in_terminal(*arguments: str, folder: Path | None = None) -> tuple[subprocess.Popen[bytes], int]:
    """Start `python <arguments>` as the leader of a pseudo-terminal's session; also returns our end of it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", _TAKE, sys.executable, *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=folder)
    os.close(theirs)
    return process, ours


class Terminal:
    """One command in a pseudo-terminal."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process, self.fd = in_terminal("-m", "handrail.cli", *words, folder=folder)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 110, 0, 0))
        self.said = ""

    def until(self, pattern: str, keep_down: str = "") -> re.Match[str]:
        """Read on until the last screens show something; a key that is kept down repeats itself."""
        while not (found := re.search(pattern, self.said)):
            if keep_down and not select.select([self.fd], [], [], 0.05)[0]:
                self.press(keep_down)
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError as error:
                raise AssertionError(f"it ended before {pattern}: {self.said[-3000:]}") from error
            self.said = (self.said + data.decode(errors="replace"))[-20_000:]
        self.said = self.said[found.end() :]
        return found

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def ends(self) -> int:
        try:
            while os.read(self.fd, 65536):
                continue
        except OSError:
            pass
        os.close(self.fd)
        return self.process.wait(60)

    def show(self, key: str, label: str, said: str) -> None:
        """Record one demonstration: keep a key down for a moment, then press that of a label."""
        self.until("move to begin")
        self.until(r"recording: 0\.[3-9] s", keep_down=key)
        self.press(label)
        self.until(said)
