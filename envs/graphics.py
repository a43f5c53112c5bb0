"""Which GL back end MuJoCo renders with, and what to say where there is none. Imports no MuJoCo."""

import ctypes
import os
import sys
from pathlib import Path

from wire.errors import UserError

LIBRARIES = {
    "osmesa": (("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so"),),
    "egl": (("libEGL.so.1", "libEGL.so"), ("libOpenGL.so.0", "libGL.so.1")),
}
"""What each back end needs: one library of each group."""


class GraphicsUnavailableError(UserError, RuntimeError):
    """No GL library can render here; the text names the cure."""

    def __init__(self, cause: object) -> None:
        backend = os.environ.get("MUJOCO_GL", "") or "the default back end"
        super().__init__(
            f"cannot render camera images with MUJOCO_GL={backend} ({cause}); use obs=state, or install libosmesa6 "
            "(apt-get install --no-install-recommends libosmesa6) and set MUJOCO_GL=osmesa"
        )


def settle_backend() -> None:
    """Set MUJOCO_GL to a back end that can be loaded, or to `disable`, so that importing MuJoCo never fails over it.

    Left alone: a choice of the user that can be loaded, a desktop with a display, systems other than Linux, and a
    process that has imported MuJoCo already.
    """
    # One llvmpipe thread: at these image sizes more only take cores from the learner.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    if "mujoco" in sys.modules or sys.platform != "linux":
        return
    wanted = os.environ.get("MUJOCO_GL", "").lower().strip()
    if wanted in LIBRARIES:
        candidates = [wanted]
    elif wanted == "" and "DISPLAY" not in os.environ and "WAYLAND_DISPLAY" not in os.environ:
        # EGL without a GPU is the same software rasteriser as OSMesa, but asks for more packages.
        candidates = ["egl", "osmesa"] if Path("/dev/nvidiactl").exists() else ["osmesa", "egl"]
    else:
        return
    os.environ["MUJOCO_GL"] = next((name for name in candidates if _loads(name)), "disable")


def _loads(backend: str) -> bool:
    return all(any(_library_loads(name) for name in group) for group in LIBRARIES[backend])


def _library_loads(name: str) -> bool:
    try:
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True
