"""The control loop on one page: observe -> act -> override -> guard -> step -> record."""

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from actor.human import Channel
from actor.policy import PolicySlot
from envs.guard import Guard
from envs.gym_env import GymEnv
from envs.workcell import WorkcellEnv
from wire.types import Source, Step

CellEnv = WorkcellEnv | GymEnv


class Pace(Protocol):
    """Decides when the next control period begins."""

    def begin(self) -> None:
        """Start an episode."""
        ...

    def wait(self) -> None:
        """Wait for the next control period."""
        ...


def run_episode(
    env: CellEnv,
    policy: PolicySlot,
    human: Channel,
    guard: Guard,
    pace: Pace,
    record: Callable[[Step], None],
    *,
    episode: int,
    seed: int,
    stopped: Callable[[], bool],
) -> bool:
    """Run one episode and record each of its steps.

    Args:
        env: The cell and its task.
        policy: What acts, unless the human does.
        human: Who may take over.
        guard: What every action passes.
        pace: When each control period begins.
        record: Takes the finished steps, in order; must not block.
        episode: Number of the episode in the stream.
        seed: Decides what is random in the reset.
        stopped: Whether to end the episode before its time; the robot then holds.

    Returns:
        Whether the episode succeeded.
    """
    observation, _ = env.reset(seed=seed)
    guard.reset()
    human.begin_episode(episode)
    pace.begin()
    t = 0
    while not stopped():
        began_s = time.monotonic()
        wanted, version = policy.act(observation)
        acted_s = time.monotonic()
        override = human.poll()
        verdict = guard.apply(wanted if override is None else override.action, env.target_position())
        guarded_s = time.monotonic()
        after, reward, terminated, truncated, info = env.step(verdict.action)
        stepped_s = time.monotonic()
        step = Step(
            episode=episode,
            t=t,
            observation=observation,
            action=verdict.action,
            # What is not finite was refused by the guard, and no archive takes it.
            policy_action=wanted if np.isfinite(wanted).all() else None,
            source=Source.POLICY if override is None else override.source,
            reward=float(reward),
            terminated=terminated,
            truncated=truncated,
            success=info["success"],
            final_observation=after if terminated or truncated else None,
            weights_version=version,
            held=verdict.held,
            stamps={
                "monotonic": began_s,
                "act_s": acted_s - began_s,
                "guard_s": guarded_s - acted_s,
                "env_s": stepped_s - guarded_s,
            },
        )
        record(step)
        pace.wait()
        if terminated or truncated:
            return step.success
        observation, t = after, t + 1
    env.hold()
    return False
