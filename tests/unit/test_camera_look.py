"""`python -m envs.cameras`: a first look at the cameras."""

import re

import cv2
import numpy as np
import pytest
from recordings import picture, record_video
from watching import of_size

from envs.cameras import CameraError
from envs.cameras.__main__ import look, main, named
from wire.errors import UserError


@pytest.fixture
def video(tmp_path):
    return record_video(tmp_path / "front.avi", frames=10)


def test_a_look_tells_the_rate_and_the_age_and_keeps_a_picture(tmp_path, video):
    said = look(of_size(name="front", source="uvc", playback=str(video)), tmp_path / "pictures")
    assert said.startswith("front: 64 x 48, ")
    assert re.search(r" frames a second of 30, \d+ lost, at most ", said), "a busy machine loses some"
    kept = cv2.imread(str(tmp_path / "pictures/front.png"))
    assert kept is not None
    numbers = [number for number in range(1, 11) if np.abs(kept[..., ::-1].astype(int) - picture(number)).max() <= 1]
    assert numbers, "one of the pictures of the recording, in its own colours"


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("wrist=0123456789", {"serial": "0123456789"}),
        ("wrist=2", {"source": "uvc", "device": "2"}),
        ("wrist=/dev/v4l/by-id/usb-x-video-index0", {"source": "uvc", "device": "/dev/v4l/by-id/usb-x-video-index0"}),
    ],
)
def test_a_serial_number_is_a_realsense_and_anything_else_a_device(text, fields):
    assert named(text, of_size()) == of_size(**fields)


def test_a_file_is_a_recording_of_its_kind(tmp_path, video):
    (tmp_path / "x.db3").touch()
    assert named(f"wrist={tmp_path}/x.db3", of_size()) == of_size(playback=f"{tmp_path}/x.db3")
    assert named(f"wrist={video}", of_size()) == of_size(source="uvc", playback=str(video))


def test_words_that_name_no_camera_are_the_users_error():
    with pytest.raises(UserError, match="got wrist, wanted <name>=<serial number, device or recording>"):
        named("wrist", of_size())


def test_one_camera_that_fails_does_not_hide_the_others(tmp_path, video, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = ["cameras", "gone=/dev/video999", f"front={video}", "--width", "64", "--height", "48"]
    monkeypatch.setattr("sys.argv", argv)
    assert main() == 2
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("error: camera gone: there is no /dev/video999")
    assert said[1].startswith("front: 64 x 48, ")


def test_a_silent_camera_gives_no_picture(tmp_path, video, monkeypatch):
    from envs.cameras import __main__, uvc

    monkeypatch.setattr(__main__, "_FIRST_S", 0.1)
    monkeypatch.setattr(uvc.Uvc, "read", lambda self: None)
    with pytest.raises(CameraError, match="camera front: no frame"):
        look(of_size(name="front", source="uvc", playback=str(video)), tmp_path)
    assert not (tmp_path / "front.png").exists()
