"""Devices without hardware: raw HID reports from a queue, through the real driver."""

import struct
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from actor.human.instrument import STILL, Controls
from wire.specs import ArraySpec, EnvSpec

COMPACT, WIRELESS = (0x256F, 0xC635), (0x256F, 0xC62E)


def split(forward: int = 0, left: int = 0, up: int = 0) -> bytes:
    """Report 1 of a model that tells moves and turns apart, as one who faces it moves it."""
    return struct.pack("<Bhhh", 1, -left, -forward, -up)


def turns(forward: int = 0, left: int = 0, up: int = 0) -> bytes:
    """Report 2 of such a model."""
    return struct.pack("<Bhhh", 2, -left, -forward, -up)


def combined(*axes: int) -> bytes:
    """Report 1 of a model that tells all six at once: forward, left, up and the turns about them."""
    return split(*axes[:3]) + turns(*axes[3:])[1:]


def buttons(*down: int) -> bytes:
    return struct.pack("<BI", 3, sum(1 << number for number in down))


class Plug:
    """One SpaceMouse at its cable: what is pushed into it is read out of it, in order."""

    def __init__(self, path: Path, model: tuple[int, int] = COMPACT, serial: str = "") -> None:
        path.touch()
        self.path, self.model, self.serial = path, model, serial
        self.there = True
        self.reports: deque[bytes] = deque()
        self.news = threading.Condition()
        self.reads = 0

    def say(self, *reports: bytes) -> None:
        with self.news:
            self.reports.extend(reports)
            self.news.notify_all()

    def pull(self) -> None:
        """Unplug it."""
        with self.news:
            self.there = False
            self.reports.clear()
            self.news.notify_all()

    def put_back(self) -> None:
        with self.news:
            self.there = True

    def facts(self) -> dict[str, Any]:
        return {
            "path": str(self.path).encode(),
            "vendor_id": self.model[0],
            "product_id": self.model[1],
            "serial_number": self.serial,
            "usage_page": 1,
            "usage": 8,
        }


class _Device:
    """hid.device, as far as a driver uses it."""

    def __init__(self, hid: "FakeHid") -> None:
        self._hid = hid
        self._plug: Plug | None = None

    def open_path(self, path: bytes) -> None:
        self._plug = next((plug for plug in self._hid.plugs if str(plug.path).encode() == path and plug.there), None)
        if self._plug is None:
            raise OSError("open failed")

    def set_nonblocking(self, on: int) -> None:
        assert on == 1

    def read(self, most: int, timeout_ms: int = 0) -> list[int]:
        plug = self._plug
        if plug is None:
            raise ValueError("not open")
        with plug.news:
            plug.reads += 1
            if timeout_ms:
                plug.news.wait_for(lambda: plug.reports or not plug.there, timeout_ms / 1000)
            if not plug.there:
                raise OSError("read error")
            return list(plug.reports.popleft()[:most]) if plug.reports else []

    def close(self) -> None:
        self._plug = None


class FakeHid:
    """The module `hid`."""

    def __init__(self, *plugs: Plug) -> None:
        self.plugs = list(plugs)

    def enumerate(self) -> list[dict[str, Any]]:
        return [plug.facts() for plug in self.plugs if plug.there]

    def device(self) -> _Device:
        return _Device(self)


class Pad:
    """An instrument that stands as it is told."""

    name = "pad"

    def __init__(self) -> None:
        self.connection, self.trouble = 1, ""
        self.now_s = 50.0
        self.controls: Controls | None = None
        self.presses: list[int] = []
        self.stand()

    def stand(self, *axes: float, down: frozenset[int] = frozenset()) -> None:
        padded = (*axes, *STILL[len(axes) :])
        self.controls = Controls(self.now_s, padded, down)

    def latest(self) -> Controls | None:
        return self.controls

    def pressed(self) -> list[int]:
        presses, self.presses = self.presses, []
        return presses

    def close(self) -> None:
        pass


def until(holds: Any, within_s: float = 20.0) -> None:
    """Wait until another thread has done something."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.001)


def arm_spec(*names: str, frame: str = "base") -> EnvSpec:
    names = names or ("x", "y", "z", "gripper")
    return EnvSpec(
        env="sim",
        task="toy",
        robot="arm",
        observation={"state": ArraySpec(shape=(2,), dtype="float32")},
        action=ArraySpec(shape=(len(names),), dtype="float32", low=-1, high=1),
        action_names=names,
        action_frame=frame,
        rate_hz=10.0,
        max_episode_steps=10,
        reward="toy-1",
    )
