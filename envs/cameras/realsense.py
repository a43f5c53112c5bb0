"""Intel RealSense cameras, through the SDK's own pipeline.

The SDK comes as a wheel (`pip install -e '.[cameras]'`); the one thing it takes from the system is libusb.
A recording of the SDK plays through the very same pipeline, which is how this file is tested without a camera.
"""

import contextlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs.cameras.camera import CameraError, Intrinsics
from envs.cameras.config import CameraConfig
from envs.cameras.reader import CameraLost, Pace, Picture

_WAIT_MS = 500
_PATIENCE = 8
"""Waits in vain, four seconds together, after which the device counts as lost; its first frame takes one or two."""
_SETTLING = 5
"""Frames until a fixed exposure is set again (github.com/realsenseai/librealsense/issues/14214)."""


@dataclass(frozen=True)
class Connected:
    """A RealSense that is plugged in."""

    serial: str
    model: str
    usb: str
    """Version of the port: 3.2 is fast, 2.1 is not fast enough for colour and depth at 30 frames a second."""

    def __str__(self) -> str:
        """As people are told of it."""
        return f"{self.serial} ({self.model}, USB {self.usb})"


def load_sdk() -> Any:
    """The module pyrealsense2; raises CameraError, with what to install, where it cannot be imported."""
    try:
        return importlib.import_module("pyrealsense2")
    except ImportError as error:
        if "libusb" in str(error):
            cure = "it needs the system's libusb: apt install libusb-1.0-0"
        else:
            cure = "install it: pip install -e '.[cameras]' -c constraints.txt"
        raise CameraError(f"RealSense cameras need pyrealsense2, got {error}; {cure}") from error


def connected() -> list[Connected]:
    """All RealSense cameras that the SDK finds here, in the order of their serial numbers."""
    rs = load_sdk()
    found = []
    for device in rs.context().query_devices():
        try:
            serial, model = (device.get_info(key) for key in (rs.camera_info.serial_number, rs.camera_info.name))
            usb = rs.camera_info.usb_type_descriptor
            found.append(Connected(serial, model, device.get_info(usb) if device.supports(usb) else "?"))
        except RuntimeError:
            continue  # It was pulled out while it was asked.
    return sorted(found, key=lambda camera: camera.serial)


def choose(name: str, serial: str, found: Sequence[Connected]) -> Connected:
    """The camera that is meant; raises CameraError, naming those that are there, where that is not clear."""
    if not found:
        wanted = f"RealSense {serial}" if serial else "a RealSense"
        raise CameraError(
            f"camera {name}: no RealSense is connected, wanted {wanted}; check its cable (a USB 3 port), and the udev "
            "rules if `lsusb` does show it"
        )
    there = ", ".join(map(str, found))
    if serial:
        for camera in found:
            if camera.serial == serial:
                return camera
        raise CameraError(
            f"camera {name}: RealSense {serial} is not connected, got {there}; plug it in, or set "
            "serial= to one of these"
        )
    if len(found) > 1:
        raise CameraError(
            f"camera {name}: {len(found)} RealSense are connected and none is chosen; set serial= to one of {there}"
        )
    return found[0]


def set_exposure(rs: Any, sensor: Any, config: CameraConfig) -> None:
    """Let the camera choose its exposure, or fix it; raises CameraError where the sensor cannot do so."""
    automatic, manual = rs.option.enable_auto_exposure, rs.option.exposure
    if not sensor.supports(automatic):
        if config.auto_exposure:
            return
        raise CameraError(f"camera {config.name}: its exposure cannot be fixed; set auto_exposure=true")
    sensor.set_option(automatic, float(config.auto_exposure))
    # Otherwise the SDK lowers the frame rate in the dark.
    if sensor.supports(rs.option.auto_exposure_priority):
        sensor.set_option(rs.option.auto_exposure_priority, 0.0)
    if config.exposure is not None:
        allowed = sensor.get_option_range(manual)
        if not allowed.min <= config.exposure <= allowed.max:
            raise CameraError(
                f"camera {config.name}: exposure must be {allowed.min:g} to {allowed.max:g} in this camera's unit, "
                f"got {config.exposure:g}"
            )
        sensor.set_option(manual, float(config.exposure))


