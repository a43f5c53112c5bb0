"""Cameras: the newest frame at once, its age by a clock of the test's own, and words for whatever goes wrong."""

import math
import queue
import re
import threading
import time

import numpy as np
import pytest
from recordings import FPS, HEIGHT, WIDTH, picture
from watching import WAIT_S, eventually, number_of

from envs.cameras import CameraConfig, CameraError
from envs.cameras.reader import CameraLost, LiveCamera, Pace, Picture


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class FakeDevice:
    """Gives what the test puts in; an exception is raised where it is met."""

    size = (WIDTH, HEIGHT)
    intrinsics = None

    def __init__(self):
        self.answers = queue.Queue()
        self.openings = queue.Queue()
        self.opened = self.closed = 0
        self.users = set()

    def open(self):
        self.opened += 1
        if not self.openings.empty():
            raise self.openings.get()

    def read(self):
        self.users.add(threading.current_thread().name)
        try:
            answer = self.answers.get(timeout=0.05)
        except queue.Empty:
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        self.closed += 1

    def give(self, number):
        self.answers.put(Picture(picture(number), number / FPS, number))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def device():
    return FakeDevice()


@pytest.fixture
def camera(device, clock):
    camera = LiveCamera("wrist", device, silent_s=0.5, retry_s=0.01, clock=clock)
    yield camera
    camera.close()


def test_before_the_first_frame_there_is_none_at_once(camera):
    assert camera.latest() is None
    assert camera.age_s() == math.inf
    assert camera.trouble() == ""


def test_a_frame_keeps_the_devices_stamp_and_gets_the_time_of_its_arrival(camera, device, clock):
    clock.now_s = 123.0
    device.give(7)
    frame = camera.wait(None, WAIT_S)
    assert frame is not None
    assert (frame.number, frame.stamp_s, frame.received_s) == (7, 7 / FPS, 123.0)
    np.testing.assert_array_equal(frame.image, picture(7))


def test_a_frame_ages_by_the_clock_until_the_next_one(camera, device, clock):
    device.give(1)
    first = camera.wait(None, WAIT_S)
    clock.now_s += 0.4
    assert camera.age_s() == pytest.approx(0.4)
    device.give(2)
    second = camera.wait(first, WAIT_S)
    assert second is not None
    assert second.number == 2
    assert camera.age_s() == 0.0


def test_the_newest_frame_wins(camera, device):
    for number in range(1, 6):
        device.give(number)
    assert eventually(lambda: number_of(camera.latest()) == 5)
    assert camera.wait(camera.latest(), 0.0) is None


def test_nobody_can_change_a_frame_that_others_see_too(camera, device):
    device.give(1)
    frame = camera.wait(None, WAIT_S)
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0, 0] = 1


def test_a_silent_device_is_trouble_that_names_the_camera_and_the_cable(camera, device, clock):
    clock.now_s += 0.6
    assert camera.trouble().startswith("camera wrist: no frame yet 0.6 s after it was opened, wanted one every 0.5 s")
    device.give(1)
    camera.wait(None, WAIT_S)
    assert camera.trouble() == ""
    clock.now_s += 2.0
    assert camera.trouble().startswith("camera wrist: its last frame is 2.0 s old, wanted one every 0.5 s")
    assert camera.trouble().endswith("check its cable and its power")


def test_a_lost_device_is_looked_for_until_it_is_back_and_said_once(camera, device, caplog):
    device.give(1)
    first = camera.wait(None, WAIT_S)
    for _ in range(5):
        device.openings.put(CameraError("camera wrist: no RealSense is connected"))
    device.answers.put(CameraLost("it sent no frame for 4 s"))
    assert eventually(lambda: camera.trouble() == "camera wrist: no RealSense is connected")
    assert camera.latest() is first
    assert device.closed == 1, "what is left of it is released before it is opened again"
    device.give(2)
    second = camera.wait(first, WAIT_S)
    assert second is not None
    assert second.number == 2
    assert camera.trouble() == ""
    assert device.opened == 7
    assert [record.getMessage() for record in caplog.records] == [
        "camera wrist: it sent no frame for 4 s; it is looked for every 0.01 s",
        "camera wrist is back",
    ]


def test_a_reader_that_dies_is_trouble_not_silence(camera, device, caplog):
    device.answers.put(ZeroDivisionError("a fault of ours"))
    assert eventually(camera.trouble)
    assert camera.trouble().startswith("camera wrist: its reader ended with ZeroDivisionError: a fault of ours")
    assert eventually(lambda: device.closed == 1)
    caplog.clear()


def test_one_thread_reads_and_the_same_one_closes_the_device(device, clock):
    camera = LiveCamera("wrist", device, clock=clock)
    device.give(1)
    camera.wait(None, WAIT_S)
    camera.close()
    camera.close()
    assert device.closed == 1
    assert device.users == {"camera wrist"}
    assert not [thread for thread in threading.enumerate() if thread.name == "camera wrist"]


def test_a_device_that_cannot_be_opened_is_its_callers_error(device):
    device.openings.put(CameraError("camera wrist: no RealSense is connected"))
    with pytest.raises(CameraError, match="no RealSense is connected"):
        LiveCamera("wrist", device)


def test_a_listener_hears_of_every_frame_once_it_can_be_seen(camera, device):
    seen = queue.Queue()
    camera.listen(lambda: seen.put(camera.latest().number))
    for number in (1, 2, 3):
        device.give(number)
    assert [seen.get(timeout=WAIT_S) for _ in range(3)] == [1, 2, 3]


def test_a_recording_is_read_no_faster_than_a_camera_sends():
    pace = Pace(50)
    start_s = time.monotonic()
    for _ in range(6):
        pace.wait()
    assert time.monotonic() - start_s >= 5 / 50


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "wrist camera"}, "a camera's name must be letters, digits and _, got 'wrist camera'"),
        (
            {"source": "realsens"},
            "camera wrist: source must be one of realsense, uvc, got realsens; did you mean",
        ),
        ({"width": 0}, "camera wrist: width must be 16 to 8192 pixels, got 0"),
        ({"height": 99999}, "camera wrist: height must be 16 to 8192 pixels, got 99999"),
        ({"fps": 0}, "camera wrist: fps must be 1 to 300, got 0"),
        ({"exposure": 80.0}, "camera wrist: exposure=80 needs auto_exposure=false"),
        ({"device": "0"}, "camera wrist: device=0 goes with source=uvc only; name a RealSense by serial="),
        ({"source": "uvc"}, "camera wrist: source=uvc needs device=<index or path>"),
        (
            {"source": "uvc", "device": "0", "serial": "1"},
            "camera wrist: serial and depth go with source=realsense",
        ),
        (
            {"source": "uvc", "device": "0", "depth": True},
            "camera wrist: serial and depth go with source=realsense",
        ),
    ],
)
def test_settings_that_make_no_sense_are_named(fields, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        CameraConfig(**{"name": "wrist", **fields})
