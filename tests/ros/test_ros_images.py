"""Pictures in real sensor_msgs: what is put in comes out, whatever the rows and the order of bytes."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.cameras.camera import CameraError, Intrinsics
from envs.ros.images import fill, fill_info, to_array

if importlib.util.find_spec("rclpy") is None:
    pytest.skip("rclpy is not installed", allow_module_level=True)

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, Image

# The parser of messages that the wheels bring imports a module that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")

TOPIC = "/camera/wrist/color/image_raw"


def counted(dtype, height, width, channels):
    size = height * width * channels
    return (np.arange(size) % 251).astype(dtype).reshape(height, width, channels)


@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from(
        [("rgb8", "u1", 3), ("bgra8", "u1", 4), ("mono8", "u1", 1), ("16UC1", "u2", 1), ("32FC1", "f4", 1)]
    ),
)
def test_pixels_come_through_a_message_unchanged(height, width, layout):
    encoding, dtype, channels = layout
    pixels, message = counted(dtype, height, width, channels), Image()
    fill(message, pixels, encoding)
    back, name = to_array(deserialize_message(serialize_message(message), Image), TOPIC)
    assert name == encoding
    assert back.dtype == pixels.dtype
    np.testing.assert_array_equal(back, pixels)


def test_a_part_of_a_picture_is_published_as_it_is_seen():
    pixels, message = counted("u1", 8, 8, 3), Image()
    fill(message, pixels[2:5, ::2], "rgb8")
    assert (message.height, message.width, message.step) == (3, 4, 12)
    np.testing.assert_array_equal(to_array(message, TOPIC)[0], pixels[2:5, ::2])


def test_the_padding_of_rows_is_left_out():
    pixels = counted("u1", 4, 5, 3)
    padded = np.full((4, 16), 99, np.uint8)
    padded[:, :15] = pixels.reshape(4, 15)
    message = Image(height=4, width=5, step=16, encoding="rgb8", data=padded.tobytes())
    np.testing.assert_array_equal(to_array(message, TOPIC)[0], pixels)


@pytest.mark.parametrize("big", [False, True])
def test_depth_of_either_byte_order_is_read(big):
    depth = np.array([[[1], [256]], [[1000], [65535]]], np.uint16)
    data = depth.astype(">u2" if big else "<u2").tobytes()
    message = Image(height=2, width=2, step=4, encoding="16UC1", is_bigendian=int(big), data=data)
    read, _ = to_array(message, TOPIC)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, depth)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("rgb", r"images in rgb cannot be read, wanted one of rgb8, .*; did you mean rgb8\?"),
        ("bayer_rggb8", "images in bayer_rggb8 cannot be read, wanted one of rgb8, "),
        ("", "images in no encoding cannot be read, wanted one of rgb8, "),
    ],
)
def test_a_wrong_encoding_names_the_topic(encoding, said):
    message = Image(height=1, width=1, step=3, encoding=encoding, data=bytes(3))
    with pytest.raises(CameraError, match=f"topic {TOPIC}: {said}"):
        to_array(message, TOPIC)


@pytest.mark.parametrize(
    "fields",
    [{"data": bytes(5)}, {"data": bytes(13)}, {"step": 5, "data": bytes(10)}, {"height": 0, "data": b""}, {"width": 0}],
    ids=["short", "long", "rows too short", "no rows", "no columns"],
)
def test_a_message_that_is_not_as_large_as_it_says_names_the_topic(fields):
    message = Image(**{"height": 2, "width": 2, "step": 6, "encoding": "rgb8", "data": bytes(12), **fields})
    with pytest.raises(CameraError, match=rf"topic {TOPIC}: an image of .* in rgb8 holds \d+ bytes in rows of "):
        to_array(message, TOPIC)


@pytest.mark.parametrize("pixels", [np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8)])
def test_an_array_that_is_not_what_the_encoding_says_is_not_published(pixels):
    with pytest.raises(CameraError, match=r"an image in rgb8 is uint8 of shape \(height, width, 3\), got"):
        fill(Image(), pixels, "rgb8")


def test_the_pinhole_is_in_every_matrix():
    message = CameraInfo()
    fill_info(message, (640, 480), Intrinsics(600, 610, 320, 240, distortion=(0.1, 0.2, 0.3, 0.4, 0.5)))
    assert (message.width, message.height, message.distortion_model) == (640, 480, "plumb_bob")
    assert list(message.d) == [0.1, 0.2, 0.3, 0.4, 0.5]
    expected = np.array([[600, 0, 320], [0, 610, 240], [0, 0, 1]])
    np.testing.assert_array_equal(np.reshape(message.k, (3, 3)), expected)
    np.testing.assert_array_equal(np.reshape(message.r, (3, 3)), np.eye(3))
    np.testing.assert_array_equal(np.reshape(message.p, (3, 4)), np.c_[expected, np.zeros(3)])


def test_an_unknown_pinhole_is_rosss_matrix_of_zeros():
    message = CameraInfo()
    fill_info(message, (640, 480), None)
    assert (message.width, message.height, message.k[0]) == (640, 480, 0.0)
