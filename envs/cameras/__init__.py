"""Cameras: whatever the device, the newest picture is there at once, together with how old it is."""

from envs.cameras.camera import Camera, CameraError, Frame, Intrinsics
from envs.cameras.config import CameraConfig
from envs.cameras.open import open_camera

__all__ = ["Camera", "CameraConfig", "CameraError", "Frame", "Intrinsics", "open_camera"]
