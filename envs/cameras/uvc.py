"""Ordinary cameras, through OpenCV: what the kernel shows as /dev/video*, or a video file in its place."""

import sys
from pathlib import Path

import numpy as np

from envs.cameras.camera import CameraError, Intrinsics
from envs.cameras.config import CameraConfig
from envs.cameras.opencv import cv2
from envs.cameras.reader import CameraLost, Pace, Picture

_MANUAL, _AUTOMATIC = 1, 3
"""V4L2's own numbers: V4L2_EXPOSURE_MANUAL and V4L2_EXPOSURE_APERTURE_PRIORITY."""
_BY_ID = Path("/dev/v4l/by-id")


def connected(folder: Path = _BY_ID) -> list[Path]:
    """The cameras that are plugged in, by names that stay theirs; the first stream of each, the one with pictures."""
    return sorted(folder.glob("*-video-index0"))


def set_exposure(capture: cv2.VideoCapture, config: CameraConfig) -> None:
    """Let the camera choose its exposure, or fix it; raises CameraError where it cannot be fixed."""
    automatic = capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _AUTOMATIC if config.auto_exposure else _MANUAL)
    if config.auto_exposure:
        return  # Many cameras know nothing else, and refuse to be told.
    if not automatic:
        raise CameraError(
            f"camera {config.name}: {config.device} does not let its exposure be fixed; set auto_exposure=true"
        )
    if config.exposure is not None and not (
        capture.set(cv2.CAP_PROP_EXPOSURE, config.exposure) and capture.get(cv2.CAP_PROP_EXPOSURE) == config.exposure
    ):
        raise CameraError(
            f"camera {config.name}: {config.device} did not take exposure={config.exposure:g}, it is at "
            f"{capture.get(cv2.CAP_PROP_EXPOSURE):g}; `v4l2-ctl -L -d {config.device}` shows what it takes"
        )


class Uvc:
    """One ordinary camera as a Source (see envs.cameras.reader)."""

    intrinsics: Intrinsics | None = None

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self.size = (config.width, config.height)
        self._capture: cv2.VideoCapture | None = None
        self._pace = Pace(config.fps)
        self._number = 0

    def open(self) -> None:
        """Start it; raises CameraError where it is not there or does not take the size and the rate."""
        self.close()
        capture = self._play() if self._config.playback else self._start()
        try:
            self._verify(capture)
        except CameraError:
            capture.release()
            raise
        self._capture = capture

    def read(self) -> Picture | None:
        """The next picture; None at the end of a recording. Raises CameraLost once the device has gone."""
        assert self._capture is not None
        if self._config.playback:
            self._pace.wait()
        taken, bgr = self._capture.read()
        if not taken and self._config.playback:
            if self._config.repeat:
                self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            return None
        if not taken or bgr.ndim != 3:
            raise CameraLost(f"{self._config.device} gave no picture")
        self._number += 1
        stamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        return Picture(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)), stamp_s, self._number)

    def close(self) -> None:
        """Stop it; safe to call twice."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _play(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self._config.playback) if Path(self._config.playback).is_file() else None
        if capture is None or not capture.isOpened():
            raise CameraError(f"camera {self._config.name}: {self._config.playback} is no video that can be played")
        return capture

    def _start(self) -> cv2.VideoCapture:
        config = self._config
        node = Path(f"/dev/video{config.device}" if config.device.isdigit() else config.device)
        if not node.exists():
            there = ", ".join(map(str, connected())) or "none"
            raise CameraError(f"camera {config.name}: there is no {node}; cameras that are connected: {there}")
        capture = cv2.VideoCapture(str(node), cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
        if not capture.isOpened():
            raise CameraError(
                f"camera {config.name}: {node} cannot be opened; another program may have it (`fuser -v {node}`), or "
                "you may not read it (`sudo usermod -aG video $USER`, then log in again), or it is no camera"
            )
        # The newest picture, not the oldest of a queue. A driver that has its own mind about it says no, to no harm.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.height)
        capture.set(cv2.CAP_PROP_FPS, config.fps)
        try:
            set_exposure(capture, config)
        except CameraError:
            capture.release()
            raise
        return capture

    def _verify(self, capture: cv2.VideoCapture) -> None:
        """A camera takes the nearest mode it has, and says nothing."""
        config = self._config
        size = round(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fps = capture.get(cv2.CAP_PROP_FPS)
        # Some drivers do not know their rate and say 0.
        if size != self.size or (fps > 0 and abs(fps - config.fps) > 0.5):
            raise CameraError(
                f"camera {config.name}: {config.playback or config.device} gives {size[0]} x {size[1]} at {fps:g} "
                f"frames a second, wanted {config.width} x {config.height} at {config.fps}; set width, height and fps "
                "to what it can (`v4l2-ctl --list-formats-ext` lists it)"
            )
