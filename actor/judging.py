"""An environment whose success a reward service sees, in the task's place."""

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from actor.config import ActorConfig
from actor.loop import CellEnv
from envs.gym_env import GymEnv
from rewards.client import Scorer, ServiceJudge
from rewards.score import ModelError
from wire.keys import actor_keys
from wire.scoring import Serving
from wire.specs import EnvSpec

log = logging.getLogger(__name__)

_REALTIME_LAG = 2
"""Control periods by which a score may be behind on a robot, which waits for none."""
_SAY_S = 5.0
_POLL_S = 0.05


@contextlib.contextmanager
def judged(env: CellEnv, config: ActorConfig) -> Iterator[None]:
    """Let the service at `config.judge` say what a success is, for as long as the block lasts.

    The robot stays where it is until the service has said what it looks at: later its absence costs labels only.

    Raises:
        ModelError: The model looks at what these cameras do not show.
        LinkError: The address cannot be used.
    """
    assert config.judge is not None
    assert not isinstance(env, GymEnv), "the configuration refuses those"
    keys = None if config.keys is None else actor_keys(Path(config.keys), config.key)
    scorer = Scorer(config.judge, keys=keys, insecure=config.insecure)
    scorer.start()
    with contextlib.closing(scorer):
        _require_fitting(_wait(scorer, config.judge), env.wire_spec)
        in_real_time = env.ticker is not None or config.in_real_time
        wait_s, lag = (0.0, _REALTIME_LAG) if in_real_time else (config.judge_wait_s, 0)
        judge = ServiceJudge(scorer, wait_s=wait_s, lag=lag)
        env.judged_by(judge)
        yield
        log.info("judged by %s: unscored=%d", config.judge, judge.unscored)


def _wait(scorer: Scorer, address: str) -> Serving:
    said_s = time.monotonic() - _SAY_S
    while (status := scorer.status).serving is None:
        if time.monotonic() - said_s >= _SAY_S:
            said_s = time.monotonic()
            log.warning("waiting for the reward service at %s: %s; the robot holds", address, status.detail)
        time.sleep(_POLL_S)
    return status.serving


def _require_fitting(serving: Serving, spec: EnvSpec) -> None:
    for name, shape in serving.inputs.items():
        found = spec.observation.get(name)
        if found is None or found.shape != shape:
            has = ", ".join(f"{key} {array.shape}" for key, array in sorted(spec.observation.items()))
            raise ModelError(
                f"the reward model {serving.version} looks at {name} {shape}, and this environment has {has}; train "
                "one on runs of these cameras, or set env.image_size as its runs had it"
            )
