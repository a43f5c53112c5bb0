"""The front door as a person uses it: real commands, real processes, real files."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wire.store import StepStore, StoreError

PATIENCE_S = 150.0
SMALL = (
    "task=reach",
    "obs=state",
    "agent.hidden=[16]",
    "agent.critics=2",
    "agent.utd=2",
    "learner.tensorboard=false",
    "learner.min_online=20",
)
"""A run that costs next to nothing; the same shapes everywhere, so that they are compiled once."""


class Command:
    """One `handrail ...`, running in a folder of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.output = folder / f"output-{len(list(folder.glob('output-*')))}"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "handrail.cli", *words],
                stdout=file,
                stderr=file,
                cwd=folder,
            )

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def ends(self, within_s: float = PATIENCE_S) -> int:
        """Wait for its exit code."""
        return self.process.wait(within_s)

    def rooms(self) -> list[int]:
        """The processes that it has started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def kill_rooms(self) -> None:
        """What is left of it after a failed test."""
        for pid in self.rooms():
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


def until(holds: Callable[[], Any], command: Command, within_s: float = PATIENCE_S) -> None:
    """Wait until something holds; fail with what the command said where it does not in time, or where it ended."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert command.process.poll() is None, command.said
        assert time.monotonic() < deadline_s, command.said
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def archived(run: Path) -> list[tuple[str, int, int, int]]:
    """(stream, seq, episode, t) of every step in a run's archive."""
    try:
        with StepStore.read(run / "steps.sqlite") as store:
            return [(row.stream, row.seq, row.step.episode, row.step.t) for row in store.rows()]
    except StoreError:
        # Not there yet, or its first transaction is still under way.
        return []


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"
