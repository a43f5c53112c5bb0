"""Every key of every verb, with its type and default: unknown keys and wrong types fail before anything starts."""

from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from actor.config import HAND, ActorConfig
from learner.config import AGENTS, LearnerConfig


@dataclass
class SimEnv:
    """`env=sim`: a simulated workcell."""

    kind: str = "sim"
    image_size: int = 64
    realtime: bool = False
    clearance_mm: float | None = None


@dataclass
class RosEnv:
    """`env=ros`: a workcell over ROS 2 topics."""

    kind: str = "ros"
    robot: str = "sim"
    image_size: int = 64
    namespace: str = ""
    remap: list[str] = field(default_factory=list)


@dataclass
class GymEnv:
    """`env=gym`: any registered Gymnasium environment."""

    kind: str = "gym"
    id: str = MISSING


@dataclass
class NoHand:
    """`human=none`: nobody takes over."""

    kind: str = "none"


@dataclass
class ScriptedHand:
    """`human=script`: the task's scripted corrector."""

    kind: str = "script"
    skill: str = "expert"


def _part_of(config: type, *names: str) -> Any:
    """A class of some of a room's settings, with the types and defaults that they have there."""
    chosen = [each for each in fields(config) if each.name in names]
    return make_dataclass(config.__name__, [(each.name, each.type, field(default=each.default)) for each in chosen])


LEARNER_KEYS = _part_of(
    LearnerConfig,
    *("interventions", "capacity", "min_online", "keep_on", "devices", "publish_period", "checkpoint_period_s"),
    *("tensorboard", "wandb"),
)
"""`learner.*`: how the learner runs, whatever it learns."""
ACTOR_KEYS = _part_of(ActorConfig, "pace", "max_lead_steps", "outbox_cap_gb", "trunk")
"""`actor.*`: how the actor runs."""


@dataclass
class LinkKeys:
    """`link.*`: the wire between them, with keys wherever it leaves the machine (see `handrail keys --help`)."""

    insecure: bool = False
    keys: str | None = None
    """Folder of the keys; naming one asks for them on this machine too."""


@dataclass
class ActorLinkKeys(LinkKeys):
    """`link.*` of an actor."""

    name: str | None = None
    """Which key is ours, where the folder holds several."""


@dataclass
class EnvKeys:
    """Which environment: common to all verbs."""

    env: Any = MISSING
    task: str = "pick_cube"
    obs: str = "pixels"
    scene: str = "plain"
    seed: int = 0


@dataclass
class LearnerVerb(EnvKeys):
    """`handrail learner`."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}, {"agent": "rlpd"}])
    agent: Any = MISSING
    bind: str = "tcp://127.0.0.1:5555"
    run: str | None = None
    resume: bool = False
    steps: int = 3000
    stop_at: float | None = None
    demos: str = "none"
    learner: Any = field(default_factory=LEARNER_KEYS)
    link: LinkKeys = field(default_factory=LinkKeys)


@dataclass
class SimVerb(EnvKeys):
    """`handrail sim`: a learner and an actor on this machine."""

    defaults: list[Any] = field(
        default_factory=lambda: ["_self_", {"env": "sim"}, {"agent": "rlpd"}, {"human": "script"}]
    )
    agent: Any = MISSING
    human: Any = MISSING
    run: str | None = None
    resume: bool = False
    steps: int = 3000
    stop_at: float | None = None
    demos: str = "script:20"
    eval_episodes: int = 100
    learner: Any = field(default_factory=LEARNER_KEYS)
    actor: Any = field(default_factory=ACTOR_KEYS)


@dataclass
class ActorVerb(EnvKeys):
    """`handrail actor`."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}, {"human": "none"}])
    learner: str = "tcp://127.0.0.1:5555"
    human: Any = MISSING
    outbox: str = "outbox.sqlite"
    actor: Any = field(default_factory=ACTOR_KEYS)
    link: ActorLinkKeys = field(default_factory=ActorLinkKeys)


@dataclass
class EvalVerb(EnvKeys):
    """`handrail eval`: environment keys default to what the run was trained in."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}])
    run: str = MISSING
    episodes: int = 100
    seed: int = 1_000_000
    video: str | None = None
    video_episodes: int = 5


@dataclass
class DemosVerb(EnvKeys):
    """`handrail demos record`."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}, {"human": "none"}])
    out: str = "demos.sqlite"
    episodes: int = 20
    keep: str = "success"
    resume: bool = False
    noise: float = 0.3
    human: Any = MISSING


@dataclass
class TeleopVerb(EnvKeys):
    """`handrail teleop`: drive the simulated arm by hand; nothing is recorded or learned."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}, {"human": "keyboard"}])
    obs: str = "state"
    human: Any = MISSING
    dry: bool = False
    """Show what the instrument says, without a robot."""


@dataclass
class TrunkVerb(EnvKeys):
    """`handrail trunk train|convert`: a frozen trunk for agent.encoder=trunk."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}])
    out: str = "trunk.safetensors"
    pictures: int = 28_000
    epochs: int = 10
    features: int = 64
    weights: str | None = None
    """With convert: a safetensors file of a ResNet-10, -18 or -34 as timm or torchvision name its tensors."""


VERBS: dict[str, type[EnvKeys]] = {
    "sim": SimVerb,
    "learner": LearnerVerb,
    "actor": ActorVerb,
    "eval": EvalVerb,
    "demos": DemosVerb,
    "teleop": TeleopVerb,
    "trunk": TrunkVerb,
}


def register() -> None:
    """Give the schemas to Hydra; safe to call again."""
    store = ConfigStore.instance()
    for verb, schema in VERBS.items():
        store.store(name=verb, node=schema)
    for name, schema in {"sim": SimEnv, "ros": RosEnv, "gym": GymEnv}.items():
        store.store(group="env", name=name, node=schema)
    for name, schema in {"none": NoHand, "script": ScriptedHand}.items():
        store.store(group="human", name=name, node=schema)
    nodes = [("agent", name, schema) for name, schema in AGENTS.items()]
    for group, name, schema in [*nodes, *(("human", name, hand) for name, hand in HAND.items())]:
        node = OmegaConf.structured(schema)
        # Frozen classes make read-only nodes, which would refuse the user's overrides.
        OmegaConf.set_readonly(node, None)
        store.store(group=group, name=name, node=node)
