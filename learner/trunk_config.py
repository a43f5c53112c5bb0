"""Settings of the training of a trunk; nothing heavy is imported here, as in learner.config."""

from dataclasses import dataclass

from wire.errors import require


@dataclass(frozen=True)
class TrunkConfig:
    """A trunk of our own, to be trained on renders of a task's varied scene."""

    task: str = "pick_cube"
    out: str = "trunk.safetensors"
    image_size: int = 64
    pictures: int = 28_000
    """Moments that are rendered, each from every camera."""
    knock: float = 1.0
    """How far from their place cameras may be in the pictures: 1 is 2.5 cm and 4 degrees, 0 leaves them as mounted.
    Such a trunk sees finer, and is at a loss once somebody has touched a camera."""
    epochs: int = 10
    """0 leaves the trunk as it was drawn: a control."""
    features: int = 64
    """Length of what it makes of one picture."""
    batch_size: int = 128
    learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key, least in {"pictures": 100, "epochs": 0, "features": 1, "batch_size": 1, "seed": 0}.items():
            require(getattr(self, key) >= least, f"{key} must be >= {least}, got {getattr(self, key)}")
        require(0 <= self.knock <= 4, f"knock must be in 0..4, got {self.knock}")
        require(self.learning_rate > 0, f"learning_rate must be > 0, got {self.learning_rate}")
        require(
            self.image_size >= 16 and self.image_size % 8 == 0,
            f"env.image_size must be a multiple of 8, at least 16, got {self.image_size}",
        )
