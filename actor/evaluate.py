"""Judge a run's final policy on fresh episodes, alone: no human, every action guarded, exploration on request only."""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from actor.attention import Attention, BackgroundPolicy, Policy
from actor.config import EvalConfig
from actor.external import ExternalPolicy, external
from actor.human import Nobody
from actor.loop import RESET_S, UNWATCHED, CellEnv, stopped_from_outside
from actor.policy import PolicySlot
from actor.priority import first_in_line
from actor.runs import load_run
from actor.watchdog import Heart, watched
from envs.guard import Guard
from envs.make import make_env
from envs.pictures import write_video
from wire.errors import UserError
from wire.files import write_atomically
from wire.keys import actor_keys
from wire.statistics import wilson_interval

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpisodeScore:
    """One evaluation episode."""

    success: bool
    steps: int
    episode_return: float


def evaluate(config: EvalConfig) -> int:
    """Run the episodes, print the verdict and write `eval.json` beside the policy."""
    console = Console()
    frames: list[np.ndarray] = []
    with contextlib.ExitStack() as leaving:
        env = make_env(config.env)
        leaving.callback(env.close)
        policy = leaving.enter_context(_driver(config, env))
        heart = leaving.enter_context(watched(env.stopper))
        if config.env.in_real_time:
            leaving.enter_context(first_in_line())
        attention = Attention(Nobody(), heart)
        env.pause = attention.pause
        mind: Policy = policy
        if isinstance(policy, ExternalPolicy) and env.ticker is not None:
            # Nothing may be waited for in the loop's own thread, whose heart would not beat meanwhile.
            mind = leaving.enter_context(contextlib.closing(BackgroundPolicy(policy, attention)))
        scores = _scores(config, env, policy, mind, frames, heart, console)
    facts = report(scores, env.wire_spec.rate_hz)
    if isinstance(policy, ExternalPolicy):
        facts |= {"policy": policy.name, "steer": config.external.steer if config.external else None}
    out = Path(config.run) / "eval.json" if config.json is None and config.run is not None else config.json
    if out is not None:
        write_atomically(Path(out), (json.dumps(facts, indent=2) + "\n").encode())
    console.print(headline(facts), highlight=False, markup=False, soft_wrap=True)
    if config.video is not None:
        write_video(Path(config.video), frames, env.wire_spec.rate_hz)
        console.print(f"video: {config.video}", highlight=False, markup=False, soft_wrap=True)
    return 0


@contextlib.contextmanager
def _driver(config: EvalConfig, env: CellEnv) -> Iterator[PolicySlot | ExternalPolicy]:
    """Whose actions are judged, for the block."""
    if config.external is None:
        yield load_run(Path(str(config.run)), env, explores=config.explore)
        return
    keys = None if config.keys is None else actor_keys(Path(config.keys), config.key)
    link = {"keys": keys, "insecure": config.insecure, "seed": config.seed, "in_real_time": config.env.in_real_time}
    with external(config.external, env.wire_spec, **link) as policy:
        policy.wait()
        yield policy


def _scores(
    config: EvalConfig,
    env: CellEnv,
    policy: PolicySlot | ExternalPolicy,
    mind: Policy,
    frames: list[np.ndarray],
    heart: Heart,
    console: Console,
) -> list[EpisodeScore]:
    scores: list[EpisodeScore] = []
    for i in track(range(config.episodes), "evaluating", console=console, transient=True):
        film = frames if config.video is not None and i < config.video_episodes else None
        score = run_alone(env, mind, seed=config.seed + i, frames=film, heart=heart, given_up=lambda: policy.trouble)
        if policy.trouble:
            raise UserError(f"{policy.trouble}; {i} of {config.episodes} episodes were done, and none is counted")
        scores.append(score)
    return scores


def run_alone(
    env: CellEnv,
    policy: Policy,
    *,
    seed: int,
    frames: list[np.ndarray] | None = None,
    heart: Heart = UNWATCHED,
    given_up: Callable[[], str] = lambda: "",
) -> EpisodeScore:
    """One episode of a policy; pictures for people are appended to `frames`.

    It ends early where the policy has `given_up`; in a period for which it has no action the robot holds.
    """
    guard = Guard(env.limits)
    heart.begin(RESET_S)
    observation, _ = env.reset(seed=seed)
    policy.reset()
    steps, episode_return, success, ended = 0, 0.0, False, False
    while not (ended or stopped_from_outside(env, heart) or given_up()):
        heart.beat()
        if frames is not None and (picture := env.render()) is not None:
            frames.append(picture)
        action, _ = policy.act(observation)
        verdict = guard.apply(action, env.target_position(), env.vitals())
        if verdict.held:
            env.hold()
            policy.reset()
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
