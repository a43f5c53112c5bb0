"""From a verb's configuration to what each room is told, checked by the rooms' own config classes."""

import dataclasses
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from actor.config import HANDS, ActorConfig, DemosConfig, EvalConfig, HandConfig, TeleopConfig
from envs.config import EnvConfig
from handrail.keys import link_folder, require_actor_keys, require_learner_keys
from learner.config import LearnerConfig, TrunkConfig, learner_config
from networks.config import trunk_file
from wire.errors import UserError
from wire.store import StepStore

Made = TypeVar("Made")


def env_config(config: DictConfig) -> EnvConfig:
    """The environment that the common keys describe."""
    kind = config.env.kind
    chosen = {str(key): value for key, value in _plain(config.env).items() if key != "kind"}
    return _checked(lambda: EnvConfig(env=kind, task=config.task, obs=config.obs, scene=config.scene, **chosen))


def hand_config(config: DictConfig) -> HandConfig:
    """The instrument that a person holds; where nobody holds one, that which nobody will ask for."""
    if config.human.kind not in HANDS:
        return HandConfig()
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in _plain(config.human).items()
    }
    return _checked(lambda: HandConfig(**values))


def teleop_settings(config: DictConfig) -> TeleopConfig:
    """What `teleop` is told."""
    if config.human.kind not in HANDS:
        raise UserError(f"teleop is for a hand: human={'|'.join(HANDS)}, got human={config.human.kind}")
    return _checked(lambda: TeleopConfig(env=env_config(config), hand=hand_config(config), dry=config.dry))


def learner_settings(config: DictConfig, *, run: Path, bind: str, demos: Path | None) -> LearnerConfig:
    """What the learner is told."""
    values: dict[str, Any] = {
        "run": str(run),
        "bind": checked_address("bind", bind),
        "demos": None if demos is None else str(demos),
        "env": dataclasses.asdict(env_config(config)),
        "agent": OmegaConf.to_container(config.agent),
        **{key: config[key] for key in ("seed", "steps", "stop_at", "resume")},
        **_plain(config.learner),
    }
    told = _checked(lambda: learner_config(values))
    if told.agent.encoder == "trunk":
        require_trunk(config, told.agent.trunk)
    return told


def actor_settings(config: DictConfig, *, learner: str, outbox: Path) -> ActorConfig:
    """What the actor is told."""
    return _checked(
        lambda: ActorConfig(
            env=env_config(config),
            learner=checked_address("learner", learner),
            outbox=str(outbox),
            human=config.human.kind,
            skill=config.human.get("skill", "expert"),
            hand=hand_config(config),
            seed=config.seed,
            **_plain(config.actor),
        )
    )


def with_learner_keys(told: LearnerConfig, link: DictConfig) -> LearnerConfig:
    """The learner's settings with the keys that its link needs; raises UserError, naming the commands to run."""
    folder = link_folder(told.bind, link["keys"], insecure=link.insecure)
    if folder is None:
        return dataclasses.replace(told, insecure=link.insecure)
    require_learner_keys(told.bind, folder)
    return dataclasses.replace(told, keys=str(folder.absolute()))


def with_actor_keys(told: ActorConfig, link: DictConfig) -> ActorConfig:
    """The actor's settings with the keys that its link needs; raises UserError, naming the commands to run."""
    folder = link_folder(told.learner, link["keys"], insecure=link.insecure)
    if folder is None:
        return dataclasses.replace(told, insecure=link.insecure)
    name = require_actor_keys(told.learner, folder, link.name)
    return dataclasses.replace(told, keys=str(folder.absolute()), key=name)


def eval_settings(config: DictConfig, env: EnvConfig) -> EvalConfig:
    """What the evaluation is told."""
    keys = ("run", "episodes", "seed", "video", "video_episodes")
    return _checked(lambda: EvalConfig(env=env, **{key: config[key] for key in keys}))


def final_evaluation(config: DictConfig, env: EnvConfig, run: Path) -> EvalConfig:
    """What the evaluation at the end of a run is told."""
    return _checked(lambda: EvalConfig(run=str(run), env=env, episodes=config.eval_episodes))


def demos_settings(config: DictConfig) -> DemosConfig:
    """What the recorder is told by `demos record`."""
    keys = ("out", "episodes", "keep", "resume", "noise", "seed")
    return _checked(
        lambda: DemosConfig(
            env=env_config(config),
            human=config.human.kind,
            hand=hand_config(config),
            **{key: config[key] for key in keys},
        )
    )


def script_settings(config: DictConfig, env: EnvConfig, out: Path) -> DemosConfig:
    """What the recorder is told by a run with demos=script:<n>; one that was stopped is gone on with."""
    episodes = scripted_episodes(config.demos) or 0
    return _checked(
        lambda: DemosConfig(out=str(out), env=env, episodes=episodes, seed=config.seed, resume=out.exists())
    )


def plain(settings: Any) -> dict[str, Any]:
    """A config class as plain values, for a JSON file."""
    return dataclasses.asdict(settings)


def scripted_episodes(demos: str) -> int | None:
    """The n of `demos=script:n`, or None where demos is a path or none."""
    kind, _, count = demos.partition(":")
    if kind != "script":
        return None
    if not count.isdigit() or int(count) < 1:
        raise UserError(f"demos=script:<n> needs a number of episodes >= 1, got {demos}; e.g. demos=script:20")
    return int(count)


def demos_path(demos: str) -> Path | None:
    """The file of `demos=<path>`, checked to be there; None for demos=none."""
    if demos == "none":
        return None
    path = Path(demos)
    if not path.is_file():
        raise UserError(
            f"demos must be none, script:<n> or a file of demonstrations, and there is no file {path}; "
            f"record one: handrail demos record --script out={path}"
        )
    return path


def require_fitting(demos: Path, env: EnvConfig) -> None:
    """Raise SpecMismatch where demonstrations are of another environment."""
    with StepStore.read(demos) as store:
        env.require_fitting(store.spec, whose=f"the file of demonstrations {demos}")


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
    _checked(lambda: env_config(config))
    keys = ("task", "out", "seed", "pictures", "epochs", "features")
    values: dict[str, Any] = {key: config[key] for key in keys}
    return _checked(lambda: TrunkConfig(image_size=config.env.image_size, **values))


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


def checked_address(key: str, address: str) -> str:
    """The address, where it is well-formed; raises UserError."""
    if not re.fullmatch(r"tcp://(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5}|\*)|ipc://\S+", address):
        raise UserError(f"{key} must be tcp://<host>:<port>, got {address}")
    return address


def new_run(config: DictConfig) -> Path:
    """The folder that `run=` names, or runs/<date>-<task>-<n>, the first n that is free."""
    if config.run is not None:
        return Path(config.run)
    if config.resume:
        raise UserError("resume=true needs run=<folder of the run to go on with>")
    task = config.task if config.env.kind != "gym" else config.env.id.rpartition(":")[2].replace("/", "-")
    taken = 1
    # The day is for people, in their own time zone.
    while (path := Path("runs") / f"{date.today():%Y-%m-%d}-{task}-{taken}").exists():  # noqa: DTZ011
        taken += 1
    return path


def _plain(node: Any) -> dict[str, Any]:
    values = OmegaConf.to_container(node)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _checked(make: Callable[[], Made]) -> Made:
    """Make a config; what its class finds wrong is the user's input."""
    try:
        return make()
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error
