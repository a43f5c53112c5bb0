"""Ordinary cameras through OpenCV's own VideoCapture, with a video as its source."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from recordings import FPS, picture, record_video
from watching import eventually, number_of, of_size, read_all

from envs.cameras import CameraError, open_camera
from envs.cameras.uvc import Uvc, connected, set_exposure


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return str(record_video(tmp_path_factory.mktemp("uvc") / "front.avi", frames=10))


def uvc(**fields):
    return of_size(name="front", source="uvc", **fields)


def test_opencv_brings_every_picture_in_rgb_with_its_stamp(video):
    pictures = read_all(Uvc(uvc(playback=video)), 12)
    assert [read.number for read in pictures] == list(range(1, 13))
    for read in pictures:
        np.testing.assert_allclose(read.image.astype(int), picture((read.number - 1) % 10 + 1), atol=1)
    assert [read.stamp_s for read in pictures[:10]] == pytest.approx([number / FPS for number in range(10)], abs=0.002)


def test_a_uvc_camera_falls_silent_where_its_recording_ends(video):
    camera = open_camera(uvc(playback=video, repeat=False))
    try:
        assert eventually(lambda: number_of(camera.latest()) == 10)
        assert eventually(camera.trouble)
        assert camera.trouble().startswith("camera front: its last frame is")
    finally:
        camera.close()


@pytest.mark.parametrize(("fields", "wanted"), [({"width": 640}, "640 x 48 at 30"), ({"fps": 60}, "64 x 48 at 60")])
def test_a_size_or_rate_that_was_not_taken_is_named(video, fields, wanted):
    with pytest.raises(CameraError, match=rf"camera front: .* gives 64 x 48 at 30 frames a second, wanted {wanted};"):
        open_camera(replace(uvc(playback=video), **fields))


def test_a_device_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(CameraError, match=r"camera front: there is no /dev/video999; cameras that are connected: "):
        open_camera(uvc(device="999"))
    with pytest.raises(CameraError, match=r"camera front: there is no .*/by-id/x; cameras that are connected: "):
        open_camera(uvc(device=str(tmp_path / "by-id/x")))


def test_a_device_that_is_no_camera_says_who_may_have_it():
    with pytest.raises(CameraError, match=r"camera front: /dev/null cannot be opened; another program may have it"):
        open_camera(uvc(device="/dev/null"))


def test_connected_cameras_are_listed_once_each(tmp_path):
    for name in ("usb-B-video-index0", "usb-B-video-index1", "usb-A-video-index0"):
        (tmp_path / name).touch()
    assert [path.name for path in connected(tmp_path)] == ["usb-A-video-index0", "usb-B-video-index0"]


class Knobs:
    """A VideoCapture's properties, of a camera that takes exposures up to 500 and no more."""

    def __init__(self):
        self.values = {}

    def set(self, prop, value):
        self.values[prop] = min(value, 500) if prop == cv2.CAP_PROP_EXPOSURE else value
        return True

    def get(self, prop):
        return self.values.get(prop, 0.0)


def test_a_uvc_exposure_is_fixed_and_looked_at_again():
    knobs = Knobs()
    set_exposure(knobs, uvc(device="0", auto_exposure=False, exposure=80))
    assert (knobs.get(cv2.CAP_PROP_AUTO_EXPOSURE), knobs.get(cv2.CAP_PROP_EXPOSURE)) == (1, 80)
    set_exposure(knobs, uvc(device="0"))
    assert knobs.get(cv2.CAP_PROP_AUTO_EXPOSURE) == 3
    with pytest.raises(CameraError, match="camera front: 0 did not take exposure=900, it is at 500"):
        set_exposure(knobs, uvc(device="0", auto_exposure=False, exposure=900))


def test_a_uvc_exposure_that_cannot_be_fixed_is_refused(video):
    with pytest.raises(CameraError, match="camera front: 0 does not let its exposure be fixed; set auto_exposure=true"):
        set_exposure(cv2.VideoCapture(video), uvc(device="0", auto_exposure=False))
