"""What each verb does: prepare the rooms' configurations, start them, and tell the user what came of it."""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from actor.config import HANDS
from envs.config import EnvConfig
from handrail import settings, values
from handrail.collect_infer import collect_infer
from handrail.external import external_settings, policy_server_settings
from handrail.linking import require_here, with_actor_keys, with_learner_keys, with_service_keys
from handrail.local import INTERRUPTED, Rooms, free_port, last_error, rooms, run_room, write_json
from handrail.serving import SERVICE, begin_serving, serving, wait
from handrail.words import by_key
from learner.config import LearnerConfig
from networks.config import RUN_TRUNK
from rewards.config import RelabelConfig, ServeConfig
from wire.database import EmptyError
from wire.errors import UserError
from wire.labels import labels_since
from wire.store import StepStore

ARCHIVE = "steps.sqlite"
DEMOS = "demos.sqlite"
"""In a run's folder: what a script has shown."""
_LEARNER_ENDS_S = 300.0
"""For its last checkpoint and its plots: seconds, but on a machine with ten other things to do it was over a minute."""
CONFIG = "config.json"
"""In a run's folder: the verb, the user's words and the environment, for resume and eval."""


def with_defaults(verb: str, words: list[str]) -> list[str]:
    """The user's words after those that a run or an environment implies; what the user says comes last and wins."""
    keys = by_key(words)
    saved = Path(keys.get("run", "")) / CONFIG
    implied: list[str] = []
    if "run" in keys and saved.is_file():
        earlier = json.loads(saved.read_text())["words"]
        if keys.get("resume", "").lower() == "true":
            implied = earlier
        elif verb == "eval":
            implied = [word for word in earlier if _is_env(word)]
    keys = by_key(implied) | keys
    if keys.get("env") == "gym" and verb == "sim":
        # A foreign environment need not have scripts.
        keys = {"human": "none", "demos": "none"} | keys
    for key in ("gate", "only", "question", "goal"):
        if key in keys and keys[key][:1] not in ('"', "'"):
            # Their brackets, and what else people write, mean something in Hydra's grammar.
            keys[key] = '"{}"'.format(keys[key].replace('"', '\\"'))
    # What is no key=value is left for the check of the words to name.
    if keys.get("human", "keyboard" if verb == "teleop" else "none") in HANDS and keys.get("env", "sim") == "sim":
        # A person drives in the time of people.
        keys = {"env.realtime": "true"} | keys
    return [*(f"{key}={value}" for key, value in keys.items()), *(word for word in words if "=" not in word)]


def sim(config: DictConfig, words: list[str]) -> int:
    """Learner, actor and evaluation on this machine."""
    run = values.new_run(config)
    address = f"tcp://127.0.0.1:{free_port()}"
    demos = _demonstrations(config, run)
    settings.require_something_to_imitate(config)
    learner = settings.learner_settings(config, run=run, bind=address, demos=demos)
    judge, service = _judge(config, run)
    require_here("reward", judge)
    actor = settings.actor_settings(config, learner=address, outbox=run / "outbox.sqlite", judge=judge)
    if learner.agent.encoder == "trunk":
        # Where the learner leaves it before it sends the first policy.
        actor = dataclasses.replace(actor, trunk=actor.trunk or str(run / RUN_TRUNK))
    evaluation = settings.final_evaluation(config, actor.env, run)
    _check_run(run, resume=config.resume)
    _remember(run, "sim", config, words)
    with rooms() as started:
        try:
            start_service = None if service is None else serving(started, run, service)
            code = 0 if start_service is None else begin_serving(started, run, start_service)
            if code == 0 and demos is not None and not _is_recorded(config, demos):
                # The demonstrations' reward is the model's too: one definition for all that is learned from.
                code = _record_script(config, actor.env, demos, judge)
            if code == 0 and demos == run / DEMOS and service is not None and service.label == "all":
                code = _score(run / DEMOS, service)
            if code == 0:
                code = _learn_and_act(started, run, settings.plain(learner), settings.plain(actor), start_service)
        except KeyboardInterrupt:
            code = INTERRUPTED
    if code == 0:
        code = run_room(["actor", "eval", str(write_json(run / "eval_config.json", settings.plain(evaluation)))])
    if code == 0:
        _complete_summary(run, config)
        sys.stdout.write(f"curve: {run / 'success.png'}\nsummary: {run / 'summary.json'}\n")
    elif code == INTERRUPTED:
        sys.stdout.write(f"Stopped. Go on with: handrail sim run={run} resume=true\n")
    return code


