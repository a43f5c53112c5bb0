"""Recordings that stand in for cameras, made on the spot by the RealSense SDK's recorder and OpenCV's writer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

WIDTH, HEIGHT, FPS = 64, 48, 30
FOCAL_PX = (60.0, 61.0)


def shade(number: int) -> tuple[int, int, int]:
    """The colour (RGB) of the whole picture with this number, which counts from 1: no two channels are alike."""
    return number * 5 % 256, 100, 200


def picture(number: int) -> np.ndarray:
    """Its left half is the shade, its right half black, so that a mirrored picture is seen as such."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, : WIDTH // 2] = shade(number)
    return image


def depth_mm(number: int) -> np.ndarray:
    """By a sensor with half as many pixels each way, so that what is not aligned is seen by its size."""
    return np.full((HEIGHT // 2, WIDTH // 2), 1000 + number, np.uint16)


def realsense_sdk() -> Any:
    """pyrealsense2, or a skip that says why there is none."""
    try:
        import pyrealsense2
    except ImportError as error:
        pytest.skip(f"pyrealsense2 cannot be imported ({error}); `make test` fetches libusb")
    return pyrealsense2


class SoftwareCamera:
    """A RealSense that exists in the SDK alone."""

    def __init__(self, serial: str, depth: bool = False) -> None:
        self.rs = rs = realsense_sdk()
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.serial_number, serial)
        self.device.register_info(rs.camera_info.name, "Software camera")
        self.colour = self.device.add_sensor("RGB Camera")
        self._colour = self.colour.add_video_stream(self._stream(rs.stream.color, rs.format.rgb8, 1, 3), True)
        self._depth = None
        if depth:
            self.stereo = self.device.add_sensor("Stereo Module")
            self.stereo.add_read_only_option(rs.option.depth_units, 0.001)
            self._depth = self.stereo.add_video_stream(
                self._stream(rs.stream.depth, rs.format.z16, 2, 2, parts=2), True
            )
            same_place = rs.extrinsics()
            same_place.rotation, same_place.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0]
            self._depth.register_extrinsics_to(self._colour, same_place)

    def _stream(self, kind, fmt, uid, bpp, parts=1):
        stream, lens = self.rs.video_stream(), self.rs.intrinsics()
        lens.width, lens.height = WIDTH // parts, HEIGHT // parts
        lens.ppx, lens.ppy, lens.fx, lens.fy = (px / parts for px in (WIDTH / 2, HEIGHT / 2, *FOCAL_PX))
        lens.model, lens.coeffs = self.rs.distortion.brown_conrady, [0.1, 0, 0, 0, 0.2]
        stream.type, stream.fmt, stream.uid, stream.bpp = kind, fmt, uid, bpp
        stream.width, stream.height, stream.fps, stream.intrinsics = lens.width, lens.height, FPS, lens
        return stream

    def send(self, number: int) -> None:
        """A picture, as the cable brings it."""
        self.colour.on_video_frame(self._frame(self._colour, picture(number), number))
        if self._depth is not None:
            frame = self._frame(self._depth, depth_mm(number), number)
            frame.depth_units = 0.001
            self.stereo.on_video_frame(frame)

    def _frame(self, profile, pixels, number):
        frame = self.rs.software_video_frame()
        frame.pixels, frame.bpp, frame.stride = pixels, pixels.strides[1], pixels.strides[0]
        frame.timestamp, frame.frame_number = 1000 * number / FPS, number
        frame.domain, frame.profile = self.rs.timestamp_domain.hardware_clock, profile.as_video_stream_profile()
        return frame


def record_realsense(path: Path, frames: int, serial: str = "0123456789", depth: bool = False) -> Path:
    """A recording by the SDK's own recorder; frame numbers count from 1."""
    camera = SoftwareCamera(serial, depth)
    rs = camera.rs
    recorder = rs.recorder(str(path), camera.device)
    sensors, queue = recorder.query_sensors(), rs.frame_queue(4 * frames, True)
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles())
        sensor.start(queue)
    for number in range(1, frames + 1):
        camera.send(number)
    for _ in range(frames * len(sensors)):
        arrived, _ = queue.try_wait_for_frame(5000)
        assert arrived, "the software device did not deliver what it was sent"
    for sensor in sensors:
        sensor.stop()
        sensor.close()
    return path


def record_video(path: Path, frames: int) -> Path:
    """A video without loss; its picture k, from 0, is `picture(k + 1)`."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), FPS, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(1, frames + 1):
        writer.write(picture(number)[..., ::-1])
    writer.release()
    return path
