"""Settings of each agent, with their sources; nothing heavy is imported here, as in learner.config."""

from dataclasses import dataclass

from learner.network_config import CriticConfig, NetworkConfig, require_least, require_positive, require_share
from learner.window_config import CplConfig, GqnConfig, QcConfig
from wire.errors import require

GRIPPERS = ("continuous", "discrete")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class SacConfig(CriticConfig):
    """Soft actor-critic without prior data (Haarnoja et al. 2018)."""

    name: str = "sac"
    utd: int = 1
    actor_period: int = 1
    """Critic updates per actor update."""
    prior_share: float = 0.0
    critics: int | None = 2
    """Members of the ensemble; None is ten, or two where there are cameras."""
    subset: int = 2
    """Critics, drawn without replacement, whose minimum is the target."""
    layer_norm: bool = False
    """Layer normalisation in the critics."""
    batch_norm: bool = False
    """Batch normalisation in its place, and no target critics (CrossQ, Bhatt et al. 2024, arXiv 1902.05605)."""
    hyperspherical: bool = False
    """Features and weights of length one in its place (SimbaV2, Lee et al. 2025, arXiv 2502.15280)."""
    categorical: bool = False
    """Values as distributions over bins (HL-Gauss, Farebrother et al. 2024, arXiv 2403.03950), not as numbers."""
    bins: int = 101
    """Of each such distribution."""
    polyak: float | None = 0.005
    """Weight of each update in the target critics; None is 0.005, or 0.01 where convolutions leave few updates."""
    policy_polyak: float = 0.01
    """Weight of each update in the average policy, which is the one that acts; 1 is no average."""
    initial_temperature: float = 0.01
    target_entropy_per_dim: float = -0.5
    backup_entropy: bool = False
    clip_targets: bool = True
    """Clip targets to the returns that the task's reward makes possible, where it states them."""
    bc_weight: float = 0.0
    """Pull of the policy towards prior actions: first all, then those that the critics hold for better; 0 is off."""
    bc_fade_steps: int = 2000
    """Environment steps until only the better ones are left."""
    gripper: str = "continuous"
    """Who decides on the gripper: the policy as on everything else, or a discrete head: shut, hold or open."""
    toggle_penalty: float = 0.02
    """Of a discrete gripper's reward, for every command to its other side."""
    gripper_margin: float = 0.1
    """By how much a discrete gripper's value of what was demonstrated shall exceed that of everything else."""
    takeover_steps: int = 4
    """Policy steps before a takeover that get lower credit, where interventions=takeover."""
    takeover_cost: float = 0.05
    """Taken off the reward of each of them."""
    human_slack: float = 0.1
    """How far beyond the human's own spread the policy may go (root mean square), where interventions=lagrange."""
    multiplier: float = 3.0
    """Weight of the tie to the human at first, where interventions=lagrange; then every state has its own."""
    multiplier_learning_rate: float = 3e-4
    precision: str = "float32"
    """Of the convolutions; bfloat16 is for GPUs. Parameters and everything else stay in float32."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require_least(self, 1, "actor_period", "subset", "bc_fade_steps", "takeover_steps")
        require_least(self, 0, "bc_weight", "toggle_penalty", "gripper_margin", "takeover_cost", "human_slack")
        require_positive(self, "initial_temperature", "multiplier", "multiplier_learning_rate")
        require_share(self, "polyak", "policy_polyak")
        require(
            self.precision in PRECISIONS, f"agent.precision must be {' or '.join(PRECISIONS)}, got {self.precision}"
        )
        require(
            not self.hyperspherical or len(set(self.hidden)) == 1,
            f"agent.hyperspherical=true wants agent.hidden of one width, got {self.hidden}",
        )
        require(
            not (self.hyperspherical and self.batch_norm),
            "agent.hyperspherical=true and agent.batch_norm=true are two norms in one place; set one of them",
        )
        require(
            self.critics is None or self.critics >= self.subset,
            f"agent.subset must be <= agent.critics ({self.critics}), got {self.subset}",
        )
        require(21 <= self.bins <= 1001, f"agent.bins must be in 21..1001, got {self.bins}")
        require(self.gripper in GRIPPERS, f"agent.gripper must be {' or '.join(GRIPPERS)}, got {self.gripper}")
        require(
            self.utd % self.actor_period == 0,
            f"agent.utd must be a multiple of agent.actor_period ({self.actor_period}), got {self.utd}",
        )


@dataclass(frozen=True)
class RlpdConfig(SacConfig):
    """RLPD (Ball et al. 2023, arXiv 2302.02948): SAC with prior data in every minibatch, LayerNorm and many critics.

    Two updates a step are enough with the pull to prior actions; the paper's block is utd=20, actor_period=20.
    """

    name: str = "rlpd"
    utd: int = 2
    actor_period: int = 2
    prior_share: float = 0.5
    critics: int | None = None
    polyak: float | None = None
    layer_norm: bool = True
    initial_temperature: float = 0.002
    bc_weight: float = 3.0
    bc_fade_steps: int = 3000


@dataclass(frozen=True)
class CqlConfig(SacConfig):
    """CQL (Kumar et al. 2020, arXiv 2006.04779), settings of Cal-QL's code for its sparse tasks where not said."""

    name: str = "cql"
    utd: int = 2
    actor_period: int = 2
    prior_share: float = 0.5
    layer_norm: bool = True
    """Not in the paper; WSRL (Zhou et al. 2024, arXiv 2412.07762) has it in offline training and after."""
    learning_rate: float = 3e-4
    initial_temperature: float = 0.1
    """A policy that is sharp at once hardly counts among the actions compared: each counts by one over its density."""
    bc_weight: float = 3.0
    """Not in the papers: without it nothing was learned from an expert's narrow data (docs/experiments.md)."""
    conservatism: float = 0.5
    """Weight of the conservative loss; 1 to 5 in the papers, for rewards ten times as large."""
    gap_temperature: float = 0.1
    """Of the soft maximum in it, in the unit of the return: 1 in the papers, for rewards ten times as large."""
    compared_actions: int = 10
    """Actions of each of the three kinds that the data's are compared with."""
    backup_actions: int = 10
    """Next actions of which the target takes the best."""
    calibrated: bool = False
    """Do not push the policy's actions below the return that the data achieved (Cal-QL)."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require_least(self, 1, "compared_actions", "backup_actions")
        require_least(self, 0, "conservatism")
        for key in ("batch_norm", "categorical", "hyperspherical"):
            require(
                not getattr(self, key),
                f"agent.{key}=true goes with agent=sac or rlpd, got agent={self.name}: its critics are plain",
            )
        require(
            self.backup_actions == 1 or not self.backup_entropy,
            f"agent.backup_entropy=true goes with agent.backup_actions=1, got {self.backup_actions}: the target is the "
            "best of several actions, which has no entropy",
        )
        require(
            self.backup_actions == 1 or self.subset in (CqlConfig.subset, self.critics),
            f"agent.subset={self.subset} goes with agent.backup_actions=1, got {self.backup_actions}: of several "
            "actions the target asks all critics; drop one of them",
        )


@dataclass(frozen=True)
class CalQlConfig(CqlConfig):
    """Cal-QL (Nakamoto et al. 2023, arXiv 2303.05479): CQL, calibrated by the data's own returns."""

    name: str = "calql"
    calibrated: bool = True


