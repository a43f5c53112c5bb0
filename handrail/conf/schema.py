"""Every key of every verb, with its type and default: unknown keys and wrong types fail before anything starts."""

import functools
from dataclasses import MISSING as MISSING_DEFAULT
from dataclasses import Field, dataclass, field, fields, make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from actor.config import HAND, ActorConfig, ExternalConfig, PolicyServerConfig
from learner.config import AGENTS, LearnerConfig
from rewards.config import (
    AuditConfig,
    CollectConfig,
    LabelConfig,
    PairConfig,
    PreferConfig,
    RelabelConfig,
    ServeConfig,
    TrainConfig,
)
from rewards.vlm.config import VlmConfig
from rewards.written.config import WriteConfig


@dataclass
class SimEnv:
    """`env=sim`: a simulated workcell."""

    kind: str = "sim"
    image_size: int = 64
    realtime: bool = False
    clearance_mm: float | None = None
    reset_every: int | None = None


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
    return make_dataclass(config.__name__, [(each.name, each.type, _defaulting(each)) for each in chosen])


def _defaulting(each: Field[Any]) -> Any:
    made = each.default is MISSING_DEFAULT
    return field(default_factory=each.default_factory) if made else field(default=each.default)  # type: ignore[arg-type]


LEARNER_KEYS = _part_of(
    LearnerConfig,
    *(
        "interventions",
        "capacity",
        "head_start",
        "min_online",
        "publish_period",
        "checkpoint_period_s",
        "tensorboard",
        "wandb",
    ),
    *("evaluate_period", "warmup_steps", "archive_share", "weighting", "weighting_temperature"),
    *("camera_calibration", "symmetries", "keep_on", "devices", "shaping"),
)
"""`learner.*`: how the learner runs, whatever it learns."""
ACTOR_KEYS = _part_of(ActorConfig, "pace", "max_lead_steps", "outbox_cap_gb", "judge_wait_s", "confirm_s", "trunk")
"""`actor.*`: how the actor runs."""


EXTERNAL_KEYS = _part_of(ExternalConfig, "candidates", "temperature", "execute", "deadline_s", "patience_s")
"""`external.*`: how a policy is asked that is served elsewhere."""


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
    mode: str = "online"
    """online: from the steps that actors send; offline: from past runs alone."""
    bind: str = "tcp://127.0.0.1:5555"
    run: str | None = None
    resume: bool = False
    steps: int = 3000
    stop_at: float | None = None
    demos: str = "none"
    archive: Any = None
    preferences: str | None = None
    """With agent=cpl: what was preferred of the archive's segments, see `handrail rewards prefer segment=<steps>`."""
    init: str | None = None
    evaluate_episodes: int = 20
    """Of every evaluation while learning offline."""
    reward: str = "task"
    """task; classifier: whose success ends episodes; written:<folder>, preference:<folder>; actors must agree."""
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
    archive: Any = None
    init: str | None = None
    reward: str = "task"
    """task; classifier:<folder>, written:<folder>; or the address of a reward service on this machine."""
    eval_episodes: int = 100
    learner: Any = field(default_factory=LEARNER_KEYS)
    actor: Any = field(default_factory=ACTOR_KEYS)


@dataclass
class CollectInferVerb(EnvKeys):
    """`handrail collect-infer`: train candidates offline, judge them, collect with the best, and again."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}, {"agent": "iql"}])
    agent: Any = MISSING
    run: str | None = None
    rounds: int = 2
    candidates: int = 2
    """Trained in every round, each with another seed."""
    steps: int = 5000
    """Gradient steps of a candidate."""
    episodes: int = 30
    """Collected in every round but the first."""
    evaluate_episodes: int = 50
    demos: str = "none"
    archive: Any = None
    learner: Any = field(default_factory=LEARNER_KEYS)


@dataclass
class ActorVerb(EnvKeys):
    """`handrail actor`."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}, {"human": "none"}])
    learner: str = "tcp://127.0.0.1:5555"
    human: Any = MISSING
    policy: str = "learner"
    """learner: its weights, as they come; external: one that is served at policy_address."""
    policy_address: str | None = None
    steer: str | None = None
    """With policy=external: folder of a run whose critics choose among what is proposed, or their file."""
    external: Any = field(default_factory=EXTERNAL_KEYS)
    reward: str = "task"
    """task; classifier:<folder>, written:<folder>; or the address of a reward service, tcp://<host>:<port>."""
    outbox: str = "outbox.sqlite"
    actor: Any = field(default_factory=ACTOR_KEYS)
    link: ActorLinkKeys = field(default_factory=ActorLinkKeys)


