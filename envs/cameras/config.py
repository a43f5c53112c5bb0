"""Which camera is wanted, and how it is to see. Imports nothing heavy."""

import re
from dataclasses import dataclass

from envs.config import one_of

SOURCES = ("realsense", "uvc")


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """What `open_camera` opens."""

    name: str
    """As the observation and the topics call it, e.g. wrist."""
    source: str = "realsense"
    """realsense, or uvc: any camera that the kernel shows as /dev/video*."""
    serial: str = ""
    """Of a RealSense: its serial number; empty: the only one that is connected."""
    device: str = ""
    """Of a UVC camera: its index or path. /dev/v4l/by-id/... stays the same after a restart, an index may not."""
    width: int = 640
    height: int = 480
    fps: int = 30
    auto_exposure: bool = True
    """False keeps the brightness of the picture from following what the robot does in it."""
    exposure: float | None = None
    """With auto_exposure=false: in the camera's own unit, 0.1 ms for most; None: as the camera has it."""
    depth: bool = False
    """Of a RealSense: depth too, aligned to the colour image."""
    playback: str = ""
    """A recorded file that stands in for the camera: .db3 of the RealSense SDK, or a video."""
    repeat: bool = True
    """Whether a recorded file starts again at its end; if not, the camera falls silent there."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the camera, what was got and what is wanted, where the fields make no sense."""
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name):
            raise ValueError(f"a camera's name must be letters, digits and _, got {self.name!r}")
        try:
            self._check()
        except ValueError as error:
            raise ValueError(f"camera {self.name}: {error}") from None

    def _check(self) -> None:
        one_of("source", self.source, SOURCES)
        for key in ("width", "height"):
            if not 16 <= getattr(self, key) <= 8192:
                raise ValueError(f"{key} must be 16 to 8192 pixels, got {getattr(self, key)}")
        if not 1 <= self.fps <= 300:
            raise ValueError(f"fps must be 1 to 300, got {self.fps}")
        if self.exposure is not None and self.auto_exposure:
            raise ValueError(f"exposure={self.exposure:g} needs auto_exposure=false")
        if self.source == "uvc" and (self.serial or self.depth):
            raise ValueError("serial and depth go with source=realsense only, got source=uvc")
        if self.source == "realsense" and self.device:
            raise ValueError(f"device={self.device} goes with source=uvc only; name a RealSense by serial=")
        if self.source == "uvc" and not (self.device or self.playback):
            raise ValueError("source=uvc needs device=<index or path>, e.g. device=/dev/v4l/by-id/...")