@dataclass(frozen=True)
class _OfflineConfig(CriticConfig):
    """What the agents share whose policy stays near the data's actions."""

    batch_size: int = 256
    polyak: float = 0.005
    learning_rate: float = 3e-4
    spread: float = 0.1
    """Standard deviation of the policy's exploration, before the tanh."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require_positive(self, "spread")
        require_share(self, "polyak")


@dataclass(frozen=True)
class IqlConfig(_OfflineConfig):
    """IQL (Kostrikov et al. 2021, arXiv 2110.06169), with its settings for sparse rewards (AntMaze)."""

    name: str = "iql"
    expectile: float = 0.9
    inverse_temperature: float = 10.0
    """How much better actions are preferred in imitation; the paper's beta."""
    largest_weight: float = 100.0
    policy_polyak: float = 0.01
    """Weight of each update in the average policy, which is the one that acts; 1 is no average."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require(0 < self.expectile < 1, f"agent.expectile must be in 0..1 (both excluded), got {self.expectile}")
        require_positive(self, "inverse_temperature", "largest_weight", "policy_polyak")
        require_share(self, "policy_polyak")


@dataclass(frozen=True)
class Td3BcConfig(_OfflineConfig):
    """TD3+BC (Fujimoto and Gu 2021, arXiv 2106.06860), and PRDC (Ran et al. 2023, arXiv 2306.06569) by `neighbours`."""

    name: str = "td3bc"
    actor_period: int = 2
    alpha: float = 0.25
    """Weight of the value against the distance to the data; 2.5 in both papers, whose data are large: on one robot's it
    stood far below imitation (docs/experiments.md)."""
    target_noise: float = 0.2
    noise_clip: float = 0.5
    clip_targets: bool = True
    neighbours: bool = False
    """Stay near the nearest pair of observation and action in the data, not near this observation's action."""
    observation_weight: float = 2.0
    """How much observations count in that distance; PRDC's beta."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require_least(self, 0, "alpha", "target_noise", "noise_clip")
        require_positive(self, "observation_weight")
        require(
            self.actor_period >= 1 and self.utd % self.actor_period == 0,
            f"agent.utd must be a multiple of agent.actor_period ({self.actor_period}), got {self.utd}",
        )


@dataclass(frozen=True)
class BcConfig(NetworkConfig):
    """Behaviour cloning of demonstrations alone: what a person corrects during the run is not learned from."""

    name: str = "bc"


@dataclass(frozen=True)
class HgDaggerConfig(BcConfig):
    """HG-DAgger (Kelly et al. 2019, arXiv 1810.02890): behaviour cloning of demonstrations and of every correction."""

    name: str = "hg_dagger"


AgentConfig = SacConfig | IqlConfig | Td3BcConfig | BcConfig | QcConfig | GqnConfig | CplConfig

_KINDS = (
    *(RlpdConfig, SacConfig, BcConfig, HgDaggerConfig, IqlConfig, CqlConfig, CalQlConfig, Td3BcConfig, QcConfig),
    *(GqnConfig, CplConfig),
)
AGENTS: dict[str, type[AgentConfig]] = {kind.name: kind for kind in _KINDS}
