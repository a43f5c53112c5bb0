"""What a policy network is made of: travels with its weights, so that the robot builds what the learner trained."""

import math
from typing import Literal

import msgspec

from wire.errors import UserError, plain
from wire.specs import EnvSpec

MAX_FEATURES = 1 << 20
MAX_GRIPPERS = 3
"""Of one policy: every further one triples the classes of the head."""


class ArchitectureError(UserError, ValueError):
    """The description of a network is malformed or of a family that this version does not know."""


class Gripper(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gripper that opens, closes or holds, and where its command is found."""

    entry: int
    """Of the action: -1 shuts it, 1 opens it."""
    vector: str
    """Observation that shows the command in force, as the last action left it,"""
    element: int
    """and where in that vector."""


class Trunk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen net before the encoder, which then gets its features instead of pictures; see networks.trunk."""

    digest: str
    """SHA-256 of its file."""
    shape: tuple[int, ...]
    """Of the features of one picture: (n,), or (height, width, channels)."""


class Chunk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decisions on several actions at once, the best of several proposals; see networks.chunks."""

    length: int
    """Actions that one decision is on."""
    candidates: int
    """Proposals among which the critics choose."""
    flow_steps: int
    """Euler steps from noise to a proposal."""
    critics: int
    """Members of the ensemble."""


class Grid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Critics that choose every entry of an action from points; see networks.grid."""

    bins: int
    """Points per entry of the finest grid."""
    critics: int
    """Members of the ensemble."""
    exploration: float
    """How often an entry is chosen at random while exploring."""


class Critics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ensemble of action values; see networks.critic."""

    members: int
    norm: Literal["none", "layer", "batch", "hypersphere"] = "none"
    """What normalises its hidden layers; on the hypersphere they are others, see networks.hypersphere."""
    bins: int = 0
    """Of a categorical value; 0: a value is one number."""
    span: tuple[float, float] = (0.0, 0.0)
    """Middles of the first and the last bin."""


class Architecture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Shapes of the observation encoder, of the tanh-Gaussian policy head and, where there is one, the gripper's."""

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
    grippers: tuple[Gripper, ...] = ()
    """Entries of the action that a discrete head decides; all others are the Gaussian's."""
    trunk: Trunk | None = None
    """What the cameras' pictures pass first, where that is not trained."""
    chunk: Chunk | None = None
    """Where the policy decides on action chunks."""
    grid: Grid | None = None
    """Where critics alone decide."""
    critics: Critics | None = None
    """Where critics travel in the policy's place, to rank what another policy proposes."""

    def __post_init__(self) -> None:
        """Raise ArchitectureError for sizes that no network can have."""
        sizes = [self.action_dim, self.embedding, *self.hidden, *self.channels, *self.vectors.values()]
        sizes += [size for shape in self.frames.values() for size in shape]
        # A trunk without features has no size to be wrong, hence the zero.
        sizes += (self.trunk.shape or (0,)) if self.trunk is not None else ()
        deep = max(len(self.hidden), len(self.channels)) > 32
        if not self.hidden or deep or min(sizes) < 1 or max(sizes) > 65536 or (not self.frames and not self.vectors):
            raise ArchitectureError(f"no network has these sizes: {self}")
        for name, shape in self.frames.items():
            if shape[0] % 8 or shape[1] % 8 or shape[2] != 3:
                raise ArchitectureError(
                    f"camera {name} is {shape}, but height and width must be multiples of 8 and there must be 3 "
                    "channels; set the image size to 64 or 128, say"
                )
        self._check_grippers()
        self._check_chunk()
        self._check_critics()
        if self.trunk is not None and math.prod(self.trunk.shape) > MAX_FEATURES:
            raise ArchitectureError(f"no trunk has so many features of one picture: {self.trunk.shape}")

    def _check_chunk(self) -> None:
        if self.chunk is None:
            return
        sizes = (self.chunk.length, self.chunk.candidates, self.chunk.flow_steps, self.chunk.critics)
        if min(sizes) < 1 or max(sizes) > 1024 or self.grippers:
            raise ArchitectureError(f"no network decides on such chunks: {self}")

    def _check_critics(self) -> None:
        if self.grid is not None:
            sizes = 2 <= self.grid.bins <= 1025 and 1 <= self.grid.critics <= 1024
            if not sizes or not 0 <= self.grid.exploration <= 1 or self.grippers or self.chunk:
                raise ArchitectureError(f"no critics decide on such a grid: {self}")
        if self.critics is None:
            return
        low, high = self.critics.span
        spans = math.isfinite(low) and math.isfinite(high) and low < high
        known = 1 <= self.critics.members <= 1024 and (self.critics.bins == 0 or 2 <= self.critics.bins <= 4096)
        if not known or (self.critics.bins and not spans) or self.grippers:
            raise ArchitectureError(f"no ensemble judges whole actions with these critics: {self}")

    def _check_grippers(self) -> None:
        entries = {gripper.entry for gripper in self.grippers}
        distinct = len(entries) == len(self.grippers) <= MAX_GRIPPERS
        seen = all(0 <= each.element < self.vectors.get(each.vector, 0) for each in self.grippers)
        if not distinct or not seen or not entries <= set(range(self.action_dim)) or len(entries) == self.action_dim:
            raise ArchitectureError(f"no network has these grippers: {self}")

    @property
    def move_dim(self) -> int:
        """Length of what the Gaussian decides: the action without discrete grippers."""
        return self.action_dim - len(self.grippers)

    @property
    def decision_dim(self) -> int:
        """Length of what critics judge: one action's moves, or those of a whole chunk, one action after the other."""
        return self.move_dim * (1 if self.chunk is None else self.chunk.length)

    @property
    def convolves(self) -> bool:
        """Whether an update computes gradients of convolutions."""
        return bool(self.frames) and self.trunk is None

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


def architecture_for(
    spec: EnvSpec,
    *,
    hidden: tuple[int, ...],
    embedding: int = 64,
    discrete_grippers: bool = False,
    trunk: Trunk | None = None,
    chunk: Chunk | None = None,
    grid: Grid | None = None,
) -> Architecture:
    """The network that fits an environment: an encoder per camera, every vector as it is.

    Raises:
        ArchitectureError: Where an observation fits no network, or shows no gripper although they shall be discrete.
    """
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
        grippers=_grippers(spec) if discrete_grippers else (),
        trunk=trunk,
        chunk=chunk,
        grid=grid,
    )


def _grippers(spec: EnvSpec) -> tuple[Gripper, ...]:
    """Every gripper in the action, with the element of the observation that shows its command, in the same order."""
    shown = [
        (name, element)
        for name, array in sorted(spec.observation.items())
        for element, unit in enumerate(array.element_units())
        if unit.endswith("gripper command")
    ]
    entries = spec.gripper_entries()
    if not entries or len(shown) != len(entries):
        raise ArchitectureError(
            f"a discrete gripper wants actions named gripper and, for each, an element of the observation whose unit "
            f"is gripper command; {spec.task} has {len(shown)} of those and actions {', '.join(spec.action_names)}; "
            "set agent.gripper=continuous"
        )
    return tuple(
        Gripper(entry=entry, vector=vector, element=element)
        for entry, (vector, element) in zip(entries, shown, strict=True)
    )
