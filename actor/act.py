"""The actor process: sets up the cell, the link and the person, then runs episodes until the learner says stop."""

import contextlib
import itertools
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from actor.attention import Attention, BackgroundPolicy, Overheard, Policy
from actor.config import HANDS, ActorConfig
from actor.external import ExternalPolicy, external
from actor.human import Channel, ScriptedCorrector
from actor.human.make import whoever
from actor.judging import judged, rewarded
from actor.loop import CellEnv, Pace, run_episode
from actor.pacing import CellPace, LearnerPace
from actor.policy import PolicySlot
from actor.priority import first_in_line
from actor.room import wait_for_room, warn_of_shortage
from actor.uplink import Uplink
from actor.watchdog import Heart, watched
from envs.guard import Guard
from envs.make import make_env
from envs.ticker import Ticker
from wire.errors import UserError
from wire.files import write_atomically
from wire.keys import ActorKeys, actor_keys

log = logging.getLogger(__name__)

_FIRST_WEIGHTS_S = 0.2
_FLUSH_S = 3.0
ENDED = 130
"""Exit code where the person said that it is enough, as after Ctrl-C: the run is not over."""
_OVER = ("finished", "refused", "failed")
"""States of the link in which there is no point in going on."""


def act(config: ActorConfig) -> int:
    """Run episodes until the learner ends the run or somebody stops the process; nothing recorded is lost.

    Returns:
        The exit code: 0, or ENDED where the person at the robot wanted no more.
    """
    # Whatever fails, also on the way out, the robot holds and what was recorded reaches the disk.
    with contextlib.ExitStack() as leaving:
        env = make_env(config.env)
        leaving.callback(env.close)
        wait_s = 0.0 if config.in_real_time else config.judge_wait_s
        keys = _keys(config, config.judge)
        leaving.enter_context(judged(env, config.judge, wait_s=wait_s, keys=keys, insecure=config.insecure))
        leaving.enter_context(rewarded(env, config.rewarder))
        policy = leaving.enter_context(_driver(config, env))
        uplink = Uplink(
            config.learner,
            Path(config.outbox),
            env.wire_spec,
            keys=_keys(config, config.learner),
            insecure=config.insecure,
            on_weights=lambda data, version: policy.offer(data),
            cap_bytes=config.outbox_cap_bytes,
        )
        uplink.start()
        leaving.callback(_finish, config, uplink, env)
        warn_of_shortage(env.wire_spec, cap_bytes=config.outbox_cap_bytes, outbox=Path(config.outbox))
        heart = leaving.enter_context(watched(env.stopper))
        leaving.callback(env.hold)
        if config.in_real_time:
            leaving.enter_context(first_in_line())
        return _run(config, env, policy, uplink, heart)


def _keys(config: ActorConfig, address: str | None) -> ActorKeys | None:
    """Those of the link at an address; None where it has none."""
    if config.keys is None or (config.keyed is not None and address not in config.keyed):
        return None
    return actor_keys(Path(config.keys), config.key)


@contextlib.contextmanager
def _driver(config: ActorConfig, env: CellEnv) -> Iterator[PolicySlot | ExternalPolicy]:
    """What drives, for the block: the learner's policy, or one that is served elsewhere."""
    if config.external is None:
        trunk_file = None if config.trunk is None else Path(config.trunk)
        yield PolicySlot(env.wire_spec, seed=config.seed, trunk_file=trunk_file)
        return
    keys = _keys(config, config.external.address)
    link = {"keys": keys, "insecure": config.insecure, "seed": config.seed, "in_real_time": config.in_real_time}
    with external(config.external, env.wire_spec, **link) as policy:
        yield policy


def _finish(config: ActorConfig, uplink: Uplink, env: CellEnv) -> None:
    if not uplink.close(_FLUSH_S):
        log.warning("left with %d steps in %s; they go out next time", uplink.status.unacked, config.outbox)
    _note_production(config, uplink, env.resets)


def _run(config: ActorConfig, env: CellEnv, policy: PolicySlot | ExternalPolicy, uplink: Uplink, heart: Heart) -> int:
    with whoever(config, env) as human:
        return _run_episodes(config, env, policy, human, uplink, heart)