def learner(config: DictConfig, words: list[str]) -> int:
    """The learner alone, for actors elsewhere."""
    run = values.new_run(config)
    demos = _demonstrations(config, run)
    told = settings.learner_settings(config, run=run, bind=config.bind, demos=demos)
    told = with_learner_keys(told, config.link)
    _check_run(run, resume=config.resume)
    _remember(run, "learner", config, words)
    if demos is not None and not _is_recorded(config, demos):
        code = _record_script(config, settings.env_config(config), demos)
        if code != 0:
            return code
    if told.mode == "offline":
        return _learn_offline(config, run, told)
    return run_room(["learner", str(write_json(run / "learner_config.json", settings.plain(told)))])


def actor(config: DictConfig, words: list[str]) -> int:
    """The actor alone, for a learner elsewhere; with its reward service, where it is to have one of its own."""
    judge, service = _judge(config, None)
    external = external_settings(config)
    outbox = Path(config.outbox)
    told = settings.actor_settings(config, learner=config.learner, outbox=outbox, judge=judge, external=external)
    told = with_actor_keys(told, config.link, own=None if service is None else judge)
    if service is None:
        return _run_told("act", told, keys=told.human in HANDS)
    with tempfile.TemporaryDirectory() as folder, rooms() as started:
        place = Path(folder)
        start = serving(started, place, service)
        actor_file = write_json(place / "actor_config.json", settings.plain(told))
        try:
            code = begin_serving(started, place, start)
            if code != 0:
                return code
            started.start("actor", ["actor", "act", str(actor_file)], keys=told.human in HANDS)
            return wait(started, start)[1]
        except KeyboardInterrupt:
            return INTERRUPTED


def reward(config: DictConfig, words: list[str], *, verb: str) -> int:
    """What `rewards <verb>` does, in the rewards room."""
    told = settings.reward_settings(verb, config)
    if verb == "serve":
        told = with_service_keys(told, config.link)
    with tempfile.TemporaryDirectory() as folder:
        return run_room(["rewards", verb, str(write_json(Path(folder) / "config.json", settings.plain(told)))])


def evaluate(config: DictConfig, words: list[str]) -> int:
    """Judge a run's policy."""
    run = None if config.run is None else Path(config.run)
    if run is not None and not run.is_dir():
        raise UserError(f"there is no run in {run}; check run=<folder>")
    external = external_settings(config, own="run")
    told = settings.eval_settings(config, settings.env_config(config), external)
    told = with_actor_keys(told, config.link)
    if run is None or told.external is not None:
        return _run_told("eval", told)
    return run_room(["actor", "eval", str(write_json(run / "eval_config.json", settings.plain(told)))])


def record(config: DictConfig, words: list[str]) -> int:
    """Record demonstrations."""
    told = settings.demos_settings(config)
    return _run_told("record", told, keys=told.human in HANDS)


def policy(config: DictConfig, words: list[str]) -> int:
    """Serve a run's policy until somebody stops it."""
    told = policy_server_settings(config)
    return _run_told("serve", with_service_keys(told, config.link))


def trunk(config: DictConfig, words: list[str]) -> int:
    """Train a frozen trunk, or make one of somebody else's weights."""
    if config.weights is None:
        if config.resolution is not None:
            raise UserError("resolution=<pixels> goes with handrail trunk convert; a trunk of ours has env.image_size=")
        told = settings.plain(settings.trunk_settings(config))
    else:
        sizes = {"image_size": config.env.image_size, "resolution": config.resolution}
        told = {"weights": config.weights, "out": config.out, **sizes}
    with tempfile.TemporaryDirectory() as folder:
        return run_room(["learner.trunks", str(write_json(Path(folder) / "config.json", told))])