class RealSense:
    """One RealSense as a Source (see envs.cameras.reader)."""

    intrinsics: Intrinsics | None = None

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self.size = (config.width, config.height)
        self.serial = config.serial
        self._pipeline: Any = None
        self._align: Any = None
        self._pace = Pace(config.fps)
        self._sensor: Any = None
        self._number = -1
        self._waited = self._settling = 0

    def open(self) -> None:
        """Start the pipeline; raises CameraError where the camera is not there or not as asked."""
        self.close()
        config, rs = self._config, load_sdk()
        pipeline, wanted = rs.pipeline(), rs.config()
        wanted.enable_stream(rs.stream.color, config.width, config.height, rs.format.rgb8, config.fps)
        if config.depth:
            wanted.enable_stream(rs.stream.depth, rs.format.z16, config.fps)
        try:
            if config.playback:
                self._play(rs, wanted, pipeline)
            else:
                # Once chosen it stays this one: another may be plugged in before it comes back.
                self.serial = choose(config.name, self.serial, connected()).serial
                wanted.enable_device(self.serial)
            profile = pipeline.start(wanted)
            self._pipeline = pipeline
            if not config.playback:
                self._sensor = _colour_sensor(rs, profile.get_device())
                set_exposure(rs, self._sensor, config)
            stream = profile.get_stream(rs.stream.color).as_video_stream_profile()
            self.intrinsics = _intrinsics(stream.get_intrinsics())
        except RuntimeError as error:
            self.close()
            raise CameraError(self._refused(rs, error)) from error
        except CameraError:
            self.close()
            raise
        self._align = rs.align(rs.stream.color) if config.depth else None
        self._number, self._waited, self._settling = -1, 0, _SETTLING

    def read(self) -> Picture | None:
        """The next picture; None where there was none for half a second. Raises CameraLost once it has gone."""
        if self._config.playback:
            self._pace.wait()
        try:
            arrived, frames = self._pipeline.try_wait_for_frames(_WAIT_MS)
            if not arrived:
                return self._nothing()
            self._waited = 0
            if self._align is not None:
                frames = self._align.process(frames)
            colour, depth = frames.get_color_frame(), frames.get_depth_frame()
            # A set may lack one of the two, or bring a colour image again beside newer depth.
            if not colour or (self._align is not None and not depth) or colour.get_frame_number() == self._number:
                return None
            self._number = colour.get_frame_number()
            self._settle()
            return Picture(
                np.array(colour.get_data(), np.uint8),
                colour.get_timestamp() / 1000.0,
                self._number,
                None if self._align is None else _metres(depth),
            )
        except RuntimeError as error:
            raise CameraLost(f"RealSense {self.serial} was lost ({error})") from error

    def close(self) -> None:
        """Stop the pipeline; safe to call twice."""
        if self._pipeline is not None:
            pipeline, self._pipeline = self._pipeline, None
            with contextlib.suppress(RuntimeError):  # Where the device has gone, the pipeline went with it.
                pipeline.stop()

    def _settle(self) -> None:
        """Fix the exposure again: some cameras let go of one that was set before their first frames came."""
        self._settling -= 1
        if self._settling == 0 and self._sensor is not None and not self._config.auto_exposure:
            set_exposure(load_sdk(), self._sensor, self._config)

    def _nothing(self) -> None:
        self._waited += 1
        if self._waited >= _PATIENCE and not self._config.playback:
            raise CameraLost(f"RealSense {self.serial} sent no frame for {_PATIENCE * _WAIT_MS / 1000:g} s")

    def _play(self, rs: Any, wanted: Any, pipeline: Any) -> None:
        """Put a recording in the camera's place, at our pace: the SDK's own follows how fast it was written."""
        file = Path(self._config.playback)
        if not file.is_file():
            raise CameraError(f"camera {self._config.name}: there is no recording {file}; set playback= to a .db3 file")
        wanted.enable_device_from_file(str(file), repeat_playback=self._config.repeat)
        device = wanted.resolve(rs.pipeline_wrapper(pipeline)).get_device()
        device.as_playback().set_real_time(False)
        serial = rs.camera_info.serial_number
        recorded = device.get_info(serial) if device.supports(serial) else ""
        if self._config.serial and self._config.serial != recorded:
            raise CameraError(
                f"camera {self._config.name}: {self._config.playback} is a recording of RealSense {recorded}, wanted "
                f"{self._config.serial}; choose another file or serial"
            )
        self.serial = recorded

    def _refused(self, rs: Any, error: RuntimeError) -> str:
        """What to say when the pipeline does not start; the SDK's own words do not name the camera."""
        config = self._config
        said = f"camera {config.name}: RealSense {self.serial or config.playback} refused "
        said += f"{config.width} x {config.height} at {config.fps} frames a second"
        said += f"{' with depth' if config.depth else ''} ({error}); "
        offered = [] if config.playback else _offered(rs, self.serial)
        return said + (
            f"it offers {', '.join(offered)}"
            if offered
            else "set width, height and fps to what it can, or end the program that uses it already"
        )


def _colour_sensor(rs: Any, device: Any) -> Any:
    """The sensor that makes the colour stream; on a D405 it is the one that makes depth too."""
    for sensor in device.query_sensors():
        if any(profile.stream_type() == rs.stream.color for profile in sensor.get_stream_profiles()):
            return sensor
    raise RuntimeError("it has no colour stream")


def _offered(rs: Any, serial: str) -> list[str]:
    """Sizes and rates of the colour stream, the largest first, as `640x480@30`."""
    modes = set()
    with contextlib.suppress(RuntimeError):  # It may be gone by now.
        devices = [d for d in rs.context().query_devices() if d.get_info(rs.camera_info.serial_number) == serial]
        for profile in [p for device in devices for p in _colour_sensor(rs, device).get_stream_profiles()]:
            if profile.stream_type() == rs.stream.color and profile.format() == rs.format.rgb8:
                video = profile.as_video_stream_profile()
                modes.add((video.width(), video.height(), profile.fps()))
    return [f"{width}x{height}@{fps}" for width, height, fps in sorted(modes, reverse=True)]


def _intrinsics(found: Any) -> Intrinsics:
    # The SDK's Brown-Conrady coefficients are k1, k2, p1, p2, k3, as ROS's plumb_bob; its other models are rare.
    return Intrinsics(found.fx, found.fy, found.ppx, found.ppy, "plumb_bob", tuple(map(float, found.coeffs)))


def _metres(depth: Any) -> np.ndarray:
    return np.asanyarray(depth.get_data()).astype(np.float32) * np.float32(depth.get_units())