def _run_episodes(
    config: ActorConfig,
    env: CellEnv,
    policy: PolicySlot | ExternalPolicy,
    human: Channel,
    uplink: Uplink,
    heart: Heart,
) -> int:
    clock, pace = _pace(config, env, uplink)
    guard = Guard(env.limits)

    wished = threading.Event()
    """The person wants no more."""

    def stopped() -> bool:
        status = uplink.status
        return status.state in _OVER or status.full or wished.is_set() or bool(policy.trouble)

    hear = human.hear if isinstance(human, ScriptedCorrector) else None
    with _beside_the_loop(env, policy, human, heart) as (mind, human):
        mind = mind if hear is None else Overheard(mind, hear)
        for episode in itertools.count(uplink.next_episode):
            wait_for_room(lambda: uplink.status, env.hold, _OVER)
            _wait_for_policy(policy, uplink, config.learner)
            if uplink.status.state in _OVER or wished.is_set():
                break
            # Seed and episode number decide the episode, so a resumed run goes on where an uninterrupted one would be.
            seed = int(np.random.SeedSequence([config.seed, episode]).generate_state(1)[0])
            success = run_episode(
                env,
                mind,
                human,
                guard,
                pace,
                uplink.append,
                episode=episode,
                seed=seed,
                stopped=stopped,
                end=wished.set,
                heart=heart,
                confirm_s=config.confirm_s if config.human in HANDS else 0.0,
            )
            if heart.tripped() or env.halted():
                log.error("episode %d ended early: %s", episode, env.halted() or "the watchdog held the robot")
            elif policy.trouble:
                log.error("episode %d ended early: %s", episode, policy.trouble)
            log.info(
                "episode %d: success=%s weights=%d unacked=%d overruns=%d",
                episode,
                success,
                policy.version,
                uplink.status.unacked,
                clock.overruns,
            )
    status = uplink.status
    log.info("stopped: state=%s detail=%s", status.state, status.detail)
    if status.state in ("refused", "failed"):
        raise UserError(status.detail)
    return ENDED if wished.is_set() else 0


@contextlib.contextmanager
def _beside_the_loop(env: CellEnv, policy: Policy, human: Channel, heart: Heart) -> Iterator[tuple[Policy, Channel]]:
    """Policy and person for a robot that moves on while we think: the policy in a thread, which ends with the block."""
    if env.ticker is None:
        yield policy, human
        return
    attention = Attention(human, heart)
    env.pause = attention.pause
    with contextlib.closing(BackgroundPolicy(policy, attention)) as mind:
        yield mind, attention


def _pace(config: ActorConfig, env: CellEnv, uplink: Uplink) -> tuple[Ticker, Pace]:
    """What counts the control periods, and what the loop waits for after each."""
    if env.ticker is not None:
        return env.ticker, CellPace()
    rate_hz = env.wire_spec.rate_hz
    clock = Ticker(rate_hz)
    if config.pace == "clock":
        return clock, clock
    return clock, LearnerPace(lambda: uplink.status, config.max_lead_steps, rate_hz)


def _wait_for_policy(policy: PolicySlot | ExternalPolicy, uplink: Uplink, learner: str) -> None:
    """Hold the robot until there is a policy, saying what is missing; there is no hurry and no giving up."""
    if isinstance(policy, ExternalPolicy):
        policy.wait(lambda: uplink.status.state in _OVER)
        return
    said = ""
    while not policy.wait(_FIRST_WEIGHTS_S):
        status = uplink.status
        if status.state in _OVER:
            return
        text = (
            f"waiting for weights from {learner}: {status.state}, {policy.refusal or status.detail or 'no weights yet'}"
        )
        if text != said:
            log.warning("%s; the robot holds", text)
            said = text


def _note_production(config: ActorConfig, uplink: Uplink, resets: int) -> None:
    """Leave the number of steps and of resets, of earlier processes too, beside the outbox, for the run's summary."""
    status, path = uplink.status, Path(config.outbox).with_suffix(".json")
    facts = {"stream": uplink.stream, "produced": status.appended, "unacked": status.unacked, "refused": status.refused}
    facts["resets"] = resets + _earlier_resets(path, uplink.stream)
    write_atomically(path, (json.dumps(facts) + "\n").encode())


def _earlier_resets(path: Path, stream: str) -> int:
    """Those that earlier processes with this outbox left there."""
    try:
        earlier = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return 0
    same = isinstance(earlier, dict) and earlier.get("stream") == stream
    return int(earlier.get("resets", 0)) if same else 0
