"""The conformance kit: one function that any environment of ours must pass, simulated, real or foreign.

Run it on a factory: `check_env(lambda: make_env(EnvConfig(task="reach")))`. Each failure states the law, then the case.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from envs.guard import Guard
from wire.specs import ArraySpec
from wire.types import Action, Observation

SPEC_AND_SPACES = "wire_spec, the spaces and the limits must describe the same arrays."
OBSERVATION_FITS = "every observation must fit wire_spec and hold finite numbers only."
REWARD_IS_FINITE = "a reward must be a finite float."
FLAGS_ARE_BOOLS = "terminated, truncated and info['success'] must be bools, in every step."
ENDS_EXCLUDE = "terminated and truncated must exclude each other: value follows after the second only."
FRESH_ARRAYS = "an observation must not change after it was handed out."
SEED_DECIDES = "reset(seed) must decide everything: same seed and actions, same bits, on a used environment too."
SEED_DECIDES_START = "reset(seed) must decide the start: same seed, same first observation, on a used environment too."
TIME_LIMIT = "an episode must be truncated at max_episode_steps, not before and not after."
SUCCESS_ENDS = "success must terminate the episode."
VITALS_ARE_SOUND = "right after a reset nothing may be halted, no sense stale, and ages must be finite and >= 0."
HOLD_IS_STILL = "after hold() the tool must stay where it is."
RESTARTS = "reset() must start a new episode after the last has ended, without a seed too."
CLOSES_TWICE = "close() must be safe to call twice."
EXPERT_SUCCEEDS = "the expert, where there is one, must succeed through the guard."

Rollout = list[tuple[Observation, float, bool, bool, dict[str, Any]]]


class ContractBrokenError(AssertionError):
    """An environment breaks a law of the contract."""

    def __init__(self, law: str, case: object) -> None:
        super().__init__(f"{law} Got: {case}")


def check_env(make_env: Callable[[], Any], *, seed: int = 7, steps: int = 12) -> None:
    """Raise ContractBrokenError unless the environments that `make_env` builds keep every law.

    Args:
        make_env: Builds an environment; called twice.
        seed: Of the random actions and resets.
        steps: Length of the rollouts that compare bits.
    """
    env, other = make_env(), make_env()
    try:
        _check_spec(env)
        _check_vitals(env, seed)
        _check_seeding(env, other, seed, steps)
        _check_time_limit(env, seed)
        _check_hold(env, seed)
        _check_expert(env, seed)
    finally:
        for opened in (env, other):
            opened.close()
    try:
        env.close()
    except Exception as error:
        raise ContractBrokenError(CLOSES_TWICE, repr(error)) from error


def _require(law: str, holds: bool, case: object) -> None:
    if not holds:
        raise ContractBrokenError(law, case)


def _check_spec(env: Any) -> None:
    spec, spaces = env.wire_spec, env.observation_space.spaces
    _require(SPEC_AND_SPACES, spec.observation.keys() == spaces.keys(), f"{[*spec.observation]} and {[*spaces]}")
    for name, array in (*spec.observation.items(), ("action", spec.action)):
        space = env.action_space if name == "action" else spaces[name]
        _require(SPEC_AND_SPACES, _same(array, space), f"{name}: {array} and {space}")
    dims = {spec.action.shape[0], len(env.limits.low), len(spec.action_names)}
    _require(SPEC_AND_SPACES, len(dims) == 1, f"{spec.action}, {env.limits}, {spec.action_names}")
    _require(SPEC_AND_SPACES, env.limits.rate_hz == spec.rate_hz, f"{env.limits.rate_hz} and {spec.rate_hz} Hz")


def _same(spec: ArraySpec, space: Any) -> bool:
    return tuple(space.shape) == tuple(spec.shape) and space.dtype == np.dtype(spec.dtype)


def _check_vitals(env: Any, seed: int) -> None:
    env.reset(seed=seed)
    vitals, halted = env.vitals(), env.halted()
    still = np.array([0.0 if hold is None else hold for hold in env.limits.hold], np.float32)
    verdict = Guard(env.limits).apply(still, env.target_position(), vitals)
    sound = all(0.0 <= age_s < np.inf for age_s in vitals.ages_s.values())
    _require(VITALS_ARE_SOUND, halted == "" and sound and not verdict.held, (halted, vitals, verdict.reason))


def _check_seeding(env: Any, other: Any, seed: int, steps: int) -> None:
    first = _rollout(env, seed, steps)
    _rollout(env, seed + 1, steps)
    # In real time a command takes effect a little earlier or later, so that only the start can be the same.
    law, compared = (SEED_DECIDES, None) if env.ticker is None else (SEED_DECIDES_START, 1)
    for name, again in (("another one", _rollout(other, seed, steps)), ("a used one", _rollout(env, seed, steps))):
        _require(law, len(first) == len(again), f"{name}: {len(first)} and {len(again)} steps")
        for t, (a, b) in enumerate(zip(first[:compared], again[:compared], strict=True)):
            _require(law, _equal(a[0], b[0]) and a[1:4] == b[1:4], f"{name} differs at step {t}")


def _copy(observation: Observation) -> Observation:
    return {name: array.copy() for name, array in observation.items()}


def _equal(a: Observation, b: Observation) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def _check_time_limit(env: Any, seed: int) -> None:
    limit = env.wire_spec.max_episode_steps
    if limit:
        env.reset(seed=seed)
        still = np.array([0.0 if hold is None else hold for hold in env.limits.hold], np.float32)
        ends = [step[2:4] for step in _steps(env, iter([still] * (limit + 1)))]
        whole = ends[-1][0] or len(ends) == limit
        _require(TIME_LIMIT, whole and any(ends[-1]), f"{len(ends)} of {limit} steps, the last {ends[-1]}")
    env.reset(seed=seed)
    observation, _ = env.reset()
    problem = env.wire_spec.observation_problem(observation)
    _require(RESTARTS, problem is None, problem)


def _check_hold(env: Any, seed: int) -> None:
    env.reset(seed=seed)
    if env.target_position() is None:
        return
    moving = np.array([1.0, 0.5, -0.5, *[0.0] * (env.wire_spec.action.shape[0] - 3)], np.float32)
    _steps(env, iter([moving] * 3))
    env.hold()
    stood = env.target_position()
    env.hold()
    _require(HOLD_IS_STILL, np.array_equal(stood, env.target_position()), "a target that moves with each hold()")


def _check_expert(env: Any, seed: int, episodes: int = 5) -> None:
    try:
        expert = env.expert(np.random.default_rng(seed))
    except ValueError:
        return
    won = 0
    for episode in range(episodes):
        env.reset(seed=seed + episode)
        expert.begin_episode()
        won += _steps(env, (expert.propose() for _ in itertools.count()))[-1][4]["success"]
    _require(EXPERT_SUCCEEDS, won >= 0.8 * episodes, f"{won} of {episodes} episodes")


def _rollout(env: Any, seed: int, steps: int) -> Rollout:
    """Random actions after a seeded reset; its observation comes first, as a step of its own."""
    observation, info = env.reset(seed=seed)
    problem = env.wire_spec.observation_problem(observation)
    _require(OBSERVATION_FITS, problem is None, problem)
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1.0, 1.0, (steps, *env.wire_spec.action.shape)).astype(np.float32)
    kept = _copy(observation)
    taken = _steps(env, iter(actions))
    _require(FRESH_ARRAYS, _equal(observation, kept), "the first observation changed")
    return [(observation, 0.0, False, False, info), *taken]


def _steps(env: Any, actions: Iterator[Action]) -> Rollout:
    """Guarded steps until the actions or the episode end, each judged by the laws of a single step."""
    guard, taken, kept = Guard(env.limits), [], []
    for action in actions:
        step = env.step(guard.apply(action, env.target_position()).action)
        _check_step(env, step)
        taken.append(step)
        kept.append(_copy(step[0]))
        if step[2] or step[3]:
            break
    _require(FRESH_ARRAYS, all(map(_equal, (step[0] for step in taken), kept)), "a later observation changed")
    return taken


def _check_step(env: Any, step: tuple[Observation, float, bool, bool, dict[str, Any]]) -> None:
    observation, reward, terminated, truncated, info = step
    problem = env.wire_spec.observation_problem(observation)
    _require(OBSERVATION_FITS, problem is None, problem)
    _require(REWARD_IS_FINITE, isinstance(reward, float) and bool(np.isfinite(reward)), repr(reward))
    flags = terminated, truncated, info.get("success")
    _require(FLAGS_ARE_BOOLS, all(isinstance(flag, bool) for flag in flags), flags)
    _require(ENDS_EXCLUDE, not (terminated and truncated), flags)
    # Foreign environments may report success and go on.
    _require(SUCCESS_ENDS, terminated or not info["success"] or env.wire_spec.env == "gym", flags)
