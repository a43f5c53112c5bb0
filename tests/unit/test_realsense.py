"""RealSense cameras through the real SDK: its recorder makes what its pipeline plays; its sensors are software."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
from fake_realsense import FakeCamera, FakeSdk
from recordings import FOCAL_PX, FPS, HEIGHT, WIDTH, SoftwareCamera, picture, realsense_sdk, record_realsense
from watching import WAIT_S, eventually, number_of, of_size, read_all

from envs.cameras import CameraError, open_camera, realsense
from envs.cameras.reader import CameraLost, LiveCamera
from envs.cameras.realsense import Connected, RealSense, choose, connected, load_sdk, set_exposure


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    realsense_sdk()
    return str(record_realsense(tmp_path_factory.mktemp("realsense") / "wrist.db3", frames=10, depth=True))


def test_the_sdks_pipeline_brings_every_frame_with_its_number_stamp_and_colours(recording):
    source = RealSense(of_size(playback=recording, repeat=False))
    pictures = read_all(source, 10)
    assert [read.number for read in pictures] == list(range(1, 11))
    for read in pictures:
        np.testing.assert_array_equal(read.image, picture(read.number))
        assert read.stamp_s == pytest.approx(read.number / FPS)
        assert read.depth_m is None
    assert (source.intrinsics.fx, source.intrinsics.fy) == FOCAL_PX
    assert (source.intrinsics.cx, source.intrinsics.cy) == (WIDTH / 2, HEIGHT / 2)
    assert source.intrinsics.distortion == pytest.approx((0.1, 0, 0, 0, 0.2))


def test_depth_comes_in_metres_beside_its_colour_image(recording):
    for read in read_all(RealSense(of_size(playback=recording, repeat=False, depth=True)), 10):
        np.testing.assert_array_equal(read.image, picture(read.number))
        assert read.depth_m.shape == (HEIGHT, WIDTH)
        assert read.depth_m.dtype == np.float32
        # A software device has no sync of its own: depth may be that of the frame before.
        np.testing.assert_allclose(read.depth_m, 1 + read.number / 1000, atol=0.0011)


def test_a_repeated_recording_starts_again(recording):
    numbers = [read.number for read in read_all(RealSense(of_size(playback=recording)), 15)]
    assert numbers == [*range(1, 11), *range(1, 6)]


def test_a_realsense_camera_shows_its_newest_frame_and_falls_silent_at_the_end(recording):
    camera = open_camera(of_size(playback=recording, repeat=False))
    try:
        assert (camera.name, camera.size) == ("wrist", (WIDTH, HEIGHT))
        assert eventually(lambda: number_of(camera.latest()) == 10)
        np.testing.assert_array_equal(camera.latest().image, picture(10))
        assert eventually(camera.trouble)
        assert "its last frame is" in camera.trouble()
    finally:
        camera.close()


def test_a_recording_of_another_camera_is_refused_by_serial(recording):
    with pytest.raises(CameraError, match=r"wrist: .* is a recording of RealSense 0123456789, wanted 99; choose"):
        open_camera(of_size(playback=recording, serial="99"))


def test_a_mode_that_the_camera_does_not_have_is_named(recording):
    config = replace(of_size(playback=recording), width=640, height=480)
    with pytest.raises(CameraError, match=r"camera wrist: RealSense .* refused 640 x 480 at 30 frames a second \("):
        open_camera(config)


def test_a_recording_that_is_not_there_or_is_none_is_named(tmp_path):
    realsense_sdk()
    with pytest.raises(CameraError, match=r"camera wrist: there is no recording .*nothing\.db3"):
        open_camera(of_size(playback=str(tmp_path / "nothing.db3")))
    (tmp_path / "junk.db3").write_text("junk")
    with pytest.raises(CameraError, match=r"camera wrist: RealSense .*junk\.db3 refused"):
        open_camera(of_size(playback=str(tmp_path / "junk.db3")))


def test_without_a_realsense_the_error_says_what_to_check():
    realsense_sdk()
    if connected():
        pytest.skip("a RealSense is connected to this machine")
    with pytest.raises(CameraError, match="wrist: no RealSense is connected, wanted RealSense 42; check its cable"):
        open_camera(of_size(serial="42"))


def test_two_identical_cameras_are_told_apart_by_serial():
    front, wrist = (Connected(serial, "Intel RealSense D405", "3.2") for serial in ("1111", "2222"))
    assert choose("wrist", "2222", [front, wrist]) is wrist
    assert choose("front", "1111", [front, wrist]) is front
    assert choose("front", "", [front]) is front
    with pytest.raises(CameraError) as caught:
        choose("wrist", "2222", [front])
    assert str(caught.value) == (
        "camera wrist: RealSense 2222 is not connected, got 1111 (Intel RealSense D405, USB 3.2); plug it in, or set "
        "serial= to one of these"
    )
    with pytest.raises(CameraError, match=r"wrist: 2 RealSense are connected and none is chosen; .* one of 1111"):
        choose("wrist", "", [front, wrist])
    with pytest.raises(CameraError, match="wrist: no RealSense is connected, wanted RealSense 2222; check its cable"):
        choose("wrist", "2222", [])


@pytest.fixture
def sensor():
    """A colour sensor of the SDK whose exposure can be set from 1 to 200."""
    camera = SoftwareCamera("0123456789")
    rs = camera.rs
    for option, low, high in ((rs.option.enable_auto_exposure, 0, 1), (rs.option.exposure, 1, 200)):
        limits = rs.option_range()
        limits.min, limits.max, limits.step, limits.default = low, high, 1, high
        camera.colour.add_option(option, limits, True)
    return rs, camera.colour


def test_exposure_is_fixed_where_it_is_asked_for(sensor):
    rs, colour = sensor
    set_exposure(rs, colour, of_size(auto_exposure=False, exposure=80))
    assert colour.get_option(rs.option.enable_auto_exposure) == 0
    assert colour.get_option(rs.option.exposure) == 80
    set_exposure(rs, colour, of_size())
    assert colour.get_option(rs.option.enable_auto_exposure) == 1


def test_an_exposure_that_the_camera_does_not_have_is_named_with_its_range(sensor):
    with pytest.raises(CameraError, match="camera wrist: exposure must be 1 to 200 in this camera's unit, got 900"):
        set_exposure(*sensor, of_size(auto_exposure=False, exposure=900))
    with pytest.raises(CameraError, match="camera wrist: its exposure cannot be fixed; set auto_exposure=true"):
        set_exposure(sensor[0], SoftwareCamera("1").colour, of_size(auto_exposure=False))


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ("libusb-1.0.so.0: cannot open shared object file", "apt install libusb-1.0-0"),
        ("No module named 'pyrealsense2'", r"pip install -e '\.\[cameras\]'"),
    ],
)
def test_a_missing_sdk_says_what_to_install(monkeypatch, said, cure):
    def fail(name):
        raise ImportError(said)

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(CameraError, match=cure):
        load_sdk()


@pytest.fixture
def sdk(monkeypatch):
    """Two cameras of one kind, on cables."""
    fake = FakeSdk(FakeCamera("1111"), FakeCamera("2222"))
    monkeypatch.setattr(realsense, "load_sdk", lambda: fake)
    return fake


def test_of_two_cameras_the_one_that_is_named_is_read(sdk):
    for camera, number in zip(sdk.plugged, (1, 2), strict=True):
        camera.send(number)
    source = RealSense(of_size(serial="2222"))
    source.open()
    assert source.read().number == 2
    with pytest.raises(CameraError, match="wrist: 2 RealSense are connected and none is chosen"):
        RealSense(of_size()).open()


def test_a_mode_that_a_connected_camera_does_not_have_is_answered_with_those_it_has(sdk):
    with pytest.raises(CameraError, match=r"RealSense 2222 refused 640 x 48 at 30 .*; it offers 64x48@30$"):
        open_camera(replace(of_size(serial="2222"), width=640))


def test_a_fixed_exposure_stays_fixed_in_a_camera_that_forgets_it_at_its_first_frames(sdk):
    camera = sdk.plugged[0]
    source = RealSense(of_size(serial="1111", auto_exposure=False, exposure=80))
    source.open()
    for number in range(1, 8):
        camera.send(number)
        assert source.read().number == number
    assert camera.options == {"enable_auto_exposure": 0.0, "exposure": 80.0}


def test_an_exposure_out_of_range_leaves_no_camera_running(sdk):
    source = RealSense(of_size(serial="1111", auto_exposure=False, exposure=900))
    with pytest.raises(CameraError, match="camera wrist: exposure must be 1 to 200"):
        source.open()
    assert source._pipeline is None


def test_a_camera_that_sends_nothing_is_lost_after_four_seconds(sdk):
    source = RealSense(of_size(serial="1111"))
    source.open()
    assert [source.read() for _ in range(7)] == [None] * 7
    with pytest.raises(CameraLost, match="RealSense 1111 sent no frame for 4 s"):
        source.read()


def test_an_unplugged_camera_comes_back_as_itself(sdk):
    """It was chosen as the only one; when it is plugged in again another one is there too."""
    other, wrist = sdk.plugged
    sdk.plugged[:] = [wrist]
    camera = LiveCamera("wrist", RealSense(of_size()), retry_s=0.01)
    try:
        wrist.send(1)
        first = camera.wait(None, WAIT_S)
        assert first is not None
        sdk.plugged[:] = [other]
        missing = "camera wrist: RealSense 2222 is not connected, got 1111 (Fake D435, USB 3.2); plug it in"
        assert eventually(lambda: camera.trouble().startswith(missing))
        assert camera.latest() is first
        other.send(7)
        wrist.send(2)
        sdk.plugged[:] = [other, wrist]
        assert number_of(camera.wait(first, WAIT_S)) == 2
    finally:
        camera.close()
