"""The control loop on one page: observe -> act -> override -> guard -> step -> record."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from actor.attention import Policy
from actor.human import Channel, Override
from actor.remarks import Heard, Listener, labelled
from actor.watchdog import Heart, Unwatched
from envs.guard import Guard, Verdict
from envs.gym_env import GymEnv
from envs.workcell import NotReadyError, WorkcellEnv
from wire.types import Action, Observation, Source, Step

log = logging.getLogger(__name__)

CellEnv = WorkcellEnv | GymEnv
RESET_S = 60.0
"""How long a reset may take; the watchdog holds the robot in a longer one."""
_AGAIN_S = 1.0
UNWATCHED = Unwatched()


class Pace(Protocol):
    """Decides when the next control period begins."""

    def begin(self) -> None:
        """Start an episode."""
        ...

    def wait(self) -> None:
        """Wait for the next control period."""
        ...


@dataclass(frozen=True)
class Choice:
    """Who wanted what in one control period, and what the guard made of it."""

    observation: Observation
    wanted: Action | None
    """By the policy; None where a person did not wait for it."""
    version: int
    override: Override | None
    verdict: Verdict
    stamps: dict[str, float]
    """Those of the step."""


def run_episode(
    env: CellEnv,
    policy: Policy,
    human: Channel,
    guard: Guard,
    pace: Pace,
    record: Callable[[Step], None],
    *,
    episode: int,
    seed: int,
    stopped: Callable[[], bool],
    end: Callable[[], None] = lambda: None,
    heart: Heart = UNWATCHED,
    confirm_s: float = 0.0,
) -> bool:
    """Run one episode and record each of its steps.

    Args:
        env: The cell and its task.
        policy: What acts, unless the human does.
        human: Who may take over, and who may label the episode, pause it, or want no more.
        guard: What every action passes.
        pace: When each control period begins.
        record: Takes the finished steps, in order; must not block.
        episode: Number of the episode in the stream.
        seed: Decides what is random in the reset.
        stopped: Whether to end the episode before its time.
        end: Told that the person wants no more; `stopped` shall say so from then on.
        heart: What the watchdog listens to.
        confirm_s: How long a person may contradict the success that a reward model claims.

    Returns:
        Whether the episode succeeded. However it ends, the robot holds.
    """
    observation = _begin(env, heart, seed, stopped)
    if observation is None:
        return False
    guard.reset()
    policy.reset()
    human.begin_episode(episode)
    listener = Listener(human, env, heart, stopped=stopped, end=end)
    if listener.attend().paused:
        observation = listener.look_again(observation)
    pace.begin()
    t, success, holding = 0, False, False
    while not (stopped() or stopped_from_outside(env, heart)):
        heart.beat()
        choice = choose(env, policy, human, guard, observation)
        began_s = time.monotonic()
        result = env.step(choice.verdict.action)
        choice.stamps["env_s"] = time.monotonic() - began_s
        human.executed(choice.verdict.action)
        heard = listener.attend()
        step = _step(env, human, guard, heart, choice, result, heard, episode=episode, t=t)
        if step.success and step.claimed and confirm_s > 0:
            step = labelled(step, listener.hear_out(confirm_s), result[0])
        record(step)
        if step.held or step.source is not Source.POLICY:
            policy.reset()
        if choice.verdict.held and not holding:
            log.warning("the robot holds: episode=%d t=%d reason=%s", episode, t, choice.verdict.reason)
        holding = choice.verdict.held
        pace.wait()
        if step.ended:
            success = step.success
            break
        observation, t = result[0], t + 1
        if heard.paused:
            observation = listener.look_again(observation)
            guard.apply(None)  # It stands still, and its gripper is as it was.
            pace.begin()
    env.hold()
    heart.rest()
    return success


def _begin(env: CellEnv, heart: Heart, seed: int, stopped: Callable[[], bool]) -> Observation | None:
    """The first observation, as soon as the cell is ready; None where it was stopped before."""
    said = ""
    while True:
        heart.begin(RESET_S)
        try:
            return env.reset(seed=seed)[0]
        except NotReadyError as error:
            heart.rest()
            if str(error) != said:
                log.error("%s; the robot holds until that is mended", error)
                said = str(error)
            if stopped():
                return None
            time.sleep(_AGAIN_S)


def choose(env: CellEnv, policy: Policy, human: Channel, guard: Guard, observation: Observation) -> Choice:
    """Ask the policy, then the person, then the guard; a robot that must not do what they want holds at once."""
    began_s = time.monotonic()
    wanted, version = policy.act(observation)
    acted_s = time.monotonic()
    override = human.poll()
    if wanted is None and env.ticker is not None:
        # Nobody waited for the policy, so what it was shown is of the past, and no ground to hold a person back.
        observation = env.look_again()
    verdict = guard.apply(wanted if override is None else override.action, env.target_position(), env.vitals())
    if verdict.held:
        env.hold()
    guarded_s = time.monotonic()
    stamps = {"monotonic": began_s, "act_s": acted_s - began_s, "guard_s": guarded_s - acted_s}
    return Choice(observation, wanted, version, override, verdict, stamps)


def _step(
    env: CellEnv,
    human: Channel,
    guard: Guard,
    heart: Heart,
    choice: Choice,
    result: tuple[Observation, Any, bool, bool, dict[str, Any]],
    heard: Heard,
    *,
    episode: int,
    t: int,
) -> Step:
    """The record of a control period. What was not carried out as recorded, or ended unseen, is marked as held."""
    after, reward, terminated, truncated, info = result
    ended = terminated or truncated
    taken_over = human.touched() if choice.override is None else human.lost()
    if taken_over:
        env.hold()
    # What comes after a pause is no consequence of this step.
    broken = taken_over or (heard.paused and heard.label is None)
    broken = broken or stopped_from_outside(env, heart) or (ended and guard.stale(env.vitals()) is not None)
    wanted = choice.wanted
    step = Step(
        episode=episode,
        t=t,
        observation=choice.observation,
        action=choice.verdict.action,
        # What is no finite vector was refused by the guard, and no archive takes it.
        policy_action=wanted if wanted is not None and env.wire_spec.action_problem(wanted) is None else None,
        source=Source.POLICY if choice.override is None else choice.override.source,
        reward=float(reward),
        terminated=terminated,
        truncated=truncated,
        success=info["success"],
        final_observation=after if ended else None,
        weights_version=choice.version,
        held=choice.verdict.held or broken,
        reward_by=info.get("reward_by", ""),
        stamps=choice.stamps,
    )
    return labelled(step, heard.label, after)


def stopped_from_outside(env: CellEnv, heart: Heart) -> bool:
    """Whether a watchdog, or the cell itself, has stopped the robot for the rest of the episode."""
    return heart.tripped() or env.halted() != ""
