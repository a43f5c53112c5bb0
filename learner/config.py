"""Settings of the learner; nothing heavy is imported here, because the command line reads this file too."""

import difflib
from dataclasses import dataclass, field
from typing import Any

from envs.config import EnvConfig, one_of

MODES = ("online", "offline")
_WARMUP = 300
WEIGHTINGS = ("none", "return", "advantage")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


@dataclass(frozen=True)
class SacConfig:
    """Soft actor-critic without prior data (Haarnoja et al. 2018)."""

    name: str = "sac"
    utd: int = 1
    """Gradient steps per environment step (update-to-data ratio)."""
    actor_period: int = 1
    """Critic updates per actor update."""
    batch_size: int = 128
    prior_share: float = 0.0
    """Share of every minibatch that comes from demonstrations, interventions and past runs."""
    critics: int | None = 2
    """Members of the ensemble; None is ten, or two where convolutions make every update dear."""
    subset: int = 2
    """Critics, drawn without replacement, whose minimum is the target."""
    layer_norm: bool = False
    """Layer normalisation in the critics."""
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    embedding: int = 64
    """Length of a camera's embedding."""
    discount: float = 0.97
    polyak: float | None = 0.005
    """Weight of each update in the target critics; None is 0.005, or 0.01 where convolutions leave few updates."""
    policy_polyak: float = 0.01
    """Weight of each update in the average policy, which is the one that acts; 1 is no average."""
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 5e-4
    initial_temperature: float = 0.01
    target_entropy_per_dim: float = -0.5
    backup_entropy: bool = False
    clip_targets: bool = True
    """Clip targets to the returns that the task's reward makes possible, where it states them."""
    bc_weight: float = 0.0
    """Pull of the policy towards prior actions: first all, then those that the critics hold for better; 0 is off."""
    bc_fade_steps: int = 2000
    """Environment steps until only the better ones are left."""
    shift_pixels: int = 4
    """Random shift of images (DrQ), in pixels; 0 is off."""
    colour_jitter: bool = True
    """Random gain and offset per image and channel."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("utd", "actor_period", "batch_size", "subset", "embedding", "bc_fade_steps"):
            _require(getattr(self, key) >= 1, f"agent.{key} must be >= 1, got {getattr(self, key)}")
        for key in ("learning_rate", "encoder_learning_rate", "initial_temperature"):
            _require(getattr(self, key) > 0, f"agent.{key} must be > 0, got {getattr(self, key)}")
        for key in ("prior_share", "discount", "polyak", "policy_polyak"):
            _require(
                getattr(self, key) is None or 0 <= getattr(self, key) <= 1,
                f"agent.{key} must be in 0..1, got {getattr(self, key)}",
            )
        for key in ("bc_weight", "shift_pixels"):
            _require(getattr(self, key) >= 0, f"agent.{key} must be >= 0, got {getattr(self, key)}")
        _require(len(self.hidden) > 0, "agent.hidden must name at least one layer, got []")
        _require(
            self.critics is None or self.critics >= self.subset,
            f"agent.subset must be <= agent.critics ({self.critics}), got {self.subset}",
        )
        _require(
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
    initial_temperature: float = 0.002
    """Of RLPD here: it is what goes on from it."""
    conservatism: float = 0.1
    """Weight of the conservative loss; 1 to 5 in the papers, for rewards ten times as large."""
    compared_actions: int = 10
    """Actions of each of the three kinds that the data's are compared with."""
    backup_actions: int = 10
    """Next actions of which the target takes the best."""
    calibrated: bool = False
    """Do not push the policy's actions below the return that the data achieved (Cal-QL)."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        for key in ("compared_actions", "backup_actions"):
            _require(getattr(self, key) >= 1, f"agent.{key} must be >= 1, got {getattr(self, key)}")
        _require(self.conservatism >= 0, f"agent.conservatism must be >= 0, got {self.conservatism}")


@dataclass(frozen=True)
class CalQlConfig(CqlConfig):
    """Cal-QL (Nakamoto et al. 2023, arXiv 2303.05479): CQL, calibrated by the data's own returns."""

    name: str = "calql"
    calibrated: bool = True