def teleop(config: DictConfig, words: list[str]) -> int:
    """Let a person check what the axes do before they touch a robot."""
    return _run_told("teleop", settings.teleop_settings(config), keys=True)


RUN: dict[str, Callable[[DictConfig, list[str]], int]] = {
    "sim": sim,
    "learner": learner,
    "collect-infer": collect_infer,
    "actor": actor,
    "eval": evaluate,
    "demos": record,
    "teleop": teleop,
    "trunk": trunk,
    "policy": policy,
    **{f"rewards {verb}": partial(reward, verb=verb) for verb in settings.REWARD_VERBS},
}


def _is_env(word: str) -> bool:
    key = word.partition("=")[0]
    return key in ("env", "task", "obs", "scene") or key.startswith("env.")


def _check_run(run: Path, *, resume: bool) -> None:
    """Refuse to mix two runs. One that was stopped before its first step may be started again or resumed.

    So may one that took no gradient step: what has learned offline holds no steps, but later checkpoints.
    """
    if not resume and (_count(run / ARCHIVE) or any((run / "checkpoints").glob("[1-9]*"))):
        raise UserError(f"{run} holds a run already; set resume=true to go on with it, or run=<another folder>")
    if resume and not ((run / ARCHIVE).exists() or (run / CONFIG).exists()):
        raise UserError(f"there is no run to resume in {run}; check run=<folder>, or drop resume=true")


def _count(archive: Path) -> int:
    if not archive.exists():
        return 0
    try:
        with StepStore.read(archive) as store:
            return store.count()
    except EmptyError:
        return 0


def _demonstrations(config: DictConfig, run: Path) -> Path | None:
    """Where the demonstrations are, or will be once the script has recorded them."""
    scripted = values.scripted_episodes(config.demos) is not None
    path = run / DEMOS if scripted else values.demos_path(config.demos)
    if path is not None and path.exists():
        values.require_fitting(path, settings.env_config(config))
    return path


def _record_script(config: DictConfig, env: EnvConfig, out: Path, judge: str | None = None) -> int:
    return _run_told("record", settings.script_settings(config, env, out, judge))


def _score(demos: Path, service: ServeConfig) -> int:
    """Let the model that is served say what it thinks of every step of demonstrations, unless it has."""
    version = values.version_of(Path(service.model))
    if any(label.version == version for label in labels_since(demos)[0]):
        return 0
    told = RelabelConfig(model=service.model, runs=[str(demos)])
    return run_room(["rewards", "relabel", str(write_json(demos.with_suffix(".json"), settings.plain(told)))])


def _is_recorded(config: DictConfig, demos: Path | None) -> bool:
    """Whether there is nothing to record, because nothing is wanted of a script or all of it is there."""
    wanted = values.scripted_episodes(config.demos)
    if demos is None or wanted is None or not demos.exists():
        return demos is None or demos.exists()
    with StepStore.read(demos) as store:
        return len(store.episodes()) >= wanted


def _run_told(what: str, told: Any, *, keys: bool = False) -> int:
    """Let the actor's room do something outside a run's folder, where nothing shall be left behind."""
    with tempfile.TemporaryDirectory() as folder:
        return run_room(["actor", what, str(write_json(Path(folder) / "config.json", settings.plain(told)))], keys=keys)


def _remember(run: Path, verb: str, config: DictConfig, words: list[str]) -> None:
    """Keep the words that a resumed run or an evaluation needs, without those that are only about this process."""
    if config.resume:
        return
    kept = [word for word in words if word.partition("=")[0] not in ("run", "resume", "bind")]
    write_json(run / CONFIG, {"verb": verb, "words": kept})


