"""An environment whose success a reward service sees, in the task's place."""

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from actor.loop import CellEnv
from envs.gym_env import GymEnv
from rewards.client import Scorer, ServiceJudge
from rewards.models import load_model
from rewards.score import ModelError
from rewards.written.model import WrittenReward
from wire.keys import ActorKeys

log = logging.getLogger(__name__)

_REALTIME_LAG = 2
"""Control periods by which a score may be behind on a robot, which waits for none."""
_SAY_S = 5.0
_POLL_S = 0.05


@contextlib.contextmanager
def judged(
    env: CellEnv, address: str | None, *, wait_s: float, keys: ActorKeys | None = None, insecure: bool = False
) -> Iterator[None]:
    """Let the service at `address` say what a success is, for as long as the block lasts; None: the task does.

    The robot stays where it is until the service has said what it looks at: later its absence costs labels only.

    Args:
        env: A workcell's.
        address: Of the service.
        wait_s: In simulation, whose time stands still: how long a step waits for its score. A robot never waits.
        keys: Ours and the service's.
        insecure: Allow an address off this machine without keys.

    Raises:
        UnseenError: The model looks at what these cameras do not show, or its gate at what is not observed.
        LinkError: The address cannot be used.
    """
    if address is None:
        yield
        return
    assert not isinstance(env, GymEnv), "the configuration refuses those"
    scorer = Scorer(address, keys=keys, insecure=insecure)
    scorer.start()
    with contextlib.closing(scorer):
        _wait(scorer, address)
        judge = ServiceJudge(scorer, wait_s=wait_s, lag=0 if wait_s else _REALTIME_LAG)
        env.judged_by(judge, gate=judge.gate)
        yield
        log.info("judged by %s: unscored=%d", address, judge.unscored)


@contextlib.contextmanager
def rewarded(env: CellEnv, folder: str | None) -> Iterator[None]:
    """Let the written reward in a folder give the reward, for as long as the block lasts; None: the task does.

    Raises:
        UnseenError: It looks at what this environment does not observe.
        ModelError: There is none in the folder, or another kind of model.
    """
    if folder is None:
        yield
        return
    assert not isinstance(env, GymEnv), "the configuration refuses those"
    model = load_model(Path(folder))
    if not isinstance(model, WrittenReward):
        raise ModelError(f"{folder} holds a model of kind {model.kind}, and only a written one gives rewards here")
    with contextlib.closing(model):
        env.rewarded_by(model)
        yield


def _wait(scorer: Scorer, address: str) -> None:
    said_s = time.monotonic() - _SAY_S / 2
    while (status := scorer.status).serving is None:
        if time.monotonic() - said_s >= _SAY_S:
            said_s = time.monotonic()
            log.warning("waiting for the reward service at %s: %s; the robot holds", address, status.detail)
        time.sleep(_POLL_S)
