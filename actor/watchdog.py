"""The middle of three stops: a process of its own that makes the robot hold when the control loop falls silent.

The loop promises, in a few bytes of shared memory, to be back before a certain time. Whatever keeps it from that (a
crash, SIGKILL, SIGSTOP, something that never lets go of the interpreter's lock), the watchdog then stops the robot
through a connection of its own. Not safety-rated: the robot's own limits and the emergency stop stay the safety
functions, and this process can die too; then the loop stops the robot, and itself.
"""

import contextlib
import logging
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from envs.stopper import Stopper, open_stopper
from wire.errors import UserError, run_main

log = logging.getLogger(__name__)

DEADLINE_S = 0.1
"""The loop must beat this often while the robot may be moving."""
POLL_S = 0.003
_LOST_S = 0.5
"""A watchdog that has shown no sign of life for so long is none."""
_START_S = 20.0
_GIVE_UP_S = 10.0

_DUE, _EPISODE, _OVER, _ECHO, _TRIPPED = range(5)
"""Words of 64 bits. The loop writes the first three, the watchdog the others, so nothing needs a lock:

due: CLOCK_MONOTONIC, which is one clock for all processes, in nanoseconds; 0 while nothing is promised
episode: from 1; what is tripped stays so until the next one begins
over: not 0 where the watchdog shall end: FINE, or FAILED, and then it holds the robot first
echo: when the watchdog last found itself and its way to the robot in order
tripped: the last episode in which it stopped the robot
"""
_WORDS = 5
_FINE, _FAILED = 1, 2


class WatchdogLostError(UserError, RuntimeError):
    """The watchdog has died or cannot reach the robot, so the robot must not move."""


class Heart(Protocol):
    """What the control loop owes to whoever watches it."""

    def begin(self, within_s: float) -> None:
        """Begin an episode: the first beat follows within so many seconds; what was tripped is so no more."""
        ...

    def beat(self) -> None:
        """Promise to beat again within 100 ms; raises WatchdogLostError where nobody hears it."""
        ...

    def rest(self) -> None:
        """Promise nothing, because the robot holds already."""
        ...

    def tripped(self) -> bool:
        """Whether the robot was stopped in this episode, because a promise was broken."""
        ...


class Unwatched:
    """For a robot that stops with this process: a simulation in it."""

    def begin(self, within_s: float) -> None:
        """Nothing."""

    def beat(self) -> None:
        """Nothing."""

    def rest(self) -> None:
        """Nothing."""

    def tripped(self) -> bool:
        """Never."""
        return False


class Watched:
    """The loop's side of the shared memory. A beat is one write and one read of eight bytes, without a system call."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._episode = 0

    def begin(self, within_s: float) -> None:
        """Begin an episode: the first beat follows within so many seconds; what was tripped is so no more."""
        # In this order, so that no moment shows the new episode with the old promise.
        self._words[_DUE] = time.monotonic_ns() + int(within_s * 1e9)
        self._episode += 1
        self._words[_EPISODE] = self._episode

    def beat(self) -> None:
        """Promise to beat again within 100 ms; raises WatchdogLostError where nobody hears it."""
        now_ns = time.monotonic_ns()
        self._words[_DUE] = now_ns + int(DEADLINE_S * 1e9)
        if now_ns - self._words[_ECHO] > _LOST_S * 1e9:
            raise WatchdogLostError(
                f"the watchdog has not shown for {(now_ns - self._words[_ECHO]) / 1e9:.1f} s that it lives and reaches "
                "the robot, so the robot holds; look for its last message above and start again"
            )

    def rest(self) -> None:
        """Promise nothing, because the robot holds already."""
        self._words[_DUE] = 0

    def tripped(self) -> bool:
        """Whether the robot was stopped in this episode, because a promise was broken."""
        return self._words[_TRIPPED] == self._episode


@contextlib.contextmanager
def watched(address: str | None) -> Iterator[Heart]:
    """A watchdog over the robot that can be stopped at `address`, for the block; None: there is nothing to watch.

    A block that ends with an error leaves the robot held.

    Raises:
        WatchdogLostError: Where it cannot be started or does not reach the robot.
    """
    if address is None:
        yield Unwatched()
        return
    # Without a name: nobody else can open it, and nothing is left behind however we end.
    with tempfile.TemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as file:
        words = _shared(file)
        # A group of its own: what kills the loop with all its group must not kill who watches it.
        process = subprocess.Popen(
            [sys.executable, "-m", "actor.watchdog", str(file.fileno()), address],
            pass_fds=[file.fileno()],
            process_group=0,
        )
        try:
            _wait_for_echo(words, process)
            yield Watched(words)
            words[_OVER] = _FINE
        except BaseException:
            words[_OVER] = _FAILED
            raise
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
            process.kill()
            process.wait()


def watch(words: memoryview, stopper: Stopper, parent: int) -> None:
    """Hold the robot whenever a promise is broken or `parent` is gone, until the loop says that it is over."""
    orphaned_s = None
    while not words[_OVER]:
        # The episode first: should the next one begin in between, its promise is the one that is judged.
        episode, due_ns, now_ns = words[_EPISODE], words[_DUE], time.monotonic_ns()
        if orphaned_s is None and os.getppid() != parent:
            orphaned_s = time.monotonic()
        late = 0 < due_ns < now_ns and words[_TRIPPED] != episode
        try:
            if orphaned_s is not None:
                stopper.hold("the actor's process has ended")
                return
            if late:
                stopper.hold(f"the control loop did not beat for {1000 * DEADLINE_S:.0f} ms")
                words[_TRIPPED] = episode
                log.error("held the robot: episode=%d late_ms=%.1f", episode, (now_ns - due_ns) / 1e6)
            reachable = stopper.reachable()
        except OSError as error:
            log.error("cannot reach the robot: %s", error)
            reachable = stopper.reachable()
            if orphaned_s is not None and time.monotonic() - orphaned_s > _GIVE_UP_S:
                return
        if reachable:
            words[_ECHO] = now_ns
        time.sleep(POLL_S)
    if words[_OVER] == _FAILED:
        with contextlib.suppress(OSError):
            stopper.hold("the actor has failed")


def _shared(file: IO[bytes]) -> memoryview:
    file.truncate(_WORDS * 8)
    return memoryview(mmap.mmap(file.fileno(), _WORDS * 8)).cast("q")


def _wait_for_echo(words: memoryview, process: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + _START_S
    while not words[_ECHO]:
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise WatchdogLostError(
                f"the watchdog did not start (exit code {process.poll()}), so the robot must not move; its own message "
                "is above"
            )
        time.sleep(POLL_S)


def main() -> int:
    """Watch the process that started this one: `python -m actor.watchdog <file descriptor> <address>`."""
    parent = os.getppid()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s (%(name)s:%(lineno)d)", level=logging.INFO)
    # It ends when the loop has ended, and not a moment before.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    try:
        stopper = open_stopper(sys.argv[2])
    except OSError as error:
        raise UserError(f"the watchdog cannot reach the robot at {sys.argv[2]}: {error.strerror}") from error
    with os.fdopen(int(sys.argv[1]), "r+b") as file, contextlib.closing(stopper):
        watch(_shared(file), stopper, parent)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
