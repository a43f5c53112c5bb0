"""Camera images: small and cheap ones for the policy, large ones for people."""

# MuJoCo's compiled module comes without type stubs.
# pyright: reportAttributeAccessIssue=false

import weakref

import mujoco
import numpy as np

from envs.graphics import GraphicsUnavailableError


class Pictures:
    """Renders named cameras of one model at one size; owns one GL context, which belongs to the thread that made it."""

    def __init__(self, model: mujoco.MjModel, *, width: int, height: int, detailed: bool = False) -> None:
        """Make the context.

        Args:
            model: What is rendered.
            width: Pixels.
            height: Pixels.
            detailed: Show the visual meshes and shadows; otherwise the collision meshes alone, some 20 times cheaper.

        Raises:
            GraphicsUnavailableError: Where no GL library works here.
        """
        try:
            self._renderer: mujoco.Renderer | None = mujoco.Renderer(model, height, width)
        except Exception as error:
            # Each back end fails in its own way: FatalError, ImportError, AttributeError, EGLError.
            raise GraphicsUnavailableError(error) from error
        # An unclosed context makes OSMesa complain when the interpreter exits.
        self._finalizer = weakref.finalize(self, self._renderer.close)
        self.size = (width, height)
        self._detailed = detailed
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[0] = 1
        self._option.sitegroup[:] = 0

    def take(self, data: mujoco.MjData, camera: str) -> np.ndarray:
        """The picture of one camera, a fresh uint8 array of shape (height, width, 3)."""
        if self._renderer is None:
            raise RuntimeError("the renderer is closed; make a new environment")
        self._renderer.update_scene(data, camera, self._option)
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._detailed
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = self._detailed
        return self._renderer.render()

    def close(self) -> None:
        """Free the context; safe to call twice."""
        if self._renderer is not None:
            self._finalizer()
            self._renderer = None
