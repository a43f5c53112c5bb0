"""OpenCV, or one sentence that says how to get it."""

from envs.cameras.camera import CameraError

try:
    import cv2
except ImportError as error:
    raise CameraError(
        f"pictures of cameras need OpenCV, got {error}; pip install -e '.[cameras]' -c constraints.txt"
    ) from error

__all__ = ["cv2"]
