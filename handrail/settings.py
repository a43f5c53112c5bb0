"""From a verb's configuration to what each room is told, checked by the rooms' own config classes."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from actor.config import (
    HANDS,
    ActorConfig,
    DemosConfig,
    EpisodesConfig,
    EvalConfig,
    ExternalConfig,
    HandConfig,
    JudgeConfig,
    TeleopConfig,
)
from envs.config import EnvConfig
from handrail.values import (
    archive_paths,
    checked_address,
    init_path,
    learned_reward,
    rewarder_of,
    scripted_episodes,
)
from learner.config import LearnerConfig, TrunkConfig, learner_config
from networks.config import trunk_file
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
from wire.errors import UserError

Made = TypeVar("Made")

REWARD_VERBS: dict[str, type] = {
    "collect": CollectConfig,
    "label": LabelConfig,
    "prefer": PreferConfig,
    "train": TrainConfig,
    "pair": PairConfig,
    "write": WriteConfig,
    "audit": AuditConfig,
    "relabel": RelabelConfig,
    "serve": ServeConfig,
}
"""`handrail rewards <verb>` -> the settings of the room."""


def env_config(config: DictConfig) -> EnvConfig:
    """The environment that the common keys describe."""
    kind = config.env.kind
    chosen = {str(key): value for key, value in plain_node(config.env).items() if key != "kind"}
    return checked(lambda: EnvConfig(env=kind, task=config.task, obs=config.obs, scene=config.scene, **chosen))


def hand_config(config: DictConfig) -> HandConfig:
    """The instrument that a person holds; where nobody holds one, that which nobody will ask for."""
    if config.human.kind not in HANDS:
        return HandConfig()
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in plain_node(config.human).items()
    }
    return checked(lambda: HandConfig(**values))


def teleop_settings(config: DictConfig) -> TeleopConfig:
    """What `teleop` is told."""
    if config.human.kind not in HANDS:
        raise UserError(f"teleop is for a hand: human={'|'.join(HANDS)}, got human={config.human.kind}")
    return checked(lambda: TeleopConfig(env=env_config(config), hand=hand_config(config), dry=config.dry))


def learner_settings(config: DictConfig, *, run: Path, bind: str, demos: Path | None) -> LearnerConfig:
    """What the learner is told."""
    kind, version = learned_reward(config.reward)
    values: dict[str, Any] = {
        "run": str(run),
        "bind": checked_address("bind", bind),
        "demos": None if demos is None else str(demos),
        "archive": archive_paths(config.archive),
        "init": init_path(config.init),
        "preferences": config.get("preferences"),
        "mode": config.get("mode", "online"),
        "env": dataclasses.asdict(env_config(config)),
        "agent": OmegaConf.to_container(config.agent),
        "reward": kind,
        "reward_version": version,
        **{key: config[key] for key in ("seed", "steps", "stop_at", "resume")},
        **plain_node(config.learner),
    }
    told = checked(lambda: learner_config(values))
    if told.agent.encoder == "trunk":
        require_trunk(config, told.agent.trunk)
    return told


def offline_settings(config: DictConfig, *, run: Path, archive: list[str], seed: int) -> LearnerConfig:
    """What the learner of a candidate is told."""
    values: dict[str, Any] = {
        "run": str(run),
        "mode": "offline",
        "archive": archive,
        "steps": config.steps,
        "seed": seed,
        "env": dataclasses.asdict(env_config(config)),
        "agent": OmegaConf.to_container(config.agent),
        **plain_node(config.learner),
        "evaluate_period": 0,
    }
    return checked(lambda: learner_config(values))


def collect_settings(config: DictConfig, *, policy: Path, out: Path, seed: int) -> EpisodesConfig:
    """What collects episodes is told."""
    told = {"run": str(policy), "out": str(out), "episodes": config.episodes, "seed": seed}
    return checked(lambda: EpisodesConfig(env=env_config(config), **told))


def candidate_evaluation(config: DictConfig, run: Path) -> EvalConfig:
    """What judges a candidate is told: the same fresh episodes for all."""
    env = env_config(config).reset_every_time()
    return checked(lambda: EvalConfig(run=str(run), env=env, episodes=config.evaluate_episodes))


def actor_settings(
    config: DictConfig, *, learner: str, outbox: Path, judge: str | None = None, external: ExternalConfig | None = None
) -> ActorConfig:
    """What the actor is told.

    Args:
        config: Of the verb.
        learner: Its learner's address.
        outbox: Where steps wait.
        judge: Address of its reward service; None: the task judges.
        external: Who drives in the place of the learner's policy.
    """
    return checked(
        lambda: ActorConfig(
            env=env_config(config),
            learner=checked_address("learner", learner),
            outbox=str(outbox),
            judge=judge,
            rewarder=rewarder_of(config.reward),
            human=config.human.kind,
            skill=config.human.get("skill", "expert"),
            hand=hand_config(config),
            seed=config.seed,
            external=external,
            **plain_node(config.actor),
        )
    )


def reward_settings(verb: str, config: DictConfig) -> Any:
    """What `rewards <verb>` is told: the room's own settings class, from keys of the same names."""
    kind = REWARD_VERBS[verb]
    values = {
        key: value
        for key, value in plain_node(config).items()
        if key in {each.name for each in dataclasses.fields(kind)}
    }
    if "env" in values:
        values["env"] = env_config(config)
    if "vlm" in values:
        values["vlm"] = checked(lambda: VlmConfig(**values["vlm"]))
    return checked(lambda: kind(**values))


