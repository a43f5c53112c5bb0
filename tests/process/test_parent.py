"""No room outlives its front door, and none ends because of another's death."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from front_door import alive
from rooms import until

from wire.parent import VARIABLE

pytestmark = pytest.mark.process
FRONT_DOOR = """
import sys
from handrail.local import rooms
with rooms() as started:
    for path in sys.argv[1:]:
        started.start(path, ["waiting_room", path])
    started.wait()
"""


def pid_in(path: Path) -> int:
    return int(path.read_text() or "0") if path.exists() else 0


def test_rooms_end_orderly_when_their_front_door_is_killed(tmp_path: Path):
    paths = [tmp_path / "one", tmp_path / "two"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    door = subprocess.Popen([sys.executable, "-c", FRONT_DOOR, *paths], env=environment)
    until(lambda: all(pid_in(path) for path in paths))
    pids = [pid_in(path) for path in paths]
    door.kill()
    door.wait()
    took_s = until(lambda: not any(alive(pid) for pid in pids))
    print(f"D1: front door killed -9, both its rooms ended orderly after {took_s:.2f} s")
    assert [path.read_text() for path in paths] == ["left orderly"] * 2


def test_a_room_that_was_started_by_hand_goes_on_without_a_front_door(tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert VARIABLE not in environment
    room = subprocess.Popen([sys.executable, "-m", "waiting_room", tmp_path / "one"], env=environment)
    until(lambda: pid_in(tmp_path / "one"))
    assert room.poll() is None
    room.terminate()
    assert room.wait() == 130
    assert (tmp_path / "one").read_text() == "left orderly"
