"""Judge a run's final policy on fresh episodes, alone: no human, every action guarded, exploration on request only."""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

_HALTS = 3
"""So often in a row an episode is tried again; what halts a robot more often than that does not go away by itself."""


@dataclass(frozen=True)
class EpisodeScore:
    """One evaluation episode."""

    success: bool
    steps: int
    episode_return: float
    halted: str = ""
    """Why it says nothing of the policy: something else than the task ended it, or its end was not seen; else empty."""


Attempt = Callable[[int, list[np.ndarray] | None], EpisodeScore]
"""Runs an episode from a seed, and films it where it is given a list for the pictures."""


@dataclass
class _Judged:
    """What is known so far: the end of an evaluation, whatever it is, does not take it back."""

    scores: list[EpisodeScore] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)
    rate_hz: float = 1.0
    facts: dict[str, Any] = field(default_factory=dict)
    """Of whoever acted, for eval.json."""


def evaluate(config: EvalConfig) -> int:
    """Run the episodes, print the verdict and write `eval.json` beside the policy.

    An evaluation that ends early prints and writes what it has judged until then.

    Raises:
        UserError: A file cannot be written; or the policy, the cell or what halts the robot lets no episode end.
    """
    console = Console()
    out = Path(config.run) / "eval.json" if config.json is None and config.run is not None else config.json
    for key, path in (("json", out), ("video", config.video)):
        if path is not None:
            _require_place(key, Path(path))
    judged = _Judged()
    try:
        _judge(config, judged, console)
    finally:
        if judged.scores:
            _tell(config, judged, None if out is None else Path(out), console)
    return 0


def _require_place(key: str, path: Path) -> None:
    """Make the folder of a file that is written after the last episode, or say now that it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder of {key}={path}: {error.strerror}; name another file") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        why = "it is a folder" if path.is_dir() else "its folder is not yours to write in"
        raise UserError(f"cannot write {key}={path}: {why}; name another file")


def _judge(config: EvalConfig, judged: _Judged, console: Console) -> None:
    with contextlib.ExitStack() as leaving:
        env = make_env(config.env)
        leaving.callback(env.close)
        policy = leaving.enter_context(_driver(config, env))
        heart = leaving.enter_context(watched(env.stopper))
        if config.env.in_real_time:
            leaving.enter_context(first_in_line())
        attention = Attention(Nobody(), heart)
        env.pause = attention.pause
        judged.rate_hz = env.wire_spec.rate_hz
        mind: Policy = policy
        if isinstance(policy, ExternalPolicy):
            judged.facts = {"policy": policy.name, "steer": config.external.steer if config.external else None}
            if env.ticker is not None:
                # Nothing may be waited for in the loop's own thread, whose heart would not beat meanwhile.
                mind = leaving.enter_context(contextlib.closing(BackgroundPolicy(policy, attention)))

        def attempt(seed: int, frames: list[np.ndarray] | None) -> EpisodeScore:
            score = run_alone(env, mind, seed=seed, frames=frames, heart=heart, given_up=lambda: policy.trouble)
            if policy.trouble:
                raise UserError(policy.trouble)
            return score

        judge_episodes(config, judged.scores, judged.frames, attempt, console)


def judge_episodes(
    config: EvalConfig,
    scores: list[EpisodeScore],
    frames: list[np.ndarray],
    attempt: Attempt,
    console: Console,
) -> None:
    """Judge one episode after the other; one that was halted is tried again, for it says nothing of the policy.

    Args:
        config: How many, from which seed, and how many of them are filmed.
        scores: Each is appended as soon as it is known.
        frames: The pictures of those filmed.
        attempt: Runs one.
        console: Shows how far it is.

    Raises:
        UserError: An episode could not be judged; the text says how many were.
    """
    for i in track(range(config.episodes), "evaluating", console=console, transient=True):
        film: list[np.ndarray] | None = [] if config.video is not None and i < config.video_episodes else None
        try:
            scores.append(_unhalted(i, config.seed + i, film, attempt))
        except UserError as error:
            raise UserError(f"{error}; {i} of {config.episodes} episodes were judged") from error
        frames.extend(film or ())


def _unhalted(
    episode: int,
    seed: int,
    film: list[np.ndarray] | None,
    attempt: Attempt,
) -> EpisodeScore:
    why = ""
    for _ in range(_HALTS):
        if film is not None:
            film.clear()
        score = attempt(seed, film)
        if not score.halted:
            return score
        why = score.halted
        log.error("episode %d was halted and does not count: %s", episode, why)
    raise UserError(f"episode {episode} was halted {_HALTS} times in a row ({why}); mend that and evaluate again")


def _tell(config: EvalConfig, judged: _Judged, out: Path | None, console: Console) -> None:
    """The verdict to people first, so that no disk can keep it from them; then the files."""
    facts = report(judged.scores, judged.rate_hz) | judged.facts
    console.print(headline(facts), highlight=False, markup=False, soft_wrap=True)
    if out is not None:
        try:
            write_atomically(out, (json.dumps(facts, indent=2) + "\n").encode())
        except OSError as error:
            raise UserError(f"cannot write {out}: {error.strerror}; the verdict stands above") from error
    if config.video is not None:
        write_video(Path(config.video), judged.frames, judged.rate_hz)
        console.print(f"video: {config.video}", highlight=False, markup=False, soft_wrap=True)


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

    It ends early where the policy has `given_up`, or where a watchdog or the cell has halted the robot, which the score
    then says; in a period for which the policy has no action the robot holds.
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
    halted = "" if given_up() else _halted(env, heart, guard, ended=ended)
    env.hold()
    heart.rest()
    return EpisodeScore(success, steps, episode_return, halted)


def _halted(env: CellEnv, heart: Heart, guard: Guard, *, ended: bool) -> str:
    """Why an episode says nothing of its policy; empty where the task has ended it and saw what it judged."""
    if stopped_from_outside(env, heart):
        return env.halted() or "the watchdog held the robot"
    return (guard.stale(env.vitals()) or "") if ended else ""


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
