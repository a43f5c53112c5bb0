"""What the settings of all agents share, with its checks; nothing heavy is imported here, as in learner.config."""

from dataclasses import dataclass, field
from typing import Any

from wire.errors import require

ENCODERS = ("conv", "trunk")


@dataclass(frozen=True)
class NetworkConfig:
    """Minibatches and networks of any agent, and how it sees."""

    name: str = ""
    utd: int = 2
    """Gradient steps per environment step (update-to-data ratio)."""
    batch_size: int = 128
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    embedding: int = 64
    """Length of a camera's embedding."""
    learning_rate: float = 1e-3
    shift_pixels: int = 4
    """Random shift of images (DrQ), in pixels; 0 is off."""
    colour_jitter: bool = True
    """Random gain and offset per image and channel."""
    encoder: str = "conv"
    """What sees: conv, trained from nothing; trunk, frozen, its features computed once per frame."""
    trunk: str | None = None
    """The trunk's file, or the name of an installed one; None: the one installed for this task and image size."""
    views: int = 1
    """With a trunk: views of every frame that are kept, the first as it is, the others shifted and recoloured."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        require_least(self, 1, "utd", "batch_size", "embedding")
        require_least(self, 0, "shift_pixels")
        require_positive(self, "learning_rate")
        require(len(self.hidden) > 0, "agent.hidden must name at least one layer, got []")
        require(self.encoder in ENCODERS, f"agent.encoder must be {' or '.join(ENCODERS)}, got {self.encoder}")
        require(
            self.trunk is None or self.encoder == "trunk",
            f"agent.trunk goes with agent.encoder=trunk, got agent.trunk={self.trunk}",
        )
        require(1 <= self.views <= 16, f"agent.views must be in 1..16, got {self.views}")
        require(
            self.views == 1 or self.encoder == "trunk",
            f"agent.views={self.views} goes with agent.encoder=trunk: without a trunk every draw is a view of its own",
        )


@dataclass(frozen=True)
class CriticConfig(NetworkConfig):
    """The same, of an agent that learns values."""

    prior_share: float = 0.5
    """Share of every minibatch that comes from demonstrations, interventions and past runs."""
    discount: float = 0.97
    encoder_learning_rate: float = 5e-4

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require_share(self, "prior_share", "discount")
        require_positive(self, "encoder_learning_rate")


def require_least(config: Any, least: int, *keys: str) -> None:
    """Raise ValueError, naming it, for a setting that is below `least`."""
    for key in keys:
        require(getattr(config, key) >= least, f"agent.{key} must be >= {least}, got {getattr(config, key)}")


def require_positive(config: Any, *keys: str) -> None:
    """Raise ValueError, naming it, for a setting that is not above 0."""
    for key in keys:
        require(getattr(config, key) > 0, f"agent.{key} must be > 0, got {getattr(config, key)}")


def require_share(config: Any, *keys: str) -> None:
    """Raise ValueError, naming it, for a setting that is given and not in 0..1."""
    for key in keys:
        value = getattr(config, key)
        require(value is None or 0 <= value <= 1, f"agent.{key} must be in 0..1, got {value}")
