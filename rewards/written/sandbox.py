"""Our side of the process in which a written reward runs: it is believed nothing, and waited for for a while only."""

import os
import selectors
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from rewards.score import ModelError
from wire.errors import plain

COMMAND = (sys.executable, "-I", "-B", "-m", "rewards.written.child")
"""Isolated: neither the environment nor the user or this folder has a say in what is imported."""
_START_S = 60.0
"""For Python and numpy to be there, on a machine that is busy with something else."""
_NUMBER = 32
"""Bytes that a number takes at most, with its comma."""
_WORDS = 20_000
"""Bytes of an answer beside its numbers."""
_SLOW_LIBRARIES = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""All of the environment: each thread would take memory from the limit."""


class Limits(NamedTuple):
    """What one batch of states may take."""

    deadline_s: float = 20.0
    cpu_s: int = 10
    memory_bytes: int = 1 << 30


class WrittenError(ModelError):
    """A written reward cannot be used: it may not be run, failed, or took too long."""


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    parameters: list[str] = []
    values: list[float] = []
    problem: str = ""


class Sandbox:
    """Runs one text in a process of its own, which is started when it is first needed, and again after it failed."""

    def __init__(self, source: str, limits: Limits | None = None, command: Sequence[str] = COMMAND) -> None:
        self.source = source
        self._command = tuple(command)
        self._limits = limits or Limits()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize | None = None
        self._parameters: tuple[str, ...] | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The observations that the function takes; raises WrittenError where the text is none that is run."""
        if self._parameters is None:
            self._start()
        assert self._parameters is not None
        return self._parameters

    def values(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the function says of n states, float64 (n,), finite.

        Args:
            columns: Name of each of its parameters -> float (n, m), finite.

        Raises:
            WrittenError: It failed, took too long, or returned anything but one finite number for each.
        """
        if self._process is None:
            self._start()
        listed = {name: np.asarray(column, np.float64).tolist() for name, column in columns.items()}
        n = len(next(iter(listed.values())))
        answer = self._ask({"columns": listed}, self._limits.deadline_s, most=_WORDS + _NUMBER * n)
        found = np.array(answer.values, np.float64)
        if found.shape != (n,) or not np.isfinite(found).all():
            self.close()
            raise WrittenError(
                f"the process of the written reward answered {found.shape} numbers, wanted {n} finite ones"
            )
        return found

    def close(self) -> None:
        """End the process; it is started again when somebody asks."""
        if self._end is not None:
            self._end()
        self._process = self._end = None

    def _start(self) -> None:
        limits = self._limits
        try:
            process = subprocess.Popen(
                [*self._command, str(limits.cpu_s), str(limits.memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_SLOW_LIBRARIES,
                bufsize=0,
            )
        except OSError as error:
            raise ModelError(f"no process can be started for the written reward: {plain(error)}") from None
        self._process, self._end = process, weakref.finalize(self, _end, process)
        self._parameters = tuple(self._ask({"source": self.source}, _START_S, most=_WORDS).parameters)

    def _ask(self, message: dict[str, object], deadline_s: float, *, most: int) -> _Answer:
        """The answer to a message; whatever is wrong with it ends the process, and is said."""
        assert self._process is not None
        try:
            line = _exchange(self._process, msgspec.json.encode(message) + b"\n", deadline_s, most)
            answer = msgspec.json.decode(line, type=_Answer)
        except msgspec.DecodeError as error:
            self.close()
            raise WrittenError(f"the process of the written reward answered no answer: {plain(error)}") from None
        except WrittenError:
            self.close()
            raise
        if answer.problem:
            self.close()
            raise WrittenError(plain(answer.problem, 400))
        return answer


def _exchange(process: subprocess.Popen[bytes], message: bytes, deadline_s: float, most: int) -> bytes:
    """Send a line and read one; raises WrittenError where it does not come in time, is too long, or nobody is there."""
    assert process.stdin is not None
    assert process.stdout is not None
    into, out, until_s = process.stdin.fileno(), process.stdout.fileno(), time.monotonic() + deadline_s
    os.set_blocking(into, False)
    left, found = memoryview(message), b""
    with selectors.DefaultSelector() as selector:
        selector.register(into, selectors.EVENT_WRITE)
        selector.register(out, selectors.EVENT_READ)
        while not found.endswith(b"\n"):
            ready = selector.select(max(0.0, until_s - time.monotonic()))
            if not ready:
                raise WrittenError(
                    f"it took longer than {deadline_s:g} s and was stopped; is there a loop without end?"
                )
            for key, _ in ready:
                if key.fd == out:
                    part = os.read(out, 1 << 16)
                    found += part
                    if not part:
                        raise WrittenError(_epitaph(process))
                    if len(found) > most:
                        raise WrittenError(f"its process answered more than {most} bytes and was stopped")
                else:
                    left = left[_written(into, left) :]
                    if not left:
                        selector.unregister(into)
    return found


def _written(into: int, data: memoryview) -> int:
    try:
        return os.write(into, data[: 1 << 16])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)  # What became of the process is read from its other pipe.


def _epitaph(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    if code == -signal.SIGXCPU:
        return "it computed for longer than it may and was stopped; is there a loop without end?"
    name = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"its process ended by {name}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
