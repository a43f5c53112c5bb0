"""Rooms as processes on this machine: start them, wait for them, end them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from handrail.rendering import rendering_env
from handrail.terminal import forwarded, has_keys
from wire.errors import UserError
from wire.files import write_atomically
from wire.parent import Door

STOP_S = 5.0
"""How long rooms have to put everything on disk after they were asked to stop."""
INTERRUPTED = 130
"""Exit code after a Ctrl-C, as shells have it."""
_POLL_S = 0.05


class Rooms:
    """Child processes that end together."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._door = Door()
        self._terminal = contextlib.ExitStack()

    def start(self, name: str, arguments: list[str], *, log: Path | None = None, keys: bool = False) -> None:
        """Start `python -m <arguments>`; its output goes to `log`, or to this terminal, whose `keys` it may get."""
        with contextlib.ExitStack() as stack:
            output = None if log is None else stack.enter_context(log.open("ab"))
            self._processes[name] = process = _start(arguments, output, self._door, keys=keys)
            if process.stdin is not None:
                self._terminal.enter_context(forwarded(os.dup(process.stdin.fileno())))
                process.stdin.close()

    def wait(self) -> tuple[str, int]:
        """Wait until one room ends; its name and exit code, which is 1 where a signal killed it."""
        while True:
            for name, process in self._processes.items():
                code = process.poll()
                if code is not None:
                    return name, max(code, 1) if code < 0 else code
            time.sleep(_POLL_S)

    def finish(self, name: str, timeout_s: float | None = STOP_S) -> int | None:
        """Wait for a room that ends by itself, at most so long; its exit code, or None where it did not end in time."""
        try:
            return self._processes[name].wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Ask every room to stop and wait; whoever is not done in time is killed, which loses nothing acknowledged.

        A second Ctrl-C kills at once: no room outlives its front door.
        """
        self._terminal.close()
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        deadline_s = time.monotonic() + STOP_S
        try:
            for process in self._processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline_s - time.monotonic()))
        finally:
            for process in self._processes.values():
                process.kill()
                process.wait()
            self._door.close()


@contextlib.contextmanager
def rooms() -> Iterator[Rooms]:
    """Rooms that are stopped when the block ends, however it ends."""
    started = Rooms()
    try:
        yield started
    finally:
        started.stop()


def run_room(arguments: list[str], *, keys: bool = False) -> int:
    """Run one room in the foreground; Ctrl-C reaches it, and its exit code is ours."""
    with rooms() as started:
        try:
            started.start(arguments[0], arguments, keys=keys)
            return started.wait()[1]
        except KeyboardInterrupt:
            return INTERRUPTED


def _start(arguments: list[str], output: IO[bytes] | None, door: Door, *, keys: bool) -> "subprocess.Popen[bytes]":
    # A group of its own, so that Ctrl-C reaches the front door alone and rooms are stopped in order. Not a session:
    # Linux gives each session an equal share of the processor, and the learner's niceness would count for nothing.
    # Where there are no keys, the room is told so by a stdin that is neither a terminal nor a pipe.
    source = subprocess.PIPE if has_keys() else subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=source if keys else None,
        stdout=output,
        stderr=output,
        process_group=0,
        pass_fds=(door.end,),
        env={**os.environ, **rendering_env(), **door.environment()},
    )


def free_port() -> int:
    """A TCP port on loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_json(path: Path, values: Any) -> Path:
    """Write a configuration where a room will read it; returns the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name another folder") from error
    return path


def last_error(log: Path) -> str:
    """The last error block in a room's log, or its last line."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it left no message"])[-1].removeprefix("error: ")


def stop_on_sigterm() -> None:
    """A SIGTERM, and a terminal that is closed, end this process like Ctrl-C does: orderly, and its rooms with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # Under nohup it is ignored, and stays so.
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
