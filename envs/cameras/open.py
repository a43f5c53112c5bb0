"""From a camera's settings to the camera."""

from envs.cameras.camera import CameraError
from envs.cameras.config import CameraConfig
from envs.cameras.reader import LiveCamera, Source


def open_camera(config: CameraConfig) -> LiveCamera:
    """Open a camera and begin to read it; its first frame arrives within seconds, not at once.

    Raises:
        CameraError: Where it is not there or cannot do what is asked; the text names the cure.
    """
    return LiveCamera(config.name, source_of(config), silent_s=max(0.5, 5.0 / config.fps))


def source_of(config: CameraConfig) -> Source:
    """The device behind a camera, not yet opened."""
    if config.source == "realsense":
        from envs.cameras.realsense import RealSense

        return RealSense(config)
    if config.source == "uvc":
        from envs.cameras.uvc import Uvc

        return Uvc(config)
    raise CameraError(f"camera {config.name}: there is no source {config.source}")
