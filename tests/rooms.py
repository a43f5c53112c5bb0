"""The two ends of the link as processes that can be killed, stopped and watched: all that is durable, without JAX.

A fork server has imported everything once, so a room starts in milliseconds and dies as a process of its own.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from experience import assert_same_step, make_spec, make_step
from front_door import free_address

from actor.uplink import Uplink
from learner.inbox import Inbox
from wire import failpoints
from wire.errors import run_main
from wire.specs import EnvSpec
from wire.store import StepStore, StoreError
from wire.types import Step

_FORKS = multiprocessing.get_context("forkserver")
PATIENCE_S = 60.0


class Note(NamedTuple):
    """What an actor knew, left where its death does not take it."""

    stream: str
    accepted: int
    acked: int
    state: str


def act(
    address: str,
    folder: Path,
    spec: EnvSpec,
    rate_hz: float,
    fail: str = "",
    options: Mapping[str, Any] | None = None,
    make: Callable[[EnvSpec, int], Step] = make_step,
) -> None:
    """Produce step after step until `<folder>/stop` appears; hand everything over, then end."""
    failpoints.arm(fail)
    folder.mkdir(exist_ok=True)
    notes = os.open(folder / "notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    uplink = Uplink(address, folder / "outbox.sqlite", spec, **(options or {}))
    uplink.start()
    due_s = time.monotonic()
    number = uplink.status.appended
    while not (folder / "stop").exists():
        # Waiting for room here is what the control loop does between episodes; what was not appended comes next.
        if not uplink.status.nearly_full:
            uplink.append(make(spec, number))
            number += 1
        _note(notes, uplink)
        due_s += 1 / rate_hz
        time.sleep(max(0.0, due_s - time.monotonic()))
    while not uplink.flush(1.0) or uplink.status.unacked:
        _note(notes, uplink)
    uplink.close(5.0)
    _note(notes, uplink)


def _note(notes: int, uplink: Uplink) -> None:
    status = uplink.status
    text = f"{uplink.stream} {status.appended - status.waiting} {status.acked_seq} {status.state}\n"
    os.write(notes, text.encode())


def learn(address: str, folder: Path, spec: EnvSpec | None, fail: str = "") -> None:
    """Archive what comes, and consume it as training would, until SIGTERM."""
    failpoints.arm(fail)
    stopping: list[int] = []
    inbox = Inbox(address, folder / "steps.sqlite", spec, run="test")
    inbox.start()
    # No event: its lock may be held by the very thread that the handler interrupts.
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    while not stopping:
        time.sleep(0.01)
        while inbox.drain(256):
            pass
        inbox.set_trained(inbox.drained_row)
    inbox.close(0.0)


class Cell:
    """One learner and its actors on one folder."""

    def __init__(self, folder: Path, spec: EnvSpec, *, actors: int = 1, rate_hz: float = 100.0) -> None:
        self.folder, self.spec, self.rate_hz = folder, spec, rate_hz
        self.archive = folder / "steps.sqlite"
        self.address = free_address()
        self.actors = [f"actor{number}" for number in range(actors)]
        self.options: dict[str, Any] = {}
        self.make: Callable[[EnvSpec, int], Step] = make_step
        self.processes: dict[str, BaseProcess] = {}
        self._known: dict[str, Note] = {}
        self._read: dict[str, int] = {}

    def start(self, name: str, fail: str = "") -> None:
        """Start the learner or an actor; `fail` is a failpoint to die at."""
        _start_fork_server()
        if name == "learner":
            target, args = learn, (self.address, self.folder, self.spec, fail)
        else:
            folder = self.folder / name
            target, args = act, (self.address, folder, self.spec, self.rate_hz, fail, self.options, self.make)
        process = _FORKS.Process(target=_quietly, args=(self.folder / f"{name}.log", target, *args), daemon=True)
        process.start()
        self.processes[name] = process

    def kill(self, *names: str) -> None:
        """`kill -9`, and wait for the end."""
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes[name].join()

    def known(self, name: str) -> Note:
        """The most that an actor has ever noted, through all its lives; a line that its death cut short is none."""
        path = self.folder / name / "notes"
        known = self._known.get(name, Note("", 0, 0, ""))
        if path.exists():
            with path.open() as file:
                file.seek(self._read.get(name, 0))
                lines = file.read().split("\n")[:-1]
            self._read[name] = self._read.get(name, 0) + sum(len(line) + 1 for line in lines)
            for line in lines:
                stream, accepted, acked, state = line.split()
                assert known.stream in ("", stream), "an actor must keep its stream"
                known = Note(stream, max(known.accepted, int(accepted)), max(known.acked, int(acked)), state)
        self._known[name] = known
        return known

    def accepted(self, name: str) -> int:
        """The newest step that an actor's outbox has taken."""
        return self.known(name).accepted

    def acked(self, name: str) -> int:
        """The newest step that an actor's learner has said to be on disk."""
        return self.known(name).acked

    def require_acked_on_disk(self) -> None:
        """The archive, read from outside, has whatever an actor has ever been told that it has."""
        told = {self.known(name).stream: self.acked(name) for name in self.actors}
        with contextlib.ExitStack() as stack:
            try:
                store = stack.enter_context(StepStore.read(self.archive))
            except StoreError:
                assert not any(told.values())
                return
            for stream, seq in told.items():
                assert store.last_seq(stream) >= seq

    def drain(self) -> None:
        """Let the actors hand over what they have and end, then end the learner."""
        for name in self.actors:
            (self.folder / name).mkdir(exist_ok=True)
            (self.folder / name / "stop").touch()
        for name in self.actors:
            self.processes[name].join(PATIENCE_S)
            assert self.processes[name].exitcode == 0, (name, self.known(name), self.said(name))
        self.processes["learner"].terminate()
        self.processes["learner"].join(PATIENCE_S)
        assert self.processes["learner"].exitcode == 0, self.said("learner")

    def said(self, name: str) -> str:
        """What a room has written to its log."""
        return (self.folder / f"{name}.log").read_text()

    def check(self) -> tuple[int, int, int]:
        """Read the archive alone; returns how many steps it holds, how many are lost, and how many are there twice."""
        found: dict[str, list[int]] = {}
        with StepStore.read(self.archive) as store:
            # One by one: an hour of camera images does not fit a machine's memory.
            for row in store.rows():
                assert_same_step(row.step, self.make(self.spec, row.seq - 1))
                found.setdefault(row.stream, []).append(row.seq)
            assert store.damaged == 0, store.damage
        assert all(seqs == sorted(seqs) for seqs in found.values())
        lost = 0
        for name in self.actors:
            lost += len(set(range(1, self.accepted(name) + 1)) - set(found.get(self.known(name).stream, ())))
        count = sum(len(seqs) for seqs in found.values())
        return count, lost, count - sum(len(set(seqs)) for seqs in found.values())

    def close(self) -> None:
        """Leave no process behind."""
        for process in self.processes.values():
            process.kill()
            process.join()


@contextlib.contextmanager
def cell(folder: Path, spec: EnvSpec | None = None, **options: Any) -> Iterator[Cell]:
    """A cell whose processes end with the block."""
    made = Cell(folder, make_spec() if spec is None else spec, **options)
    try:
        yield made
    finally:
        made.close()


def until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> float:
    """Wait until something holds; returns how many seconds it took."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < timeout_s, "it did not happen in time"
        time.sleep(0.002)
    return time.monotonic() - began_s


@functools.cache
def _start_fork_server() -> None:
    _FORKS.set_forkserver_preload(["rooms"])
    with pytest.MonkeyPatch.context() as patch:
        # Before Python 3.13 the server does not take over our sys.path, fails to preload and does not say so.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()


def _quietly(log: Path, target: Callable[..., None], *args: Any) -> None:
    """Run a room as its main program would, its words in a file."""
    with log.open("a") as file:
        os.dup2(file.fileno(), 2)
        sys.stderr = file
        sys.exit(run_main(lambda: target(*args)))
