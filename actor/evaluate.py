"""Judge a run's final policy on fresh episodes, alone: no exploration, no human, every action guarded."""

import json
import logging
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from actor.attention import Attention
from actor.config import EvalConfig
from actor.human import Nobody
from actor.loop import RESET_S, UNWATCHED, CellEnv, stopped_from_outside
from actor.policy import PolicySlot
from actor.priority import first_in_line
from actor.watchdog import Heart, watched
from envs.guard import Guard
from envs.make import make_env
from envs.pictures import write_video
from networks.architecture import ArchitectureError
from networks.config import RUN_TRUNK
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.statistics import wilson_interval
from wire.store import StepStore
from wire.weights import WeightsRefused

log = logging.getLogger(__name__)

_POLICY_FILE = "policy.weights"
_ARCHIVE_FILE = "steps.sqlite"


@dataclass(frozen=True)
class EpisodeScore:
    """One evaluation episode."""

    success: bool
    steps: int
    episode_return: float


def evaluate(config: EvalConfig) -> int:
    """Run the episodes, print the verdict and write `eval.json` beside the policy."""
    env = make_env(config.env)
    console = Console()
    try:
        policy = load_run(Path(config.run), env)
        frames: list[np.ndarray] = []
        scores = []
        with watched(env.stopper) as heart, first_in_line() if config.env.in_real_time else nullcontext():
            env.pause = Attention(Nobody(), heart).pause
            for i in track(range(config.episodes), "evaluating", console=console, transient=True):
                film = frames if config.video is not None and i < config.video_episodes else None
                scores.append(run_alone(env, policy, seed=config.seed + i, frames=film, heart=heart))
    finally:
        env.close()
    facts = report(scores, env.wire_spec.rate_hz)
    (Path(config.run) / "eval.json").write_text(json.dumps(facts, indent=2) + "\n")
    console.print(headline(facts), highlight=False, markup=False, soft_wrap=True)
    if config.video is not None:
        write_video(Path(config.video), frames, env.wire_spec.rate_hz)
        console.print(f"video: {config.video}", highlight=False, markup=False, soft_wrap=True)
    return 0


def run_alone(
    env: CellEnv,
    policy: PolicySlot,
    *,
    seed: int,
    frames: list[np.ndarray] | None = None,
    heart: Heart = UNWATCHED,
) -> EpisodeScore:
    """One episode of the deterministic policy; pictures for people are appended to `frames`."""
    guard = Guard(env.limits)
    heart.begin(RESET_S)
    observation, _ = env.reset(seed=seed)
    policy.reset()
    steps, episode_return, success, ended = 0, 0.0, False, False
    while not (ended or stopped_from_outside(env, heart)):
        heart.beat()
        if frames is not None and (picture := env.render()) is not None:
            frames.append(picture)
        action, _ = policy.act(observation, explore=False)
        verdict = guard.apply(action, env.target_position(), env.vitals())
        if verdict.held:
            env.hold()
        observation, reward, terminated, truncated, info = env.step(verdict.action)
        steps, episode_return = steps + 1, episode_return + float(reward)
        success, ended = bool(info["success"]), terminated or truncated
    env.hold()
    heart.rest()
    return EpisodeScore(success, steps, episode_return)


def report(scores: list[EpisodeScore], rate_hz: float) -> dict:
    """The facts of eval.json."""
    successes = [score for score in scores if score.success]
    mean_steps = float(np.mean([score.steps for score in successes])) if successes else float("nan")
    return {
        "episodes": len(scores),
        "successes": len(successes),
        "rate": len(successes) / len(scores),
        "ci95": list(wilson_interval(len(successes), len(scores))),
        "mean_steps": mean_steps if successes else None,
        "cycle_s": mean_steps / rate_hz if successes else None,
        "mean_return": float(np.mean([score.episode_return for score in scores])),
    }


def headline(facts: dict) -> str:
    """The facts of eval.json in one line, for people."""
    low, high = facts["ci95"]
    text = f"success {facts['rate']:.1%} of {facts['episodes']} episodes (95 % interval {low:.1%} to {high:.1%})"
    if not facts["successes"]:
        return text
    return f"{text}, {facts['mean_steps']:.1f} steps a success = {facts['cycle_s']:.2f} s"


def load_run(run: Path, env: CellEnv) -> PolicySlot:
    """The policy that a run ended with, ready to act in `env`; raises UserError where there is none, or it cannot."""
    path = run / _POLICY_FILE
    if not path.exists():
        raise UserError(f"there is no policy in {run} ({_POLICY_FILE} is missing); check run=<folder>")
    return load_policy(path, run, env)


def load_policy(path: Path, run: Path, env: CellEnv) -> PolicySlot:
    """A policy of a run, ready to act in `env`; raises UserError where it cannot."""
    policy = PolicySlot(env.wire_spec, trunk_file=run / RUN_TRUNK)
    try:
        policy.load(path.read_bytes(), trained_in=_trained_in(run, env.wire_spec))
    except (WeightsRefused, ArchitectureError) as error:
        raise UserError(
            f"the policy in {run} cannot run in this environment ({env.wire_spec.task}, "
            f"{', '.join(env.wire_spec.observation)}): {error}; set task, obs and env as the run had them"
        ) from error
    return policy


def _trained_in(run: Path, here: EnvSpec) -> EnvSpec:
    """The spec that a run's policy was trained for; it must sense and act as here: a robot for its simulation, say."""
    archive = run / _ARCHIVE_FILE
    if not archive.exists():
        return here
    with StepStore.read(archive) as store:
        trained = store.spec
    if lines := here.policy_differences(trained):
        raise WeightsRefused(f"this environment (here) and that of the run (there) differ: {'; '.join(lines)}")
    return trained
