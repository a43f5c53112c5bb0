"""Record demonstrations by a task's scripted expert: successful episodes only, in the format of every archive."""

import contextlib
import logging
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from actor.attention import Attention
from actor.config import DemosConfig
from actor.human import Nobody, Override, Silent
from actor.judging import judged
from actor.loop import UNWATCHED, CellEnv, run_episode
from actor.pacing import CellPace
from actor.watchdog import Heart, watched
from envs.experts import Expert
from envs.guard import Guard
from envs.make import make_env
from wire.errors import UserError
from wire.store import StepStore
from wire.types import Observation, Source, Step, new_stream_id

log = logging.getLogger(__name__)

_SCORE_S = 5.0
_MAX_TRIES = 20
"""Episodes per wanted success before we say that the expert cannot do it."""


def record(config: DemosConfig) -> int:
    """Record until enough episodes succeeded."""
    path = Path(config.out)
    if path.exists():
        raise UserError(f"{path} exists already; name another file, or move it away")
    env = make_env(config.env)
    console = Console()
    # Half a set of demonstrations is not what was asked for: the file gets its name when it is whole.
    part = path.with_name(path.name + ".part")
    _remove(part)
    try:
        rng = np.random.default_rng([config.seed, 2])
        expert = env.expert(rng, config.noise)
        facts = {"kind": "demonstrations", "noise": str(config.noise)}
        wait_s = 0.0 if config.env.in_real_time else _SCORE_S
        with contextlib.ExitStack() as stack:
            # Before the file, whose spec names the reward.
            stack.enter_context(judged(env, config.judge, wait_s=wait_s))
            store = stack.enter_context(StepStore.open(part, env.wire_spec, facts))
            heart = stack.enter_context(watched(env.stopper))
            env.pause = Attention(Nobody(), heart).pause
            tries = _record_episodes(config, env, expert, store, console, heart)
        part.replace(path)
    finally:
        _remove(part)
        env.close()
    text = f"{config.episodes} demonstrations from {tries} tries in {path}"
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    return 0


def _remove(part: Path) -> None:
    """Remove an unfinished file and what SQLite and the writer's lock keep beside it."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        part.with_name(part.name + suffix).unlink(missing_ok=True)


def _record_episodes(
    config: DemosConfig, env: CellEnv, expert: Expert, store: StepStore, console: Console, heart: Heart
) -> int:
    stream, seq, kept, tries = new_stream_id(), 0, 0, 0
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("recording demonstrations", total=config.episodes)
        while kept < config.episodes:
            if tries >= _MAX_TRIES * config.episodes:
                raise UserError(f"the expert succeeded in {kept} of {tries} episodes only; lower noise=")
            seed = int(np.random.SeedSequence([config.seed, 3, tries]).generate_state(1)[0])
            steps = demonstrate(env, expert, heart, episode=kept, seed=seed)
            tries += 1
            if not (steps and steps[-1].success):
                continue
            for step in steps:
                seq += 1
                store.insert(stream, seq, step)
            store.commit()
            kept += 1
            bar.advance(task)
    return tries


class _Demonstrator(Silent):
    """The expert at the place of a person who never lets go."""

    def __init__(self, expert: Expert) -> None:
        self._expert = expert

    def begin_episode(self, episode: int) -> None:
        self._expert.begin_episode()

    def poll(self) -> Override:
        return Override(self._expert.propose(), Source.DEMO)

    def touched(self) -> bool:
        return True


class _NoPolicy:
    def reset(self) -> None:
        pass

    def act(self, observation: Observation) -> tuple[None, int]:
        return None, 0


def demonstrate(env: CellEnv, expert: Expert, heart: Heart = UNWATCHED, *, episode: int, seed: int) -> list[Step]:
    """One episode driven by the expert, every action guarded."""
    steps: list[Step] = []
    run_episode(
        env,
        _NoPolicy(),
        _Demonstrator(expert),
        Guard(env.limits),
        CellPace(),
        steps.append,
        episode=episode,
        seed=seed,
        stopped=lambda: False,
        heart=heart,
    )
    return steps
