"""Record demonstrations by a task's scripted expert: successful episodes only, in the format of every archive."""

import logging
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from actor.config import DemosConfig
from actor.loop import CellEnv
from envs.experts import Expert
from envs.guard import Guard
from envs.make import make_env
from wire.errors import UserError
from wire.store import StepStore
from wire.types import Source, Step, new_stream_id

log = logging.getLogger(__name__)

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
        with StepStore.open(part, env.wire_spec, {"kind": "demonstrations", "noise": str(config.noise)}) as store:
            tries = _record_episodes(config, env, expert, store, console)
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


def _record_episodes(config: DemosConfig, env: CellEnv, expert: Expert, store: StepStore, console: Console) -> int:
    stream, seq, kept, tries = new_stream_id(), 0, 0, 0
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("recording demonstrations", total=config.episodes)
        while kept < config.episodes:
            if tries >= _MAX_TRIES * config.episodes:
                raise UserError(f"the expert succeeded in {kept} of {tries} episodes only; lower noise=")
            seed = int(np.random.SeedSequence([config.seed, 3, tries]).generate_state(1)[0])
            steps = demonstrate(env, expert, episode=kept, seed=seed)
            tries += 1
            if not steps[-1].success:
                continue
            for step in steps:
                seq += 1
                store.insert(stream, seq, step)
            store.commit()
            kept += 1
            bar.advance(task)
    return tries


def demonstrate(env: CellEnv, expert: Expert, *, episode: int, seed: int) -> list[Step]:
    """One episode driven by the expert, every action guarded."""
    guard = Guard(env.limits)
    observation, _ = env.reset(seed=seed)
    expert.begin_episode()
    steps: list[Step] = []
    while True:
        verdict = guard.apply(expert.propose(), env.target_position())
        after, reward, terminated, truncated, info = env.step(verdict.action)
        ended = terminated or truncated
        steps.append(
            Step(
                episode=episode,
                t=len(steps),
                observation=observation,
                action=verdict.action,
                source=Source.DEMO,
                reward=float(reward),
                terminated=terminated,
                truncated=truncated,
                success=info["success"],
                final_observation=after if ended else None,
                held=verdict.held,
            )
        )
        if ended:
            return steps
        observation = after
