"""Every key of every verb, with its type and default: unknown keys and wrong types fail before anything starts."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from learner.config import AGENTS


@dataclass
class SimEnv:
    """`env=sim`: a simulated workcell."""

    kind: str = "sim"
    image_size: int = 64
    realtime: bool = False


@dataclass
class GymEnv:
    """`env=gym`: any registered Gymnasium environment."""

    kind: str = "gym"
    id: str = MISSING


@dataclass
class LearnerKeys:
    """`learner.*`: how the learner runs, whatever it learns."""

    interventions: str = "plain"
    capacity: int = 200_000
    min_online: int = 100
    publish_period: int = 10
    checkpoint_period_s: float = 60.0
    tensorboard: bool = True
    wandb: bool = False


@dataclass
class ActorKeys:
    """`actor.*`: how the actor runs."""

    pace: str = "learner"
    max_lead_steps: int = 8
    outbox_cap_gb: float = 100.0


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
    learner: LearnerKeys = field(default_factory=LearnerKeys)
    link: LinkKeys = field(default_factory=LinkKeys)


@dataclass
class SimVerb(EnvKeys):
    """`handrail sim`: a learner and an actor on this machine."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}, {"agent": "rlpd"}])
    agent: Any = MISSING
    human: str = "script"
    run: str | None = None
    resume: bool = False
    steps: int = 3000
    stop_at: float | None = None
    demos: str = "script:20"
    eval_episodes: int = 100
    learner: LearnerKeys = field(default_factory=LearnerKeys)
    actor: ActorKeys = field(default_factory=ActorKeys)


@dataclass
class ActorVerb(EnvKeys):
    """`handrail actor`."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}])
    learner: str = "tcp://127.0.0.1:5555"
    human: str = "none"
    outbox: str = "outbox.sqlite"
    actor: ActorKeys = field(default_factory=ActorKeys)
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

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}])
    out: str = "demos.sqlite"
    episodes: int = 20
    noise: float = 0.3
    human: str = "none"


VERBS: dict[str, type[EnvKeys]] = {
    "sim": SimVerb,
    "learner": LearnerVerb,
    "actor": ActorVerb,
    "eval": EvalVerb,
    "demos": DemosVerb,
}


def register() -> None:
    """Give the schemas to Hydra; safe to call again."""
    store = ConfigStore.instance()
    for verb, schema in VERBS.items():
        store.store(name=verb, node=schema)
    for name, schema in {"sim": SimEnv, "gym": GymEnv}.items():
        store.store(group="env", name=name, node=schema)
    for name, schema in AGENTS.items():
        node = OmegaConf.structured(schema)
        # Frozen classes make read-only nodes, which would refuse the user's overrides.
        OmegaConf.set_readonly(node, None)
        store.store(group="agent", name=name, node=node)
