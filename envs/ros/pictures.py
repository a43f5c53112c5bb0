"""A camera's topic as the policy sees it."""

from typing import Any

import numpy as np

from envs.cameras.camera import CameraError
from envs.cameras.view import view
from envs.ros.images import to_array


class ImageReader:
    """Checks and reads the images of one topic."""

    def __init__(self, topic: str, *, size: int, frame: str, crop: tuple[int, int, int, int] | None) -> None:
        self._topic, self._size, self._frame, self._crop = topic, size, frame, crop
        self._known: tuple[Any, ...] | None = None

    def problem(self, message: Any) -> str | None:
        """What is wrong with an image, beyond what its bytes say; decided once for each kind of image that comes."""
        kind = (message.header.frame_id, message.encoding, message.width, message.height, message.step)
        if kind == self._known and len(message.data) == message.step * message.height:
            return None
        if self._frame and message.header.frame_id.lstrip("/") != self._frame:
            return (
                f"the image is of frame '{message.header.frame_id}', wanted '{self._frame}'; are two cameras swapped? "
                "else set the camera's frame in the robot's file"
            )
        try:
            self.read(message)
        except (CameraError, ValueError) as error:
            return str(error)
        self._known = kind
        return None

    def read(self, message: Any) -> np.ndarray:
        """The picture as the policy sees it, uint8 of shape (size, size, 3), an array of its own."""
        array, encoding = to_array(message, self._topic)
        return view(array, encoding, self._size, crop=self._crop, camera=self._topic)
