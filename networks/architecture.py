"""What a policy network is made of: travels with its weights, so that the robot builds what the learner trained."""

import msgspec

from wire.errors import UserError, plain
from wire.specs import EnvSpec


class ArchitectureError(UserError, ValueError):
    """The description of a network is malformed or of a family that this version does not know."""


class Architecture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shapes of the observation encoder and of the tanh-Gaussian policy head."""

    frames: dict[str, tuple[int, int, int]]
    """Cameras in the observation: name -> (height, width, channels)."""
    vectors: dict[str, int]
    """Vectors in the observation: name -> length. They enter normalised, in alphabetical order."""
    action_dim: int
    hidden: tuple[int, ...] = (256, 256)
    channels: tuple[int, ...] = (16, 32, 32)
    """Channels of the convolutions; every one but the last halves the picture."""
    embedding: int = 64
    """Length of the embedding of one camera."""

    def __post_init__(self) -> None:
        """Raise ArchitectureError for sizes that no network can have."""
        sizes = [self.action_dim, self.embedding, *self.hidden, *self.channels, *self.vectors.values()]
        sizes += [size for shape in self.frames.values() for size in shape]
        deep = max(len(self.hidden), len(self.channels)) > 32
        if not self.hidden or deep or min(sizes) < 1 or max(sizes) > 65536 or (not self.frames and not self.vectors):
            raise ArchitectureError(f"no network has these sizes: {self}")
        for name, shape in self.frames.items():
            if shape[0] % 8 or shape[1] % 8 or shape[2] != 3:
                raise ArchitectureError(
                    f"camera {name} is {shape}, but height and width must be multiples of 8 and there must be 3 "
                    "channels; set the image size to 64 or 128, say"
                )

    @property
    def vector_dim(self) -> int:
        """Length of all vectors together."""
        return sum(self.vectors.values())

    @property
    def feature_dim(self) -> int:
        """Length of what the encoder gives to policy and critics."""
        return self.vector_dim + len(self.frames) * self.embedding

    def to_json(self) -> str:
        """JSON text, as it travels in wire.weights.Weights.architecture."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """Parse what `to_json` wrote; raises ArchitectureError where it does not hold an architecture."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ArchitectureError(
                f"these weights describe no network that this version knows: {plain(error)}"
            ) from error


def architecture_for(spec: EnvSpec, *, hidden: tuple[int, ...], embedding: int = 64) -> Architecture:
    """The network that fits an environment: a convolutional encoder per camera, every vector as it is."""
    for name, array in spec.observation.items():
        if not array.is_frame and (len(array.shape) != 1 or array.dtype != "float32"):
            raise ArchitectureError(
                f"observation {name} has shape {array.shape} and dtype {array.dtype}; "
                "policies take uint8 images (height, width, 3) and float32 vectors (n,)"
            )
    return Architecture(
        frames={name: array.shape for name, array in sorted(spec.observation.items()) if array.is_frame},  # type: ignore[misc]
        vectors={name: array.shape[0] for name, array in sorted(spec.observation.items()) if not array.is_frame},
        action_dim=spec.action.shape[0],
        hidden=hidden,
        embedding=embedding,
    )
