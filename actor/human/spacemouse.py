"""3Dconnexion's SpaceMouse over raw HID reports, which are decoded by their length and not by a table of models.

A table that is wrong about one model silently drops its turns; the length of a report cannot be wrong:

    id 1, 6 bytes   x, y, z           id 2, 6 bytes   their turns       (SpaceNavigator, Compact, Pro)
    id 1, 12 bytes  all six at once                                     (Wireless, Pro Wireless, Enterprise, receivers)
    id 3            one bit a button

Numbers are little-endian int16, +-350 at full deflection, with x to the right, y towards the person and z down.

**How we know that it lives.** A SpaceMouse at rest says nothing, and one that is deflected repeats itself every 8 to
16 ms. So while an axis is deflected it lives as long as it reports: 100 ms of silence, and a wireless one out of range
drives nobody. While it is at rest we ask the kernel every 10 ms: a read from an unplugged device fails at once. What we
cannot know is whether a wireless one at rest is still in range; it wants nothing then, so nothing goes wrong.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actor.human.instrument import UNHEARD, Controls
from actor.spacemice import MODELS, is_spacemouse
from wire.errors import UserError, plain

log = logging.getLogger(__name__)

FULL_SCALE = 350.0
UDEV_RULE = "ros2_ws/src/handrail_bringup/udev/70-handrail-spacemouse.rules"
_DESKTOP, _MULTI_AXIS = 0x01, 0x08
"""HID usage page and usage."""
_WAKE_MS = 10
_RETRY_S = 0.25
_REPORT_BYTES = 64
_MOST_REPORTS = 256
"""Taken in at one wake; the kernel keeps 64."""
_AXES = {(1, 6): 0, (2, 6): 3, (1, 12): 0}
"""(id, length) of a report of axes -> the first of the axes that it holds."""


class Decoder:
    """What the reports so far say."""

    def __init__(self, rest: float = 0.0) -> None:
        self.axes = list(UNHEARD)
        """Along and about forward, left, up."""
        self.down: frozenset[int] = frozenset()
        self._rest = rest
        self._heard_s = [0.0] * len(UNHEARD)

    def feed(self, report: bytes, now_s: float) -> list[int]:
        """Take in one report, its id first; returns the buttons that it says were pressed."""
        kind, body = report[:1], report[1:]
        if kind == b"\x03" and body:
            bits = int.from_bytes(body, "little")
            down = frozenset(number for number in range(8 * len(body)) if bits >> number & 1)
            fresh, self.down = sorted(down - self.down), down
            return fresh
        first = _AXES.get((report[0], len(body))) if report else None
        if first is not None:
            for at in range(0, len(body), 6):
                self._turn_to_person(first + at // 2, body[at : at + 6], now_s)
        return []

    def alive_s(self, now_s: float) -> float:
        """When it was last known to be so: now, unless something is deflected; then when that was last reported."""
        pushed = (heard_s for axis, heard_s in zip(self.axes, self._heard_s, strict=True) if abs(axis) > self._rest)
        return min(pushed, default=now_s)

    def _turn_to_person(self, first: int, body: bytes, now_s: float) -> None:
        right, near, down = (
            max(-1.0, min(1.0, int.from_bytes(body[at : at + 2], "little", signed=True) / FULL_SCALE))
            for at in (0, 2, 4)
        )
        # Half a turn about the diagonal between right and near: turns follow the same rotation.
        self.axes[first : first + 3] = [-near, -right, -down]
        self._heard_s[first : first + 3] = [now_s] * 3


@dataclass(frozen=True)
class Found:
    """A SpaceMouse that is connected."""

    name: str
    path: str
    serial: str

    def __str__(self) -> str:
        return f"{self.name} ({f'serial {self.serial}, ' if self.serial else ''}path {self.path})"


def connected(hid: Any) -> list[Found]:
    """Every SpaceMouse that is connected, by path; each once, however many interfaces it has."""
    found: dict[str, Found] = {}
    for facts in hid.enumerate():
        model = (facts["vendor_id"], facts["product_id"])
        usage = (facts.get("usage_page", 0), facts.get("usage", 0))
        # Kernels and libraries that do not tell the usage give zeros.
        if is_spacemouse(*model) and usage in ((_DESKTOP, _MULTI_AXIS), (0, 0)):
            path = os.fsdecode(facts["path"])
            name = MODELS.get(model, f"3Dconnexion {model[0]:04x}:{model[1]:04x}")
            found.setdefault(path, Found(name, path, plain(facts.get("serial_number") or "")))
    return [found[path] for path in sorted(found)]


def choose(found: list[Found], wanted: str | None, key: str = "human.device") -> Found:
    """The one that is wanted, by serial number or path; raises UserError unless there is exactly one."""
    matching = [each for each in found if wanted in (None, each.serial, each.path)]
    here = ", ".join(map(str, found)) or "none"
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UserError(f"there are {len(matching)} SpaceMice: {here}; choose: {key}=<serial or path>")
    if found:
        raise UserError(f"there is no SpaceMouse {wanted}; connected: {here}; set {key} to one of them")
    raise UserError(
        "there is no SpaceMouse; plug one in (lsusb must list 256f: or 046d:c6..), give the container /dev/hidraw*, or "
        "set human=keyboard"
    )


def choose_pair(left: str | None, right: str | None, hid: Any = None) -> dict[str, str]:
    """What the two of a pair are wanted by, by side; raises UserError, listing all, unless both are named and there.

    Which of two is the left one cannot be guessed, and a wrong guess moves the wrong arm.
    """
    found = connected(_import_hid() if hid is None else hid)
    here = ", ".join(map(str, found)) or "none"
    if left is None or right is None:
        raise UserError(
            f"human=spacemice needs human.left=<serial or path> and human.right=<serial or path>; connected: {here}"
        )
    chosen = {side: choose(found, wanted, f"human.{side}") for side, wanted in (("left", left), ("right", right))}
    if chosen["left"] == chosen["right"]:
        raise UserError(f"human.left and human.right are both the {chosen['left']}; connected: {here}")
    return {"left": left, "right": right}


class SpaceMouse:
    """One SpaceMouse, read in a thread; unplugged, it is picked up again when it returns."""

    def __init__(
        self,
        wanted: str | None = None,
        *,
        rest: float = 0.0,
        hid: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open it.

        Args:
            wanted: Serial number or path, where several are connected.
            rest: Deflection that means nothing, and may therefore go unreported.
            hid: The module `hid` of the hidapi wheel, or what stands in for it.
            clock: Monotonic seconds.

        Raises:
            UserError: Where there is none, or more than one, or it cannot be opened; says what to do.
        """
        self._hid = _import_hid() if hid is None else hid
        self._clock, self._rest = clock, rest
        self._lock = threading.Lock()
        self._pressed: list[int] = []
        self.connection = 0
        self.trouble = ""
        self._device: Any = None
        self._claim = -1
        self._decoder = Decoder()
        self._awake_s = 0.0
        found = choose(connected(self._hid), wanted)
        # Two of one model may be there when it comes back: it is told by what it was chosen by.
        self._wanted = wanted or found.serial or None
        self.name = found.name
        self._open(found)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="spacemouse", daemon=True)
        self._thread.start()

    def latest(self) -> Controls | None:
        """How it stands; None while it is away."""
        with self._lock:
            if self._device is None:
                return None
            return Controls(self._decoder.alive_s(self._awake_s), tuple(self._decoder.axes), self._decoder.down)

    def pressed(self) -> list[int]:
        """The buttons pressed since the last call, in order."""
        with self._lock:
            pressed, self._pressed = self._pressed, []
        return pressed

    def close(self) -> None:
        """Let the device go."""
        self._closing.set()
        self._thread.join()
        self._let_go()

    def _open(self, found: Found) -> None:
        self._claim = _claim(found)
        device = self._hid.device()
        try:
            device.open_path(os.fsencode(found.path))
        except OSError as error:
            os.close(self._claim)
            raise UserError(f"cannot open the {found}: {error}; unplug it and plug it in again") from error
        # A read with a timeout waits; one without returns at once, and drains what has piled up.
        device.set_nonblocking(1)
        with self._lock:
            self._device, self._decoder, self._awake_s = device, Decoder(self._rest), self._clock()
            self.connection, self.trouble = self.connection + 1, ""

    def _let_go(self) -> None:
        with self._lock:
            device, self._device = self._device, None
        if device is not None:
            device.close()
            os.close(self._claim)

    def _listen(self) -> None:
        while not self._closing.is_set():
            if self._device is None:
                self._look_for_it()
                continue
            try:
                self._drain()
            except (OSError, ValueError) as error:
                self.trouble = f"was unplugged ({error}); plug it in again"
                self._let_go()

    def _drain(self) -> None:
        """Wait for a report, at most 10 ms, and take in whatever else has come: nothing is ever late."""
        reports = [self._device.read(_REPORT_BYTES, _WAKE_MS)]
        while reports[-1] and len(reports) < _MOST_REPORTS:
            reports.append(self._device.read(_REPORT_BYTES))
        now_s = self._clock()
        with self._lock:
            self._awake_s = now_s
            for report in reports:
                self._pressed += self._decoder.feed(bytes(report), now_s)

    def _look_for_it(self) -> None:
        if self._closing.wait(_RETRY_S):
            return
        try:
            self._open(choose(connected(self._hid), self._wanted))
        except UserError as error:
            log.debug("%s is not back: %s", self.name, error)


def _claim(found: Found) -> int:
    """A descriptor that keeps others of us from the device; raises UserError where it is taken, or not for us."""
    try:
        claim = os.open(found.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        raise UserError(
            f"this user may not open the {found}: permission denied; install the udev rule: sudo cp {UDEV_RULE} "
            "/etc/udev/rules.d/ && sudo udevadm control --reload && sudo udevadm trigger, then plug it in again"
        ) from None
    except OSError as error:
        raise UserError(f"cannot open the {found}: {error.strerror}; plug it in again") from error
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(claim)
        raise UserError(
            f"the {found} drives another robot already: another process of Handrail has it open; stop that one, or "
            "choose another with human.device=<serial or path>"
        ) from None
    return claim


def _import_hid() -> Any:
    try:
        import hid
    except ImportError:
        raise UserError("human=spacemouse needs the hidapi wheel: pip install 'handrail[human]'") from None
    if not hasattr(hid, "enumerate"):
        raise UserError(
            "the installed module hid is not that of the hidapi wheel: pip uninstall hid; pip install hidapi"
        )
    return hid
