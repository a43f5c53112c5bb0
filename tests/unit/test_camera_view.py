"""From a camera's picture to an observation's image: what is cut, in which colours, how large."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.cameras.camera import CameraError
from envs.cameras.view import ENCODINGS, cut, middle, resize, to_rgb, view

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def flat(colour, width=8, height=6):
    return np.full((height, width, len(colour)), colour, np.uint8)


@pytest.mark.parametrize(
    ("encoding", "red"),
    [("rgb8", RED), ("bgr8", BLUE), ("rgba8", (255, 0, 0, 7)), ("bgra8", (0, 0, 255, 7))],
)
def test_red_stays_red_in_every_order_of_colours(encoding, red):
    np.testing.assert_array_equal(to_rgb(flat(red), encoding, "wrist"), flat(RED))


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1)])
def test_grey_becomes_three_equal_channels(shape):
    np.testing.assert_array_equal(to_rgb(np.full(shape, 77, np.uint8), "mono8", "wrist"), flat((77, 77, 77)))


@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv"), ("yuv422", "uyvy"), ("uyvy", "uyvy")]
)
def test_both_orders_of_yuv_show_the_same_colour(encoding, order):
    y, u, v = cv2.cvtColor(flat(RED), cv2.COLOR_RGB2YUV)[0, 0].tolist()
    pair = {"y": [y, y], "u": [u], "v": [v]}
    packed = np.array([pair[name].pop() for name in order] * 4, np.uint8).reshape(1, 8, 2).repeat(6, axis=0)
    np.testing.assert_allclose(to_rgb(packed, encoding, "wrist").astype(int), flat(RED), atol=25)


def test_every_encoding_named_in_the_error_is_taken():
    channels = {"mono8": 1, "rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}
    for encoding in ENCODINGS:
        image = np.zeros((6, 8, channels.get(encoding, 2)), np.uint8)
        assert to_rgb(image, encoding, "wrist").shape == (6, 8, 3)


def test_an_unknown_encoding_is_named_with_its_near_miss():
    with pytest.raises(CameraError, match=r"wrist: encoding bgr cannot be used, wanted rgb8, .*; did you mean bgr8\?"):
        to_rgb(flat(RED), "bgr", "wrist")


@pytest.mark.parametrize(
    "image",
    [np.zeros((6, 8, 3)), np.zeros((6, 8), np.uint8), np.zeros((6, 8, 4), np.uint8), np.zeros((0, 8, 3), np.uint8)],
    ids=["float", "flat", "four channels", "empty"],
)
def test_an_array_that_is_not_what_its_encoding_says_is_refused(image):
    with pytest.raises(CameraError, match=r"camera wrist: got .*, wanted uint8 of shape \(height, width, 3\) for rgb8"):
        to_rgb(image, "rgb8", "wrist")


def test_640_by_480_shows_its_middle_480_by_480():
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, 80:560] = 255
    assert middle(640, 480) == (80, 0, 480, 480)
    assert view(image, "rgb8", 64, camera="wrist").min() == 255


def test_a_crop_is_x_y_width_height():
    image = np.zeros((48, 64, 3), np.uint8)
    image[5:9, 20:28] = RED
    np.testing.assert_array_equal(cut(image, (20, 5, 8, 4), "wrist"), flat(RED, 8, 4))


@pytest.mark.parametrize(
    "crop", [(-1, 0, 8, 8), (0, -1, 8, 8), (0, 0, 0, 8), (0, 0, 8, 0), (60, 0, 8, 8), (0, 44, 8, 8)]
)
def test_a_crop_outside_the_picture_is_refused_by_name(crop):
    with pytest.raises(CameraError, match=r"camera wrist: the crop x=.* leaves its picture of 64 x 48"):
        cut(np.zeros((48, 64, 3), np.uint8), crop, "wrist")


def test_shrinking_averages_so_that_thin_things_do_not_vanish():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::4] = 200
    np.testing.assert_array_equal(resize(stripes, 16), np.full((16, 16, 3), 50, np.uint8))


def test_the_result_is_nobody_elses_even_where_nothing_changes():
    image = flat(RED, 16, 16)
    image.flags.writeable = False
    seen = view(image, "rgb8", 16)
    seen[:] = 0
    assert image[0, 0].tolist() == list(RED)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(16, 80), st.sampled_from(["rgb8", "bgr8"]))
def test_any_size_becomes_the_square_asked_for_and_keeps_its_colour(width, height, size, encoding):
    red = RED if encoding == "rgb8" else BLUE
    seen = view(flat(red, width, height), encoding, size)
    assert seen.flags.c_contiguous
    np.testing.assert_array_equal(seen, flat(RED, size, size))