@dataclass(frozen=True)
class _ValueConfig:
    """What the agents share that learn values from data."""

    utd: int = 2
    batch_size: int = 256
    prior_share: float = 0.5
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    embedding: int = 64
    discount: float = 0.97
    polyak: float = 0.005
    learning_rate: float = 3e-4
    encoder_learning_rate: float = 5e-4
    spread: float = 0.1
    """Standard deviation of the policy's exploration, before the tanh."""
    shift_pixels: int = 4
    colour_jitter: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("utd", "batch_size", "embedding"):
            _require(getattr(self, key) >= 1, f"agent.{key} must be >= 1, got {getattr(self, key)}")
        for key in ("learning_rate", "encoder_learning_rate", "spread"):
            _require(getattr(self, key) > 0, f"agent.{key} must be > 0, got {getattr(self, key)}")
        for key in ("prior_share", "discount", "polyak"):
            _require(0 <= getattr(self, key) <= 1, f"agent.{key} must be in 0..1, got {getattr(self, key)}")
        _require(self.shift_pixels >= 0, f"agent.shift_pixels must be >= 0, got {self.shift_pixels}")
        _require(len(self.hidden) > 0, "agent.hidden must name at least one layer, got []")


@dataclass(frozen=True)
class IqlConfig(_ValueConfig):
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
        _require(0 < self.expectile < 1, f"agent.expectile must be in 0..1 (both excluded), got {self.expectile}")
        for key in ("inverse_temperature", "largest_weight", "policy_polyak"):
            _require(getattr(self, key) > 0, f"agent.{key} must be > 0, got {getattr(self, key)}")


@dataclass(frozen=True)
class Td3BcConfig(_ValueConfig):
    """TD3+BC (Fujimoto and Gu 2021, arXiv 2106.06860), and PRDC (Ran et al. 2023, arXiv 2306.06569) by `neighbours`."""

    name: str = "td3bc"
    actor_period: int = 2
    alpha: float = 2.5
    """Weight of the value against the distance to the data; both papers'."""
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
        for key in ("alpha", "target_noise", "noise_clip"):
            _require(getattr(self, key) >= 0, f"agent.{key} must be >= 0, got {getattr(self, key)}")
        _require(self.observation_weight > 0, f"agent.observation_weight must be > 0, got {self.observation_weight}")
        _require(
            self.actor_period >= 1 and self.utd % self.actor_period == 0,
            f"agent.utd must be a multiple of agent.actor_period ({self.actor_period}), got {self.utd}",
        )


@dataclass(frozen=True)
class BcConfig:
    """Behaviour cloning of demonstrations and, while a person intervenes, of the corrections (HG-DAgger)."""

    name: str = "bc"
    utd: int = 2
    batch_size: int = 128
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    embedding: int = 64
    learning_rate: float = 1e-3
    shift_pixels: int = 4
    colour_jitter: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("utd", "batch_size", "embedding"):
            _require(getattr(self, key) >= 1, f"agent.{key} must be >= 1, got {getattr(self, key)}")
        _require(self.learning_rate > 0, f"agent.learning_rate must be > 0, got {self.learning_rate}")
        _require(self.shift_pixels >= 0, f"agent.shift_pixels must be >= 0, got {self.shift_pixels}")


AgentConfig = SacConfig | IqlConfig | Td3BcConfig | BcConfig

AGENTS: dict[str, type[AgentConfig]] = {
    kind.name: kind for kind in (RlpdConfig, SacConfig, BcConfig, IqlConfig, CqlConfig, CalQlConfig, Td3BcConfig)
}


