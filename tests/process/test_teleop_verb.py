"""`handrail teleop` as a person uses it: in a terminal, with its keys, to the arm and back."""

import fcntl
import os
import re
import select
import struct
import termios
from pathlib import Path

import pytest
from front_door import Command
from terminals import in_terminal

pytestmark = [pytest.mark.process, pytest.mark.sim]


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


def test_keys_drive_the_simulated_arm_and_end_it(tmp_path: Path):
    terminal = Terminal(tmp_path, "teleop", "task=reach")
    terminal.until(r"target of the tool \(base frame\): x \+470")
    # Face to face, forward is towards the robot: its -x.
    terminal.until(r"x -0.40 .* gripper \+1.00", keep_down="w")
    terminal.until(r"target of the tool \(base frame\): x \+(3\d\d|4[0-3]\d)", keep_down="w")
    terminal.press(" ")
    terminal.until(r"x -0.40 .* gripper -1.00", keep_down="w")
    terminal.press("x")
    terminal.until(r"you said: discard")
    # At home again; the last nudge may have come after that.
    terminal.until(r"target of the tool \(base frame\): x \+4[5-7]\d")
    terminal.press("q")
    assert terminal.ends() == 0


def test_dry_needs_no_robot_and_a_missing_device_is_one_sentence(tmp_path: Path):
    terminal = Terminal(tmp_path, "teleop", "dry=true")
    terminal.until(r"hands off")
    terminal.until(r"rz \+0.40", keep_down="j")
    terminal.press("q")
    assert terminal.ends() == 0
    command = Command(tmp_path, tmp_path, "teleop", "human=spacemouse", "dry=true", "human.device=/dev/hidraw-none")
    assert command.ends() == 2
    assert command.said.startswith("error: there is no SpaceMouse")
    assert "Traceback" not in command.said
