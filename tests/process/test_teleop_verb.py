"""`handrail teleop` as a person uses it: in a terminal, with its keys, to the arm and back."""

from pathlib import Path

import pytest
from front_door import Command
from terminals import Terminal

pytestmark = [pytest.mark.process, pytest.mark.sim]


def test_keys_drive_the_simulated_arm_and_end_it(tmp_path: Path):
    terminal = Terminal(tmp_path, "teleop", "task=reach")
    terminal.until(r"target of the tool \(base frame\): x \+470")
    # Face to face, forward is towards the robot: its -x.
    terminal.until(r"x -0.40 .* gripper \+1.00", keep_down="w")
    terminal.until(r"target of the tool \(base frame\): x \+(3\d\d|4[0-3]\d)", keep_down="w")
    terminal.press(" ")
    terminal.until(r"x -0.40 .* gripper -1.00", keep_down="w")
    terminal.press("x")
    # It stays where it is, its gripper shut.
    terminal.until(r"target of the tool \(base frame\): x \+(3\d\d|4[0-3]\d)[^\0]*you said: discard")
    terminal.until(r"gripper -1.00[^\0]*target of the tool \(base frame\): x \+(3\d\d|4[0-3]\d)", keep_down="d")
    terminal.press("q")
    assert terminal.ends() == 0


def test_dry_needs_no_robot_and_a_missing_device_is_one_sentence(tmp_path: Path):
    terminal = Terminal(tmp_path, "teleop", "dry=true")
    terminal.until(r"hands off")
    terminal.until(r"rz \+0.40", keep_down="j")
    terminal.press("q")
    assert terminal.ends() == 0
    command = Command(tmp_path, "teleop", "human=spacemouse", "dry=true", "human.device=/dev/hidraw-none")
    assert command.ends() == 2
    assert command.said.startswith("error: there is no SpaceMouse")
    assert "Traceback" not in command.said
