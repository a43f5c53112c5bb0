"""From a camera's picture to the image of an observation: crop, colour order, size. Pure functions of arrays.

The simulated cell renders square images. A real camera's 640 x 480 becomes one by cutting its middle 480 x 480 out.
"""

import difflib

import numpy as np

from envs.cameras.camera import CameraError
from envs.cameras.opencv import cv2

Crop = tuple[int, int, int, int]
"""x, y, width, height in pixels of the camera's picture; x to the right, y down."""

_CHANNELS = {
    "rgb8": 3,
    "bgr8": 3,
    "rgba8": 4,
    "bgra8": 4,
    "mono8": 1,
    "yuv422": 2,
    "uyvy": 2,
    "yuv422_yuy2": 2,
    "yuyv": 2,
}
_CODES = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
}
ENCODINGS = tuple(_CHANNELS)
"""Colour orders that can be shown to a policy, by the names that ROS gives them."""


def to_rgb(image: np.ndarray, encoding: str, camera: str) -> np.ndarray:
    """Colours in the order of an observation.

    Args:
        image: uint8 of shape (height, width, channels); (height, width) will do for mono8.
        encoding: one of ENCODINGS.
        camera: how errors call it.

    Returns:
        uint8 of shape (height, width, 3), RGB; the argument itself where it is that already.

    Raises:
        CameraError: Where the array is not what the encoding says.
    """
    if encoding not in ENCODINGS:
        near = difflib.get_close_matches(encoding, ENCODINGS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise CameraError(f"camera {camera}: encoding {encoding} cannot be used, wanted {', '.join(ENCODINGS)}{hint}")
    channels = _CHANNELS[encoding]
    if channels == 1 and image.ndim == 2:
        image = image[..., None]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels or 0 in image.shape:
        raise CameraError(
            f"camera {camera}: got {image.dtype} of shape {image.shape}, wanted uint8 of shape (height, width, "
            f"{channels}) for {encoding}"
        )
    return cv2.cvtColor(image, _CODES[encoding]) if encoding in _CODES else image


def middle(width: int, height: int) -> Crop:
    """The largest centred square of a picture."""
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def cut(image: np.ndarray, crop: Crop | None, camera: str) -> np.ndarray:
    """A part of a picture, without copying; None: its middle square. Raises CameraError where it is not inside."""
    height, width = image.shape[:2]
    x, y, w, h = middle(width, height) if crop is None else crop
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
        raise CameraError(
            f"camera {camera}: the crop x={x} y={y} width={w} height={h} leaves its picture of {width} x {height}; "
            "choose one inside, or none for the middle square"
        )
    return image[y : y + h, x : x + w]


def resize(image: np.ndarray, image_size: int) -> np.ndarray:
    """A square picture of `image_size` pixels, as an array of its own; one that is not square is stretched."""
    height, width = image.shape[:2]
    if (height, width) == (image_size, image_size):
        return np.ascontiguousarray(image).copy()
    shrinks = min(height, width) >= image_size
    # Averaging areas keeps what is thinner than a new pixel; when enlarging it would only show the old pixels.
    return cv2.resize(image, (image_size, image_size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def view(
    image: np.ndarray, encoding: str, image_size: int, *, crop: Crop | None = None, camera: str = "?"
) -> np.ndarray:
    """What a policy sees of a camera's picture.

    Args:
        image: uint8 of shape (height, width, channels).
        encoding: order of its colours, one of ENCODINGS.
        image_size: side of the result, pixels.
        crop: what is shown; None: the middle square.
        camera: how errors call it.

    Returns:
        uint8 of shape (image_size, image_size, 3), RGB, contiguous and nobody else's.

    Raises:
        CameraError: Where the picture or the crop cannot be used.
    """
    return resize(cut(to_rgb(image, encoding, camera), crop, camera), image_size)
