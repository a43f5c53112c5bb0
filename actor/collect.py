"""Collect whole episodes with a run's policy, exploring, into an archive of their own: no learner, no person."""

import logging
from pathlib import Path

from rich.console import Console
from rich.progress import track

from actor.attention import Attention
from actor.config import EpisodesConfig
from actor.human import Nobody
from actor.loop import run_episode
from actor.pacing import CellPace
from actor.runs import load_run
from actor.watchdog import watched
from envs.guard import Guard
from envs.make import make_env
from wire.errors import UserError
from wire.store import StepStore
from wire.types import Step, new_stream_id

log = logging.getLogger(__name__)


def collect(config: EpisodesConfig) -> int:
    """Drive the episodes, every action guarded, and keep each of them, whatever came of it."""
    path = Path(config.out)
    if path.exists():
        raise UserError(f"{path} exists already; name another file, or move it away")
    env = make_env(config.env)
    console = Console()
    successes, stream, seq = 0, new_stream_id(), 0
    try:
        policy = load_run(Path(config.run), env, explores=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {"kind": "collected", "policy": config.run}
        with StepStore.open(path, env.wire_spec, facts) as store, watched(env.stopper) as heart:
            env.pause = Attention(Nobody(), heart).pause
            for episode in track(range(config.episodes), "collecting", console=console, transient=True):
                steps: list[Step] = []
                seed = config.seed + episode
                successes += run_episode(
                    env,
                    policy,
                    Nobody(),
                    Guard(env.limits),
                    CellPace(),
                    steps.append,
                    episode=episode,
                    seed=seed,
                    stopped=lambda: False,
                    heart=heart,
                )
                for step in steps:
                    seq += 1
                    store.insert(stream, seq, step)
                store.commit()
    finally:
        env.close()
    text = f"{config.episodes} episodes, {seq} steps, {successes} successes in {path}"
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    return 0