def service_settings(model: Path, *, bind: str, run: Path | None, every: bool = False) -> ServeConfig:
    """What a reward service that is started beside its robot is told; `every`: to score all steps of the run."""
    late = {"run": None if run is None else str(run), "label": "all" if every else "unscored"}
    return checked(lambda: ServeConfig(model=str(model), bind=bind, **late))


def rewarding_settings(model: Path, run: Path | None) -> ServeConfig:
    """What the service is told that rewards the steps of a run; raises UserError where the run is not on this machine.

    Args:
        model: Folder of a model that gives rewards.
        run: The learner's; None: it is elsewhere.
    """
    if run is None:
        raise UserError(
            f"reward=preference:{model} is given to steps in the learner's archive: say it to handrail learner, run "
            f"handrail rewards serve model={model} run=runs/<run> beside that, and drop it here"
        )
    return checked(lambda: ServeConfig(model=str(model), run=str(run), label="all"))


def eval_settings(config: DictConfig, env: EnvConfig, external: ExternalConfig | None = None) -> EvalConfig:
    """What the evaluation is told; `external` is who acts in the place of a run's policy."""
    keys = ("run", "episodes", "seed", "explore", "video", "video_episodes", "json")
    values = {key: config[key] for key in keys}
    if external is not None:
        # Where there is a run, its keys of the environment are the defaults: its policy is not asked.
        values["run"] = None
    return checked(lambda: EvalConfig(env=env.reset_every_time(), external=external, **values))


def final_evaluation(config: DictConfig, env: EnvConfig, run: Path) -> EvalConfig:
    """What the evaluation at the end of a run is told."""
    return checked(lambda: EvalConfig(run=str(run), env=env.reset_every_time(), episodes=config.eval_episodes))


def demos_settings(config: DictConfig) -> DemosConfig:
    """What the recorder is told by `demos record`."""
    keys = ("out", "episodes", "keep", "resume", "noise", "seed")
    return checked(
        lambda: DemosConfig(
            env=env_config(config),
            human=config.human.kind,
            hand=hand_config(config),
            **{key: config[key] for key in keys},
        )
    )


def script_settings(config: DictConfig, env: EnvConfig, out: Path, judge: str | None = None) -> DemosConfig:
    """What the recorder is told by a run with demos=script:<n>; one that was stopped is gone on with."""
    episodes = scripted_episodes(config.demos) or 0
    # The cube lifted and put back, from where people begin: what lies where the hand has put it is square to the hand.
    env = env if env.reset_every is None else dataclasses.replace(env, reset_every=2)
    return checked(
        lambda: DemosConfig(
            out=str(out),
            env=env,
            episodes=episodes,
            seed=config.seed,
            resume=out.exists(),
            judge=judge,
            rewarder=rewarder_of(config.reward),
        )
    )


def plain(settings: Any) -> dict[str, Any]:
    """A config class as plain values, for a JSON file."""
    return dataclasses.asdict(settings)


def judge_settings(config: DictConfig, run: Path) -> JudgeConfig:
    """What judges the policies of offline training is told."""
    env = env_config(config).reset_every_time()
    return checked(lambda: JudgeConfig(run=str(run), env=env, episodes=config.evaluate_episodes))


def require_trunk(config: DictConfig, name: str | None) -> None:
    """Raise UserError where there is no trunk of this name, or none for this task, or nothing for it to look at."""
    if config.env.kind == "gym":
        if name is not None:
            trunk_file(name, task=config.env.id, image_size=64)
        return
    if config.obs != "pixels":
        raise UserError(f"agent.encoder=trunk is for images, got obs={config.obs}; set obs=pixels, or drop it")
    trunk_file(name, task=config.task, image_size=config.env.image_size)


def trunk_settings(config: DictConfig) -> TrunkConfig:
    """What the training of a trunk is told."""
    if config.env.kind != "sim":
        raise UserError(f"a trunk is trained on renders of simulated scenes: env=sim, got env={config.env.kind}")
    checked(lambda: env_config(config))
    keys = ("task", "out", "seed", "pictures", "knock", "epochs", "features")
    values: dict[str, Any] = {key: config[key] for key in keys}
    return checked(lambda: TrunkConfig(image_size=config.env.image_size, **values))


def require_something_to_imitate(config: DictConfig) -> None:
    """Raise UserError where behaviour cloning would wait for ever: it learns from prior data alone."""
    agent, lacking = config.agent.name, config.demos == "none"
    if agent == "bc" and lacking:
        raise UserError(
            "agent=bc learns from demonstrations alone, and there are none: got demos=none; set demos=script:20 or "
            "demos=<file>, or learn from corrections too: agent=hg_dagger"
        )
    if agent == "hg_dagger" and lacking and config.human.kind == "none":
        raise UserError(
            "agent=hg_dagger learns from demonstrations and corrections, and there are neither: got demos=none "
            "human=none; set demos=script:20 or demos=<file>, or let somebody correct: human=script"
        )


def plain_node(node: Any) -> dict[str, Any]:
    """A node of the configuration as plain values."""
    values = OmegaConf.to_container(node)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def checked(make: Callable[[], Made]) -> Made:
    """Make a config; what its class finds wrong is the user's input."""
    try:
        return make()
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error
