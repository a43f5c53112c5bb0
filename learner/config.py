"""Settings of the learner; nothing heavy is imported here, because the command line reads this file too."""

import difflib
from dataclasses import dataclass, field
from typing import Any

from envs.config import EnvConfig

GRIPPERS = ("continuous", "discrete")
INTERVENTIONS = ("plain", "lagrange", "takeover")
ENCODERS = ("conv", "trunk")
PRECISIONS = ("float32", "bfloat16")
PLACES = ("auto", "host", "device")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _check_encoder(encoder: str, trunk: str | None, views: int) -> None:
    _require(encoder in ENCODERS, f"agent.encoder must be {' or '.join(ENCODERS)}, got {encoder}")
    _require(trunk is None or encoder == "trunk", f"agent.trunk goes with agent.encoder=trunk, got agent.trunk={trunk}")
    _require(1 <= views <= 16, f"agent.views must be in 1..16, got {views}")
    _require(
        views == 1 or encoder == "trunk",
        f"agent.views={views} goes with agent.encoder=trunk: without a trunk every draw is a view of its own",
    )


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
    """Share of every minibatch that comes from demonstrations and interventions."""
    critics: int | None = 2
    """Members of the ensemble; None is ten, or two where there are cameras."""
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
    shift_pixels: int = 4
    """Random shift of images (DrQ), in pixels; 0 is off."""
    encoder: str = "conv"
    """What sees: conv, trained from nothing; trunk, frozen, its features computed once per frame."""
    trunk: str | None = None
    """The trunk's file, or the name of an installed one; None: the one installed for this task and image size."""
    views: int = 1
    """With a trunk: views of every frame that are kept, the first as it is, the others shifted and recoloured."""
    precision: str = "float32"
    """Of the convolutions; bfloat16 is for GPUs. Parameters and everything else stay in float32."""
    colour_jitter: bool = True
    """Random gain and offset per image and channel."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("utd", "actor_period", "batch_size", "subset", "embedding", "bc_fade_steps", "takeover_steps"):
            _require(getattr(self, key) >= 1, f"agent.{key} must be >= 1, got {getattr(self, key)}")
        for key in (
            *("learning_rate", "encoder_learning_rate", "initial_temperature"),
            *("multiplier", "multiplier_learning_rate"),
        ):
            _require(getattr(self, key) > 0, f"agent.{key} must be > 0, got {getattr(self, key)}")
        for key in ("prior_share", "discount", "polyak", "policy_polyak"):
            _require(
                getattr(self, key) is None or 0 <= getattr(self, key) <= 1,
                f"agent.{key} must be in 0..1, got {getattr(self, key)}",
            )
        for key in (
            *("bc_weight", "shift_pixels", "toggle_penalty", "gripper_margin"),
            *("takeover_cost", "human_slack"),
        ):
            _require(getattr(self, key) >= 0, f"agent.{key} must be >= 0, got {getattr(self, key)}")
        _check_encoder(self.encoder, self.trunk, self.views)
        _require(
            self.precision in PRECISIONS, f"agent.precision must be {' or '.join(PRECISIONS)}, got {self.precision}"
        )
        _require(len(self.hidden) > 0, "agent.hidden must name at least one layer, got []")
        _require(
            self.critics is None or self.critics >= self.subset,
            f"agent.subset must be <= agent.critics ({self.critics}), got {self.subset}",
        )
        _require(self.gripper in GRIPPERS, f"agent.gripper must be {' or '.join(GRIPPERS)}, got {self.gripper}")
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
class BcConfig:
    """Behaviour cloning of demonstrations alone: what a person corrects during the run is not learned from."""

    name: str = "bc"
    utd: int = 2
    batch_size: int = 128
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    embedding: int = 64
    learning_rate: float = 1e-3
    shift_pixels: int = 4
    colour_jitter: bool = True
    encoder: str = "conv"
    trunk: str | None = None
    views: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("utd", "batch_size", "embedding"):
            _require(getattr(self, key) >= 1, f"agent.{key} must be >= 1, got {getattr(self, key)}")
        _require(self.learning_rate > 0, f"agent.learning_rate must be > 0, got {self.learning_rate}")
        _require(self.shift_pixels >= 0, f"agent.shift_pixels must be >= 0, got {self.shift_pixels}")
        _check_encoder(self.encoder, self.trunk, self.views)


@dataclass(frozen=True)
class HgDaggerConfig(BcConfig):
    """HG-DAgger (Kelly et al. 2019, arXiv 1810.02890): behaviour cloning of demonstrations and of every correction."""

    name: str = "hg_dagger"


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
            _require(1 <= getattr(self, key) <= 1024, f"agent.{key} must be in 1..1024, got {getattr(self, key)}")
        for key in ("prior_share", "discount", "polyak", "policy_polyak"):
            _require(0 <= getattr(self, key) <= 1, f"agent.{key} must be in 0..1, got {getattr(self, key)}")
        for key in ("learning_rate", "encoder_learning_rate"):
            _require(getattr(self, key) > 0, f"agent.{key} must be > 0, got {getattr(self, key)}")
        _require(self.shift_pixels >= 0, f"agent.shift_pixels must be >= 0, got {self.shift_pixels}")
        _require(len(self.hidden) > 0, "agent.hidden must name at least one layer, got []")
        _check_encoder(self.encoder, self.trunk, self.views)


AgentConfig = SacConfig | RlpdConfig | BcConfig | HgDaggerConfig | QcConfig

AGENTS: dict[str, type[SacConfig] | type[BcConfig] | type[QcConfig]] = {
    "rlpd": RlpdConfig,
    "sac": SacConfig,
    "bc": BcConfig,
    "hg_dagger": HgDaggerConfig,
    "qc": QcConfig,
}


@dataclass(frozen=True)
class TrunkConfig:
    """A trunk of our own, to be trained on renders of a task's varied scene."""

    task: str = "pick_cube"
    out: str = "trunk.safetensors"
    image_size: int = 64
    pictures: int = 28_000
    """Moments that are rendered, each from every camera."""
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
            _require(getattr(self, key) >= least, f"{key} must be >= {least}, got {getattr(self, key)}")
        _require(self.learning_rate > 0, f"learning_rate must be > 0, got {self.learning_rate}")
        _require(
            self.image_size >= 16 and self.image_size % 8 == 0,
            f"env.image_size must be a multiple of 8, at least 16, got {self.image_size}",
        )


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
    """Environment steps after which training stops."""
    stop_at: float | None = None
    """Stop earlier, once this share of the last 20 episodes succeeded without help."""
    resume: bool = False
    demos: str | None = None
    """Demonstrations file (a steps.sqlite) to learn from beside the run's own experience."""
    env: EnvConfig | None = None
    """Where given, actors of another environment are turned away; else the first actor decides."""
    interventions: str = "plain"
    """What corrections teach beside what they show: nothing, to stay near a consistent human, what not to do."""
    capacity: int = 200_000
    """Transitions in memory; the oldest online ones make room."""
    min_online: int = 100
    """Online transitions before batches draw from them."""
    keep_on: str = "auto"
    """Where images, or their features, are kept: host, device, or auto: on the GPU where they fit."""
    devices: int = 1
    """Devices that share every minibatch; 0 is all."""
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
        _require(self.seed >= 0, f"seed must be >= 0, got {self.seed}")
        period_s = self.checkpoint_period_s
        _require(period_s > 0, f"learner.checkpoint_period_s must be > 0, got {period_s}")
        _require(
            self.stop_at is None or 0 < self.stop_at <= 1,
            f"stop_at is a success rate in 0..1 (0 excluded), got {self.stop_at}",
        )
        _require(self.keep_on in PLACES, f"learner.keep_on must be one of {', '.join(PLACES)}, got {self.keep_on}")
        _require(self.devices >= 0, f"learner.devices must be >= 0, got {self.devices}")
        _require(
            self.devices == 1 or self.keep_on != "device",
            f"learner.keep_on=device is for one device, got learner.devices={self.devices}; set learner.keep_on=host",
        )
        self._check_interventions()

    def _check_interventions(self) -> None:
        got = self.interventions
        near = difflib.get_close_matches(got, INTERVENTIONS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        _require(
            got in INTERVENTIONS, f"learner.interventions must be one of {', '.join(INTERVENTIONS)}, got {got}{hint}"
        )
        _require(
            got == "plain" or isinstance(self.agent, SacConfig),
            f"learner.interventions={got} goes with agent=rlpd or sac, got agent={self.agent.name}; drop one of them",
        )
        share = getattr(self.agent, "prior_share", 1.0)
        _require(
            got != "lagrange" or share > 0,
            f"learner.interventions=lagrange needs human actions in every batch: agent.prior_share > 0, got {share}",
        )


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
