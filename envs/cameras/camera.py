"""What every camera is, whichever device is behind it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wire.errors import UserError


class CameraError(UserError):
    """A camera is not there, or not as it was asked for; the text names it and the cure."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture. Its arrays are read-only: everybody who asks for the newest frame gets the same one."""

    image: np.ndarray
    """uint8 of shape (height, width, 3), RGB."""
    stamp_s: float
    """When it was taken, by the device's own clock: for the time between two frames, not to be compared with ours."""
    received_s: float
    """When it arrived here, time.monotonic()."""
    number: int
    """As the device counts; a gap is a frame that was lost on the way."""
    depth_m: np.ndarray | None = None
    """float32 of shape (height, width), metres, 0 where unknown, aligned to the image; None: not asked for."""


@dataclass(frozen=True)
class Intrinsics:
    """The pinhole of a camera, in pixels of its own picture."""

    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = "plumb_bob"
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)


class Camera(Protocol):
    """A camera that somebody else reads: nothing here waits for a picture."""

    name: str
    size: tuple[int, int]
    """Width and height, pixels."""
    intrinsics: Intrinsics | None
    """None: not known to the device."""

    def latest(self) -> Frame | None:
        """The newest frame, at once; None before the first."""
        ...

    def age_s(self) -> float:
        """Seconds since the newest frame arrived; infinite before the first."""
        ...

    def trouble(self) -> str:
        """One sentence about what is wrong and what to do; empty: frames arrive."""
        ...

    def close(self) -> None:
        """Release the device; safe to call twice."""
        ...