def _learn_offline(config: DictConfig, run: Path, told: LearnerConfig) -> int:
    """The learner, and beside it, where policies are to be judged, a simulation that judges them."""
    log = run / "judge.log"
    judge = settings.plain(settings.judge_settings(config, run)) if told.evaluate_period else None
    for stale in (run / "policies" / "last", *([] if config.resume else [run / "evaluations.jsonl"])):
        stale.unlink(missing_ok=True)
    learner_file = write_json(run / "learner_config.json", settings.plain(told))
    with rooms() as started:
        try:
            started.start("learner", ["learner", str(learner_file)])
            if judge is not None:
                started.start("judge", ["actor", "judge", str(write_json(run / "judge_config.json", judge))], log=log)
            code = started.finish("learner", timeout_s=None)
            if code == 0 and judge is not None and started.finish("judge", timeout_s=None) != 0:
                sys.stderr.write(f"warning: the policies were not judged: {last_error(log)}\nits log: {log}\n")
        except KeyboardInterrupt:
            return INTERRUPTED
    code = 1 if code is None or code < 0 else code
    if code == 0:
        sys.stdout.write(_verdict(run))
    return code


def _verdict(run: Path) -> str:
    path = run / "evaluations.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    curve = "".join(f"  {line['gradient_steps']:>8}  {line['successes']} of {line['episodes']}\n" for line in lines)
    judged = f"success after gradient steps:\n{curve}" if lines else ""
    return f"{judged}losses: {run / 'losses.png'}\njudge it: handrail eval run={run}\n"


def _judge(config: DictConfig, run: Path | None) -> tuple[str | None, ServeConfig | None]:
    """Address of the reward service, None where the task judges; and what it is told, where we are to start it."""
    model = values.model_of(config.reward)
    if model is None:
        return (config.reward if values.is_address(config.reward) else None), None
    if values.learned_reward(config.reward)[0] == "preference":
        # It rewards what is in the archive; when an episode is over, the task says.
        return None, settings.rewarding_settings(model, run)
    address = f"tcp://127.0.0.1:{free_port()}"
    # What has no frames in its archive cannot be labelled late.
    late = run if config.obs == "pixels" else None
    every = late is not None and config.learner.shaping > 0
    return address, settings.service_settings(model, bind=address, run=late, every=every)


def _learn_and_act(
    started: Rooms,
    run: Path,
    learner_told: dict[str, Any],
    actor_told: dict[str, Any],
    start_service: Callable[[], None] | None,
) -> int:
    log = run / "actor.log"
    learner_file = write_json(run / "learner_config.json", learner_told)
    actor_file = write_json(run / "actor_config.json", actor_told)
    started.start("learner", ["learner", str(learner_file)])
    started.start("actor", ["actor", "act", str(actor_file)], log=log, keys=actor_told["human"] in HANDS)
    return _watch(started, log, start_service)


def _watch(started: Rooms, log: Path, start_service: Callable[[], None] | None) -> int:
    name, code = wait(started, start_service)
    if name == SERVICE:
        log = log.with_name("rewards.log")
        sys.stderr.write(f"error: {last_error(log)}\n")
        return code
    if name == "actor" and code == 0:
        # The learner told it that the run is over, and is about to end itself.
        code = started.finish("learner", timeout_s=_LEARNER_ENDS_S)
        if code is None:
            sys.stderr.write("error: the learner does not end although the run is over; stopping it\n")
        return 1 if code is None or code < 0 else code
    if name == "actor" and code != INTERRUPTED:
        sys.stderr.write(f"error: the actor stopped: {last_error(log)}\nits log: {log}\n")
    return code


def _complete_summary(run: Path, config: DictConfig) -> None:
    """Add to the learner's summary what only the other rooms know."""
    summary, evaluated = _read(run / "summary.json"), _read(run / "eval.json")
    actor = _read(run / "outbox.json")
    archived = _count(run / ARCHIVE)
    summary["human"] = config.human.kind
    summary["success"] = {"rate": evaluated["rate"], "n": evaluated["episodes"], "ci95": evaluated["ci95"]}
    summary["mean_steps"] = evaluated["mean_steps"]
    summary["resets"] = actor["resets"]
    summary["link"] = {
        "produced": actor["produced"],
        "archived": archived,
        "duplicates": summary["link"]["duplicates"],
        "lost": actor["produced"] - archived - actor["unacked"],
    }
    write_json(run / "summary.json", summary)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
