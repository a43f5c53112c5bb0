"""One thread per device keeps its newest frame; everybody else only looks.

Whoever waits for a camera inside a control loop is late when the camera is. So the loop takes what is there, and judges
by its age whether it may act on it. A device that goes away is tried again until it is back: meanwhile frames only grow
old, and `trouble` says why.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from envs.cameras.camera import CameraError, Frame, Intrinsics

log = logging.getLogger(__name__)

_JOIN_S = 3.0
"""A device's read ends within a second, or, for V4L2 whose camera hangs, within ten: that thread is left behind."""


class CameraLost(Exception):
    """The device has gone, or stopped sending; the text says how that showed."""


class Picture(NamedTuple):
    """What a device hands over."""

    image: np.ndarray
    """uint8 of shape (height, width, 3), RGB, owned by nobody else."""
    stamp_s: float
    number: int
    depth_m: np.ndarray | None = None


class Source(Protocol):
    """A device as its reader thread sees it; used by one thread at a time."""

    size: tuple[int, int]
    intrinsics: Intrinsics | None

    def open(self) -> None:
        """Start it, again after a `close` too; raises CameraError where it is not there or not as asked."""
        ...

    def read(self) -> Picture | None:
        """The next picture; None where there was none for a while. Raises CameraLost once the device has gone."""
        ...

    def close(self) -> None:
        """Stop it; safe to call twice."""
        ...


class LiveCamera:
    """A camera (see envs.cameras.camera.Camera) whose device is read by a thread of its own."""

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        silent_s: float = 0.5,
        retry_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the device and start reading.

        Args:
            name: how errors call it.
            source: the device.
            silent_s: a camera whose newest frame is older than this is in trouble.
            retry_s: pause between two attempts to open a device that went away.
            clock: monotonic seconds.

        Raises:
            CameraError: Where the device is not there or not as asked.
        """
        self.name = name
        self._source = source
        self._silent_s, self._retry_s, self._clock = silent_s, retry_s, clock
        self._arrived = threading.Condition()
        self._frame: Frame | None = None
        self._lost = ""
        self._closing = threading.Event()
        self._listener: Callable[[], None] = lambda: None
        source.open()
        self.size, self.intrinsics = source.size, source.intrinsics
        self._since_s = clock()
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self._thread.start()

    def latest(self) -> Frame | None:
        """The newest frame, at once; None before the first."""
        return self._frame

    def wait(self, after: Frame | None, timeout_s: float) -> Frame | None:
        """The newest frame, as soon as it is another one than `after`; None where that takes too long."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._frame is not after, timeout_s)
            return None if self._frame is after else self._frame

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this after every frame, in the reader's thread: it must not wait."""
        self._listener = listener

    def age_s(self) -> float:
        """Seconds since the newest frame arrived; infinite before the first."""
        frame = self._frame
        return math.inf if frame is None else self._clock() - frame.received_s

    def trouble(self) -> str:
        """One sentence about what is wrong and what to do; empty: frames arrive."""
        if self._lost:
            return f"camera {self.name}: {self._lost}"
        frame = self._frame
        silence_s = self._clock() - (self._since_s if frame is None else frame.received_s)
        if silence_s <= self._silent_s:
            return ""
        what = "no frame yet" if frame is None else "its last frame"
        since = f"{silence_s:.1f} s after it was opened" if frame is None else f"is {silence_s:.1f} s old"
        return (
            f"camera {self.name}: {what} {since}, wanted one every {self._silent_s:g} s at least; "
            "check its cable and its power"
        )

    def close(self) -> None:
        """Release the device; safe to call twice."""
        self._closing.set()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    picture = self._source.read()
                except CameraLost as lost:
                    self._find_again(lost)
                else:
                    if picture is not None:
                        self._put(picture)
        except Exception as error:
            # A fault of ours, and still the robot must hear of it: frames grow old, and this is why.
            self._lost = f"its reader ended with {type(error).__name__}: {error}; restart the program, and report it"
            log.exception("camera %s: its reader ended", self.name)
        finally:
            # Only the thread that reads may close: a device that is closed under a read takes the process with it.
            self._source.close()

    def _put(self, picture: Picture) -> None:
        picture.image.flags.writeable = False
        if picture.depth_m is not None:
            picture.depth_m.flags.writeable = False
        frame = Frame(picture.image, picture.stamp_s, self._clock(), picture.number, picture.depth_m)
        with self._arrived:
            self._frame = frame
            self._arrived.notify_all()
        self._listener()

    def _find_again(self, lost: CameraLost) -> None:
        self._source.close()
        self._lost = f"{lost}; it is looked for every {self._retry_s:g} s"
        log.warning("camera %s: %s", self.name, self._lost)
        while not self._closing.wait(self._retry_s):
            try:
                self._source.open()
            except CameraError as error:
                self._lost = str(error).removeprefix(f"camera {self.name}: ")
                continue
            self._lost, self._since_s = "", self._clock()
            log.warning("camera %s is back", self.name)
            return


class Pace:
    """Keeps a recording from being read faster than a camera would send it."""

    def __init__(self, fps: float) -> None:
        self._period_s = 1.0 / fps
        self._next_s = 0.0

    def wait(self) -> None:
        """Until the next picture is due; time that was missed is not made up for."""
        now_s = time.monotonic()
        time.sleep(max(0.0, self._next_s - now_s))
        self._next_s = max(self._next_s, now_s) + self._period_s