@dataclass(frozen=True)
class LearnerConfig:
    """One run of the learner."""

    run: str
    """Folder of the run: archive, checkpoints, metrics, summary."""
    agent: AgentConfig
    bind: str = "tcp://127.0.0.1:5555"
    insecure: bool = False
    """Permit an address off loopback without keys: the link is then neither encrypted nor authenticated."""
    keys: str | None = None
    """Folder of the keys that the link uses; never the keys themselves, for configurations lie about in runs."""
    seed: int = 0
    steps: int = 3000
    """Environment steps after which training stops; gradient steps, where mode=offline."""
    mode: str = "online"
    """online: with actors; offline: from `archive` and `demos` alone."""
    evaluate_period: int = 1000
    """With mode=offline, gradient steps between two policies that are judged in simulation; 0 judges none."""
    init: str | None = None
    """An earlier run, offline or not, whose networks and optimisers this one begins with."""
    warmup_steps: int | None = None
    """Environment steps that the policy of `init` drives, frozen, before the first update (WSRL, Zhou et al. 2024,
    arXiv 2412.07762, who take 5,000 in simulation); None is 300, some ten episodes, with `init` and 0 without."""
    stop_at: float | None = None
    """Stop earlier, once this share of the last 20 episodes succeeded without help."""
    resume: bool = False
    demos: str | None = None
    """Demonstrations file (a steps.sqlite) to learn from beside the run's own experience."""
    env: EnvConfig | None = None
    """Where given, actors of another environment are turned away; else the first actor decides."""
    interventions: str = "plain"
    archive: list[str] = field(default_factory=list)
    """Past runs to learn from beside this one (Replay Across Experiments, Tirumala et al. 2024, arXiv 2311.15951):
    runs, folders of runs, or files of steps."""
    archive_share: float = 0.5
    """Past runs' part of `agent.prior_share`; demonstrations and interventions have the rest of it."""
    weighting: str = "none"
    """How past trajectories are drawn: alike (none), or the good ones more often, by their return or by their advantage
    over what their first observation promises (Hong et al. 2023, arXiv 2306.13085)."""
    weighting_temperature: float = 0.1
    """Of that softmax; lower is pickier."""
    camera_calibration: str = ""
    """Name of the cameras' calibration, kept with the run; past runs of another one are left out."""
    symmetries: list[str] = field(default_factory=list)
    """Of mirror and translation, those by which batches are augmented; a task declares what is true of it."""
    capacity: int = 200_000
    """Transitions in memory, of this run and again of past ones; the oldest online ones make room."""
    min_online: int = 100
    """Online transitions before batches draw from them."""
    publish_period: int = 10
    """Environment steps between two sets of weights for the actors."""
    checkpoint_period_s: float = 60.0
    tensorboard: bool = True
    wandb: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("steps", "learner.capacity", "learner.min_online", "learner.publish_period"):
            value = getattr(self, key.removeprefix("learner."))
            _require(value >= 1, f"{key} must be >= 1, got {value}")
        for key in ("archive_share", "weighting_temperature"):
            value = getattr(self, key)
            _require(0 <= value <= 1, f"learner.{key} must be in 0..1, got {value}")
        _require(self.weighting_temperature > 0, "learner.weighting_temperature must be > 0, got 0")
        one_of("learner.weighting", self.weighting, WEIGHTINGS)
        for name in self.symmetries:
            one_of("learner.symmetries", name, ("mirror", "translation"))
        self._check_archive()
        self._check_mode()
        _require(self.seed >= 0, f"seed must be >= 0, got {self.seed}")
        period_s = self.checkpoint_period_s
        _require(period_s > 0, f"learner.checkpoint_period_s must be > 0, got {period_s}")
        _require(
            self.stop_at is None or 0 < self.stop_at <= 1,
            f"stop_at is a success rate in 0..1 (0 excluded), got {self.stop_at}",
        )
        _require(
            self.interventions == "plain",
            f"learner.interventions must be plain (corrections go to both buffers), got {self.interventions}",
        )

    def _check_archive(self) -> None:
        if not self.archive or self.mode == "offline":
            return
        _require(
            not isinstance(self.agent, BcConfig),
            f"agent={self.agent.name} imitates, and archive= holds more than what is worth imitating; drop archive=",
        )
        share = getattr(self.agent, "prior_share", 0.0)
        _require(
            share > 0,
            f"archive= is drawn from by agent.prior_share, which is {share:g} with agent={self.agent.name}; set "
            "agent.prior_share=0.5, say, or drop archive=",
        )

    def _check_mode(self) -> None:
        one_of("mode", self.mode, MODES)
        _require(self.evaluate_period >= 0, f"learner.evaluate_period must be >= 0, got {self.evaluate_period}")
        warmup = self.warmup_steps
        _require(warmup is None or warmup >= 0, f"learner.warmup_steps must be >= 0, got {warmup}")
        _require(
            self.mode == "online" or bool(self.archive) or self.demos is not None,
            "mode=offline learns from past runs, and none are named; set archive=<run or folder of runs> or demos=",
        )
        _require(
            self.mode == "offline" or not getattr(self.agent, "neighbours", False),
            "agent.neighbours looks among data that stays as it is: set mode=offline, or agent.neighbours=false",
        )

    @property
    def warmup(self) -> int:
        """Environment steps before the first update."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return 0 if self.init is None else _WARMUP


def learner_config(values: dict[str, Any]) -> LearnerConfig:
    """A typed configuration from plain values, the agent's class chosen by its name.

    Raises:
        ValueError: Naming the key, what was got and what is wanted.
    """
    values = dict(values)
    agent = dict(values.pop("agent", {"name": "rlpd"}))
    kind = AGENTS.get(agent.get("name", ""))
    if kind is None:
        near = difflib.get_close_matches(str(agent.get("name")), AGENTS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"agent must be one of {', '.join(AGENTS)}, got {agent.get('name')}{hint}")
    env = values.pop("env", None)
    return LearnerConfig(**values, agent=kind(**agent), env=None if env is None else EnvConfig(**env))
