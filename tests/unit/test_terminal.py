"""The front door's terminal: keys go to the room at once, and the terminal is left as it was."""

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from terminals import in_terminal

from handrail.terminal import forwarded, has_keys
from wire.terminal import PASTES_MARKED, PASTES_UNMARKED

_ROOM = "import os; os.write(1, b'ready.'); print(os.read(0, 3).decode().upper(), flush=True); print(os.read(0, 9))"
_DOOR = f"""
import os, subprocess, sys, termios
from handrail.terminal import forwarded
before = termios.tcgetattr(0)
# In a group of its own, as every room is: it may not read the terminal itself.
room = subprocess.Popen([sys.executable, "-c", {_ROOM!r}], stdin=subprocess.PIPE, process_group=0)
with forwarded(os.dup(room.stdin.fileno())):
    room.stdin.close()
    mode = termios.tcgetattr(0)[3]
    assert not mode & (termios.ICANON | termios.ECHO) and mode & termios.ISIG
    while not os.path.exists(sys.argv[1]):
        if room.poll() is not None:
            break
room.wait()
assert termios.tcgetattr(0) == before
print("restored", flush=True)
"""


def read_until(fd: int, wanted: bytes) -> bytes:
    said = b""
    while wanted not in said:
        said += os.read(fd, 1000)
    return said


def test_keys_reach_a_room_in_the_background_without_enter_and_the_terminal_is_left_as_it_was(tmp_path: Path):
    door, terminal = in_terminal("-c", _DOOR, str(tmp_path / "over"))
    said = read_until(terminal, b"ready.")
    os.write(terminal, b"wy ")
    said += read_until(terminal, b"WY ")
    assert b"wy " not in said, "the keys are shown"
    assert PASTES_MARKED in said
    (tmp_path / "over").touch()
    # The end of the block is the end of the room's keys.
    said = read_until(terminal, b"restored")
    assert b"b''" in said
    assert PASTES_UNMARKED in said
    assert door.wait(60) == 0
    os.close(terminal)


def test_without_a_terminal_what_comes_in_is_forwarded_and_its_end_too():
    reading, writing = os.pipe()
    source, given = os.pipe()
    os.write(given, b"x")
    os.close(given)
    with forwarded(writing, source):
        assert os.read(reading, 10) == b"x"
        assert os.read(reading, 10) == b""
    os.close(source)
    os.close(reading)


def test_a_room_that_takes_no_keys_holds_nobody_up_however_many_are_pressed():
    reading, writing = os.pipe()
    source, given = os.pipe()
    with forwarded(writing, source):
        for _ in range(100):
            os.write(given, b"w" * 2000)
    # It has ended, though a pipe holds 64 KiB and nobody read.
    os.close(given)
    assert len(os.read(reading, 10**6)) <= 65536
    for fd in (source, reading):
        os.close(fd)


@pytest.mark.parametrize("what", ["/dev/null", "a file"])
def test_what_is_no_terminal_and_no_pipe_has_no_keys(tmp_path: Path, what: str):
    path = Path(what) if what == "/dev/null" else tmp_path / "keys"
    path.touch()
    source = os.open(path, os.O_RDONLY)
    assert not has_keys(source)
    reading, writing = os.pipe()
    with forwarded(writing, source):
        assert os.read(reading, 10) == b""
    os.close(source)
    os.close(reading)


def test_a_closed_stdin_is_nobodys_keys():
    code = (
        "import os\n"
        "from handrail.terminal import has_keys\n"
        "from wire.errors import run_main\n"
        "def main():\n"
        "    pipes = os.pipe()\n"
        "    assert min(pipes) > 2 and not has_keys()\n"
        "    return 7\n"
        "raise SystemExit(run_main(main))\n"
    )
    done = subprocess.run(["/bin/sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, code], timeout=60, check=False)
    assert done.returncode == 7


def test_in_the_background_the_terminal_is_left_alone():
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    code = (
        "import os, sys, fcntl, termios\n"
        "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os.setpgid(0, 0)\n"
        "    from handrail.terminal import forwarded\n"
        "    reading, writing = os.pipe()\n"
        "    with forwarded(writing): assert os.read(reading, 1) == b''\n"
        "    os._exit(7)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdin=theirs, timeout=60, check=False)
    assert done.returncode == 7
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