@dataclass
class EvalVerb(EnvKeys):
    """`handrail eval`: environment keys default to what the run was trained in."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}])
    run: str | None = None
    episodes: int = 100
    seed: int = 1_000_000
    explore: bool = False
    policy: str = "run"
    """run: that of `run`; external: one that is served at policy_address."""
    policy_address: str | None = None
    steer: str | None = None
    """With policy=external: folder of a run whose critics choose among what is proposed, or their file."""
    external: Any = field(default_factory=EXTERNAL_KEYS)
    json: str | None = None
    """File for the result; null: eval.json in the run's folder."""
    link: ActorLinkKeys = field(default_factory=ActorLinkKeys)
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
    knock: float = 1.0
    """How far from their place cameras may be in the pictures: 1 is 2.5 cm and 4 degrees, 0 leaves them as mounted."""
    epochs: int = 10
    features: int = 64
    weights: str | None = None
    """With convert: a safetensors file of a ResNet-10, -18 or -34 as timm or torchvision name its tensors, or a folder
    with a DINOv2, DINOv3 or SigLIP as transformers saves it."""
    resolution: int | None = None
    """With convert: pixels at which a vision transformer looks; none: the next multiple of its patches."""


@dataclass
class CollectVerb(EnvKeys):
    """`handrail rewards collect`: frames of success and of what only looks like it, by a clumsy script."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}])
    out: str = MISSING
    positives: int = CollectConfig.positives
    linger: int = CollectConfig.linger
    driver: str = CollectConfig.driver
    episodes: int | None = None
    objects: bool = False


@dataclass
class WriteVerb(EnvKeys):
    """`handrail rewards write`: a reward function as a language model, or a person, writes it for a simulated task."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"env": "sim"}])
    obs: str = "state"
    out: str = MISSING
    goal: str = ""
    source: str | None = None
    runs: list[str] = field(default_factory=list)
    episodes: int = WriteConfig.episodes
    min_auc: float = WriteConfig.min_auc
    attempts: int = WriteConfig.attempts
    vlm: VlmConfig = field(default_factory=lambda: WriteConfig(out="", source="").vlm)


def _verb_of(config: type, doc: str, **more: Any) -> type:
    """A verb whose keys are a room's settings, and `more` with their defaults."""
    chosen: list[Any] = []
    for each in fields(config):
        if each.name in ("insecure", "keys"):
            continue
        if each.default_factory is not MISSING_DEFAULT:
            chosen.append((each.name, each.type, field(default_factory=each.default_factory)))
            continue
        default = MISSING if each.default is MISSING_DEFAULT else each.default
        chosen.append((each.name, each.type, field(default=default)))
    chosen += [(name, type(value()), field(default_factory=value)) for name, value in more.items()]
    made = make_dataclass(config.__name__.replace("Config", "Verb"), chosen)
    made.__doc__ = doc
    return made


VERBS: dict[str, type] = {
    "sim": SimVerb,
    "learner": LearnerVerb,
    "collect-infer": CollectInferVerb,
    "actor": ActorVerb,
    "eval": EvalVerb,
    "demos": DemosVerb,
    "teleop": TeleopVerb,
    "trunk": TrunkVerb,
    "policy": _verb_of(
        PolicyServerConfig, "`handrail policy serve`: a run's policy, to robots elsewhere.", link=LinkKeys
    ),
    "rewards collect": CollectVerb,
    "rewards write": WriteVerb,
    **{
        f"rewards {name}": _verb_of(config, config.__doc__ or "", **more)
        for name, config, more in (
            ("label", LabelConfig, {}),
            ("prefer", PreferConfig, {}),
            ("train", TrainConfig, {}),
            ("pair", PairConfig, {}),
            ("audit", AuditConfig, {}),
            ("relabel", RelabelConfig, {}),
            ("serve", ServeConfig, {"link": LinkKeys}),
        )
    },
}


@functools.cache
def register() -> None:
    """Give the schemas to Hydra, once: it takes longer than everything else that is done with them."""
    store = ConfigStore.instance()
    for verb, schema in VERBS.items():
        node = OmegaConf.structured(schema)
        if "vlm" in node:
            # Frozen classes make read-only nodes, which would refuse the user's overrides.
            OmegaConf.set_readonly(node.vlm, None)
        store.store(name=verb, node=node)
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
