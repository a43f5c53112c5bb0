"""Settings of the agents that learn from windows of several steps; nothing heavy is imported here."""

from dataclasses import dataclass, field

from learner.encoder_config import check_encoder
from wire.errors import require


@dataclass(frozen=True)
class QcConfig:
    """Q-chunking (Li et al. 2025, arXiv 2507.07969): critics of action chunks choose among a flow's proposals."""

    name: str = "qc"
    chunk: int = 5
    """Actions that one decision is on; the robot carries them out one after the other."""
    candidates: int = 32
    """Proposals among which the critics choose when the robot acts."""
    target_candidates: int = 4
    """Proposals whose best is the target; the paper takes as many as for acting, which a CPU cannot afford."""
    flow_steps: int = 5
    """Euler steps from noise to a proposal."""
    utd: int = 2
    batch_size: int = 128
    prior_share: float = 0.5
    critics: int = 2
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    embedding: int = 64
    discount: float = 0.97
    polyak: float = 0.005
    policy_polyak: float = 0.01
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 5e-4
    clip_targets: bool = True
    shift_pixels: int = 4
    colour_jitter: bool = True
    encoder: str = "conv"
    trunk: str | None = None
    views: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("chunk", "candidates", "target_candidates", "flow_steps", "utd", "batch_size", "critics"):
            require(1 <= getattr(self, key) <= 1024, f"agent.{key} must be in 1..1024, got {getattr(self, key)}")
        for key in ("prior_share", "discount", "polyak", "policy_polyak"):
            require(0 <= getattr(self, key) <= 1, f"agent.{key} must be in 0..1, got {getattr(self, key)}")
        for key in ("learning_rate", "encoder_learning_rate"):
            require(getattr(self, key) > 0, f"agent.{key} must be > 0, got {getattr(self, key)}")
        require(self.shift_pixels >= 0, f"agent.shift_pixels must be >= 0, got {self.shift_pixels}")
        require(len(self.hidden) > 0, "agent.hidden must name at least one layer, got []")
        check_encoder(self.encoder, self.trunk, self.views)


@dataclass(frozen=True)
class CplConfig:
    """Contrastive preference learning (Hejna et al. 2024, arXiv 2310.13639): a policy from preferences, no reward."""

    name: str = "cpl"
    scale: float = 1.0
    """Of the log-likelihood of an action as its advantage (alpha): the more, the sooner a preference counts as met. The
    paper takes 0.1, for segments of 64 steps."""
    bias: float = 0.5
    """What the worse segment counts for (lambda): below 1 actions that are in the data stay likely. 1: no bias."""
    bc_steps: int = 2000
    """Gradient steps that imitate all segments, the worse ones too, before preferences count."""
    utd: int = 2
    batch_size: int = 32
    """Pairs of segments in a minibatch."""
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    embedding: int = 64
    learning_rate: float = 3e-4
    shift_pixels: int = 4
    colour_jitter: bool = True
    encoder: str = "conv"
    trunk: str | None = None
    views: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("utd", "batch_size", "embedding"):
            require(getattr(self, key) >= 1, f"agent.{key} must be >= 1, got {getattr(self, key)}")
        for key in ("scale", "learning_rate"):
            require(getattr(self, key) > 0, f"agent.{key} must be > 0, got {getattr(self, key)}")
        require(0 < self.bias <= 1, f"agent.bias must be in 0..1 (0 excluded), got {self.bias}")
        for key in ("bc_steps", "shift_pixels"):
            require(getattr(self, key) >= 0, f"agent.{key} must be >= 0, got {getattr(self, key)}")
        require(len(self.hidden) > 0, "agent.hidden must name at least one layer, got []")
        check_encoder(self.encoder, self.trunk, self.views)


@dataclass(frozen=True)
class GqnConfig:
    """Growing Q-networks (Seyde et al. 2024, arXiv 2404.04253): critics alone, over a grid that grows finer."""

    name: str = "gqn"
    first_bins: int = 2
    """Points per entry of the action at first;"""
    bins: int = 9
    """in the end. Between them each grid has the points of the one before: 2, 3, 5, 9. Equal: it does not grow."""
    grow_steps: int = 1000
    """Environment steps in which all stages are gone through, each for as long."""
    exploration: float = 0.05
    """How often an entry is chosen at random."""
    n_step: int = 3
    """Rewards in a target before it bootstraps."""
    utd: int = 2
    batch_size: int = 128
    prior_share: float = 0.5
    critics: int = 2
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    embedding: int = 64
    discount: float = 0.97
    polyak: float = 0.005
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 5e-4
    clip_targets: bool = True
    bc_weight: float = 1.0
    """Of the margin by which what was demonstrated shall be worth more than anything else; it fades to 0."""
    bc_fade_steps: int = 3000
    """Environment steps until it has."""
    margin: float = 0.1
    shift_pixels: int = 4
    colour_jitter: bool = True
    encoder: str = "conv"
    trunk: str | None = None
    views: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("grow_steps", "n_step", "utd", "batch_size", "critics", "embedding", "bc_fade_steps"):
            require(getattr(self, key) >= 1, f"agent.{key} must be >= 1, got {getattr(self, key)}")
        for key in ("prior_share", "discount", "polyak", "exploration"):
            require(0 <= getattr(self, key) <= 1, f"agent.{key} must be in 0..1, got {getattr(self, key)}")
        for key in ("learning_rate", "encoder_learning_rate"):
            require(getattr(self, key) > 0, f"agent.{key} must be > 0, got {getattr(self, key)}")
        for key in ("bc_weight", "margin", "shift_pixels"):
            require(getattr(self, key) >= 0, f"agent.{key} must be >= 0, got {getattr(self, key)}")
        require(len(self.hidden) > 0, "agent.hidden must name at least one layer, got []")
        sizes = [self.first_bins]
        while 2 <= sizes[-1] < min(self.bins, 1025):
            sizes.append(2 * sizes[-1] - 1)
        require(
            self.first_bins >= 2 and sizes[-1] == self.bins,
            f"agent.bins must follow from agent.first_bins by doubling the gaps (2, 3, 5, 9, 17), got {self.bins} from "
            f"{self.first_bins}",
        )
        check_encoder(self.encoder, self.trunk, self.views)
