"""Ways to wake a thread that waits on sockets."""

import contextlib
import socket
import threading


class Wake:
    """Lets any thread end another thread's `wait` at once."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)

    def fileno(self) -> int:
        """What to poll."""
        return self._ours.fileno()

    def set(self) -> None:
        """End the wait that is going on, or the next one."""
        # A full buffer means that the wait will end anyway; a closed one that nobody waits any more.
        with contextlib.suppress(BlockingIOError, OSError):
            self._theirs.send(b"\0")

    def clear(self) -> None:
        """Be ready for the next `set`."""
        with contextlib.suppress(BlockingIOError):
            self._ours.recv(4096)

    def close(self) -> None:
        """Give the two descriptors back."""
        self._ours.close()
        self._theirs.close()


class Bell:
    """Rings a Wake from a thread that must not wait, not even for the interpreter.

    Writing to a descriptor releases the interpreter's lock, and getting it back can take milliseconds while other
    threads compute. Releasing a lock of our own does not: a thread that waits for it does the writing.
    """

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._rung = threading.Lock()
        self._rung.acquire()
        self._closed = False
        self._thread = threading.Thread(target=self._relay, name="bell", daemon=True)
        self._thread.start()

    def ring(self) -> None:
        """Wake the waiter soon; a microsecond."""
        # The lock is free where somebody has just rung and the relay has not answered yet.
        with contextlib.suppress(RuntimeError):
            self._rung.release()

    def close(self) -> None:
        """End the relay, before its Wake is closed."""
        self._closed = True
        self.ring()
        self._thread.join()

    def _relay(self) -> None:
        while not self._closed:
            self._rung.acquire()
            self._wake.set()
