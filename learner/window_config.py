"""Settings of the agents that learn from windows of several steps; nothing heavy is imported here."""

from dataclasses import dataclass

from learner.network_config import CriticConfig, NetworkConfig, require_least, require_positive, require_share
from wire.errors import require


@dataclass(frozen=True)
class QcConfig(CriticConfig):
    """Q-chunking (Li et al. 2025, arXiv 2507.07969): critics of action chunks choose among a flow's proposals."""

    name: str = "qc"
    chunk: int = 3
    """Actions that one decision is on; the robot carries them out one after the other."""
    candidates: int = 32
    """Proposals among which the critics choose when the robot acts."""
    target_candidates: int = 4
    """Proposals whose best is the target; the paper takes as many as for acting, which a CPU cannot afford."""
    flow_steps: int = 5
    """Euler steps from noise to a proposal."""
    critics: int = 2
    polyak: float = 0.005
    policy_polyak: float = 0.01
    clip_targets: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        for key in ("chunk", "candidates", "target_candidates", "flow_steps", "utd", "batch_size", "critics"):
            require(1 <= getattr(self, key) <= 1024, f"agent.{key} must be in 1..1024, got {getattr(self, key)}")
        require_share(self, "polyak", "policy_polyak")


@dataclass(frozen=True)
class CplConfig(NetworkConfig):
    """Contrastive preference learning (Hejna et al. 2024, arXiv 2310.13639): a policy from preferences, no reward."""

    name: str = "cpl"
    scale: float = 1.0
    """Of the log-likelihood of an action as its advantage (alpha): the more, the sooner a preference counts as met. The
    paper takes 0.1, for segments of 64 steps."""
    bias: float = 0.5
    """What the worse segment counts for (lambda): below 1 actions that are in the data stay likely. 1: no bias."""
    bc_steps: int = 2000
    """Gradient steps that imitate all segments, the worse ones too, before preferences count."""
    batch_size: int = 32
    """Pairs of segments in a minibatch."""
    learning_rate: float = 3e-4

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require_positive(self, "scale")
        require(0 < self.bias <= 1, f"agent.bias must be in 0..1 (0 excluded), got {self.bias}")
        require_least(self, 0, "bc_steps")


@dataclass(frozen=True)
class GqnConfig(CriticConfig):
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
    critics: int = 2
    polyak: float = 0.005
    clip_targets: bool = True
    bc_weight: float = 1.0
    """Of the margin by which what was demonstrated shall be worth more than anything else; it fades to 0."""
    bc_fade_steps: int = 3000
    """Environment steps until it has."""
    margin: float = 0.1

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require_least(self, 1, "grow_steps", "n_step", "critics", "bc_fade_steps")
        require_least(self, 0, "bc_weight", "margin")
        require_share(self, "polyak", "exploration")
        sizes = [self.first_bins]
        while 2 <= sizes[-1] < min(self.bins, 1025):
            sizes.append(2 * sizes[-1] - 1)
        require(
            self.first_bins >= 2 and sizes[-1] == self.bins,
            f"agent.bins must follow from agent.first_bins by doubling the gaps (2, 3, 5, 9, 17), got {self.bins} from "
            f"{self.first_bins}",
        )
