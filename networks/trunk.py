"""Frozen trunks: nets that turn a picture into features once, so that training starts from features.

A trunk lives in a safetensors file, whose metadata says what it is. It travels with nothing: an architecture names the
digest of the file, and whoever is to run the policy has the file, installed with the package or named to him.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import safetensors
import safetensors.numpy

from networks import encoder, resnet, vit
from networks.architecture import Architecture, ArchitectureError, Trunk
from networks.config import installed_trunks
from networks.layers import Params
from networks.parameters import nested
from wire.errors import plain

_METADATA = "trunk"


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a trunk's file holds."""

    family: Literal["small", "resnet", "vit"]
    """small: our own, a net for each camera. resnet and vit: one for all of them, see the modules of these names."""
    image_size: int
    """Height and width of the pictures, pixels."""
    cameras: tuple[str, ...] = ()
    """The cameras that have a net of their own; empty: one net serves any camera."""
    transformer: vit.Settings | None = None
    """Of the family vit."""

    def __post_init__(self) -> None:
        """Raise ValueError unless the settings are of the family."""
        if (self.transformer is not None) != (self.family == "vit"):
            raise ValueError(f"settings of a vision transformer go with family=vit, got family={self.family}")


class FrozenTrunk:
    """A trunk's parameters and what they compute."""

    def __init__(self, layout: Layout, params: Params, digest: str) -> None:
        self.layout, self.params, self.digest = layout, params, digest

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of the features of one picture: (n,), or (height, width, channels)."""
        size = self.layout.image_size
        blank = jax.ShapeDtypeStruct((1, size, size, 3), np.uint8)
        camera = (self.layout.cameras or ("any",))[0]
        return jax.eval_shape(lambda image: self._shaped(self.params, camera, image), blank).shape[1:]

    def describe(self) -> Trunk:
        """How an architecture names it."""
        return Trunk(digest=self.digest, shape=self.shape)

    def require_fitting(self, frames: Mapping[str, tuple[int, ...]]) -> None:
        """Raise ArchitectureError unless these cameras, name -> (height, width, 3), are what it was made for."""
        size = self.layout.image_size
        for name, shape in frames.items():
            if shape[:2] != (size, size):
                raise ArchitectureError(
                    f"this trunk is for images of {size} x {size} pixels, and camera {name} gives {shape[0]} x "
                    f"{shape[1]}; set env.image_size={size}, or train one for that size (handrail trunk train)"
                )
            if self.layout.cameras and name not in self.layout.cameras:
                raise ArchitectureError(
                    f"this trunk knows the cameras {', '.join(self.layout.cameras)}, and not {name}; "
                    "set agent.encoder=conv, or take a trunk that serves any camera (docs/pixels.md)"
                )

    def features(self, params: Params, observation: dict[str, jax.Array], cameras: Iterable[str]) -> dict:
        """The observation with features, float32 (batch, n), in place of the cameras' images (batch, h, w, 3).

        Args:
            params: `self.params`, so that a jitted caller can take them as an argument.
            observation: Images and vectors.
            cameras: Names of the images.
        """
        found = {name: self._shaped(params, name, observation[name]) for name in cameras}
        return observation | {name: image.reshape(image.shape[0], -1) for name, image in found.items()}

    def _shaped(self, params: Params, camera: str, image: jax.Array) -> jax.Array:
        if self.layout.family == "resnet":
            return resnet.apply(params, image)
        if self.layout.transformer is not None:
            return vit.apply(params, image, self.layout.transformer)
        return encoder.camera(params[camera], image)


def save(path: Path, layout: Layout, tensors: dict[str, np.ndarray]) -> None:
    """Write a trunk's file; it computes in single precision, however its tensors are stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    safetensors.numpy.save_file(whole, path, metadata={_METADATA: msgspec.json.encode(layout).decode()})


@lru_cache(maxsize=4)
def load(path: Path) -> FrozenTrunk:
    """A trunk from its file; raises ArchitectureError where that is none."""
    try:
        data = path.read_bytes()
        with safetensors.safe_open(path, "numpy") as file:
            layout = msgspec.json.decode((file.metadata() or {}).get(_METADATA, ""), type=Layout)
        params = nested(safetensors.numpy.load(data))
    except (OSError, safetensors.SafetensorError, msgspec.MsgspecError) as error:
        raise ArchitectureError(
            f"{path} holds no trunk ({plain(error)}); make one: handrail trunk train, or handrail trunk convert"
        ) from error
    return FrozenTrunk(
        layout, jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params), hashlib.sha256(data).hexdigest()
    )


def find(arch: Architecture, *, extra: Path | None = None) -> FrozenTrunk | None:
    """The trunk that a policy stands on, among `extra` and the installed ones; None where it stands on none.

    Raises:
        ArchitectureError: It is not here.
    """
    if arch.trunk is None:
        return None
    files = [*([extra] if extra is not None else []), *installed_trunks().values()]
    for path in files:
        if path.is_file() and (found := load(path)).digest == arch.trunk.digest:
            found.require_fitting(arch.frames)
            return found
    raise ArchitectureError(
        f"these weights stand on the frozen trunk {arch.trunk.digest[:12]}, which is not here (looked at "
        f"{', '.join(str(path) for path in files) or 'no file'}); copy the run's trunk.safetensors to this machine and "
        "set actor.trunk=<file>"
    )
