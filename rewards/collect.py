"""Frames for a first classifier, before there is a policy or a demonstration: successes, and what looks like them."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from envs.guard import Guard
from envs.judge import Judgement
from envs.make import make_env
from envs.workcell import WorkcellEnv
from rewards.clumsy import Clumsy
from rewards.config import CollectConfig
from wire.errors import UserError
from wire.labels import PROGRESS, Label, append_labels
from wire.store import StepStore
from wire.types import Observation, Source, Step, new_stream_id

log = logging.getLogger(__name__)

_TRIES = 10
"""Episodes per wanted success before we say that the script cannot do it."""


class Lingering:
    """In the place of a reward: lets an episode go on for a few periods after the task's own success."""

    reward = "collecting-1"
    inputs: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    def __init__(self, env: WorkcellEnv[Any], linger: int) -> None:
        self._env = env
        self._linger = linger
        self.begin_episode()

    def begin_episode(self) -> None:
        """Forget the last episode."""
        self.truths: list[bool] = []
        self.progress: list[float] = []

    def judge(self, observation: Any) -> Judgement:
        """Note what the task says; a success, which ends the episode, only when enough frames of it are there."""
        self.truths.append(self._env.task.evaluate(self._env.cell).success)
        self.progress.append(_progress(self._env))
        return Judgement(self.truths[-1] and sum(self.truths) > self._linger, "")


def collect(config: CollectConfig, tell: Callable[[int, int], None] = lambda done, of: None) -> dict[str, int]:
    """Record episodes of a clumsy script until there are enough frames of success; returns what there is.

    What the simulation knows of each state goes beside the archive, as labels.

    Raises:
        UserError: The file exists, or the script hardly ever succeeds.
    """
    path = Path(config.out)
    if path.exists():
        raise UserError(f"{path} exists already; name another file with out=, or move it away")
    env = make_env(config.env)
    assert isinstance(env, WorkcellEnv), "the configuration refuses others"
    try:
        return collect_from(env, config, path, tell=tell)
    finally:
        env.close()


def collect_from(
    env: WorkcellEnv[Any],
    config: CollectConfig,
    path: Path,
    *,
    seeds: Callable[[int], int] | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, int]:
    """`collect` in an environment that is there; `seeds` gives the reset's seed of each try."""
    judge = Lingering(env, config.linger)
    env.judged_by(judge)
    driver = Clumsy(env.expert(np.random.default_rng([config.seed, 8])), np.random.default_rng([config.seed, 9]))
    stream, seq, episode, positives, negatives = new_stream_id(), 0, 0, 0, 0
    # Every task of a simulated cell has these, and the configuration refuses others.
    task: Any = env.task
    seen = {"object": task.object} if config.objects else {}
    spec = msgspec.structs.replace(env.wire_spec, observation={**env.wire_spec.observation, **seen})
    with StepStore.open(path, spec, {"kind": "collected"}) as store:
        while positives < config.positives if config.episodes is None else episode < config.episodes:
            if config.episodes is None and episode >= max(20, _TRIES * config.positives):
                raise UserError(f"{episode} episodes gave {positives} frames of success only; lower positives=")
            seed = int(np.random.SeedSequence([config.seed, 10, episode]).generate_state(1)[0])
            driver.begin_episode("wandering" if config.driver == "random" else None)
            steps = _run(env, driver, episode, seed if seeds is None else seeds(episode), objects=config.objects)
            labels = []
            for step, truth, progress in zip(steps, judge.truths, judge.progress, strict=True):
                seq += 1
                store.insert(stream, seq, step)
                label = Label(stream, seq, float(truth), source="outcome", who=env.task.name)
                labels += [label, label._replace(value=progress, kind=PROGRESS)]
            store.commit()
            append_labels(path, labels)
            episode += 1
            positives += sum(judge.truths)
            negatives += len(judge.truths) - sum(judge.truths)
            if config.episodes is None:
                tell(min(positives, config.positives), config.positives)
            else:
                tell(episode, config.episodes)
    return {"episodes": episode, "positives": positives, "negatives": negatives}


def _progress(env: WorkcellEnv[Any]) -> float:
    """Minus the control periods to success, with the gripper as it had better be; at worst minus a whole episode."""
    still = np.zeros(env.cell.action.shape, np.float32)
    to_go = []
    for gripper in (-1.0, 1.0):
        still[-1] = gripper
        to_go.append(env.task.steps_to_go(env.cell, still))
    return -float(np.clip(min(to_go), 0.0, env.task.max_episode_steps))


def _run(env: WorkcellEnv[Any], driver: Clumsy, episode: int, seed: int, *, objects: bool) -> list[Step]:
    """An episode of a driver that has begun it."""

    def whole(observation: Observation) -> Observation:
        task: Any = env.task
        known = {"object": np.asarray(task.object_state(env.cell), np.float32)} if objects else {}
        return {**observation, **known}

    observation, _ = env.reset(seed=seed)
    observation = whole(observation)
    guard = Guard(env.limits)
    guard.reset()
    steps: list[Step] = []
    while not (steps and steps[-1].ended):
        verdict = guard.apply(driver.propose(), env.target_position(), env.vitals())
        if verdict.held:
            env.hold()
        after, reward, terminated, truncated, info = env.step(verdict.action)
        after = whole(after)
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
                final_observation=after if terminated or truncated else None,
                held=verdict.held,
            )
        )
        observation = after
    return steps
