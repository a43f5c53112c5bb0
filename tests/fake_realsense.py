"""A stand-in for pyrealsense2 with cameras on cables that tests can pull: what its own software device cannot do."""

import queue
from types import SimpleNamespace

from recordings import FOCAL_PX, HEIGHT, WIDTH, picture


class FakeCamera:
    """One that has a single mode, knows exposures up to 200, and forgets one that is set before its fifth frame."""

    def __init__(self, serial):
        self.serial = serial
        self.sent = queue.Queue()
        self.options = {"enable_auto_exposure": 1.0, "exposure": 156.0}
        self.given = 0

    # Its one sensor is the camera itself.

    def query_sensors(self):
        return [self]

    def get_stream_profiles(self):
        return [Profile()]

    def supports(self, key):
        return key in self.options or key == "usb_type_descriptor"

    def get_option_range(self, option):
        return SimpleNamespace(min=1, max=200)

    def set_option(self, option, value):
        self.options[option] = value

    def get_info(self, key):
        return {"serial_number": self.serial, "name": "Fake D435", "usb_type_descriptor": "3.2"}[key]

    def send(self, number):
        self.sent.put(number)


class Profile:
    def stream_type(self):
        return "color"

    def format(self):
        return "rgb8"

    def fps(self):
        return 30

    def as_video_stream_profile(self):
        return self

    def width(self):
        return WIDTH

    def height(self):
        return HEIGHT

    def get_intrinsics(self):
        return SimpleNamespace(fx=FOCAL_PX[0], fy=FOCAL_PX[1], ppx=32.0, ppy=24.0, coeffs=[0.0] * 5)


class FrameSet:
    def __init__(self, number):
        self.number = number

    def get_color_frame(self):
        return self

    def get_depth_frame(self):
        return None

    def get_frame_number(self):
        return self.number

    def get_data(self):
        return picture(self.number)

    def get_timestamp(self):
        return self.number * 100.0 / 3


class FakeSdk:
    """The part of the module that envs.cameras.realsense uses without a recording; `plugged` is what is connected."""

    stream = SimpleNamespace(color="color", depth="depth")
    format = SimpleNamespace(rgb8="rgb8", z16="z16")
    camera_info = SimpleNamespace(serial_number="serial_number", name="name", usb_type_descriptor="usb_type_descriptor")
    option = SimpleNamespace(
        enable_auto_exposure="enable_auto_exposure",
        exposure="exposure",
        auto_exposure_priority="priority",
    )

    def __init__(self, *plugged):
        self.plugged = list(plugged)

    def context(self):
        return SimpleNamespace(query_devices=lambda: list(self.plugged))

    def config(self):
        wanted = SimpleNamespace()
        wanted.enable_stream = lambda *mode: setattr(wanted, "mode", mode)
        wanted.enable_device = lambda serial: setattr(wanted, "serial", serial)
        return wanted

    def pipeline(self):
        return FakePipeline(self)


class FakePipeline:
    def __init__(self, sdk):
        self._sdk = sdk
        self.camera = None

    def start(self, wanted):
        found = [camera for camera in self._sdk.plugged if camera.serial == wanted.serial]
        if not found:
            raise RuntimeError("No device connected")
        if wanted.mode != ("color", WIDTH, HEIGHT, "rgb8", 30):
            raise RuntimeError("Couldn't resolve requests")
        self.camera = found[0]
        return SimpleNamespace(get_device=lambda: self.camera, get_stream=lambda kind: Profile())

    def try_wait_for_frames(self, timeout_ms):
        if self.camera not in self._sdk.plugged:
            return False, None
        try:
            number = self.camera.sent.get(timeout=timeout_ms / 20_000)
        except queue.Empty:
            return False, None
        self.camera.given += 1
        if self.camera.given == 5:
            self.camera.options["exposure"] = 156.0
        return True, FrameSet(number)

    def stop(self):
        if self.camera not in self._sdk.plugged:
            raise RuntimeError("stop() cannot be called before start()")
