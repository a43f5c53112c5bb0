"""The reward service: a process that judges what robots send, and between two answers what they could not send.

A model that says how well things stand, and not when they are done, has nothing to tell a robot: it rewards a run's
steps once they are in the archive.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rewards.config import ServeConfig
from rewards.episodes import ARCHIVE
from rewards.models import load_model
from rewards.relabel import Backfill
from rewards.score import ModelError, RewardModel, stack
from wire.allowed import LearnerKeys, learner_keys
from wire.database import StoreError
from wire.score_server import Question, ScoreServer
from wire.scoring import PROTOCOL, Serving
from wire.sockets import LearnerSocket

log = logging.getLogger(__name__)

_BATCH = 32
_TICK_S = 0.05
_LOOK_S = 0.5
"""Between two looks at a live archive."""


class RewardService:
    """Serves one model until it is stopped; raises what makes it impossible to begin."""

    def __init__(
        self,
        model: RewardModel,
        bind: str,
        *,
        run: Path | None = None,
        every: bool = False,
        keys: LearnerKeys | None = None,
        insecure: bool = False,
    ) -> None:
        """Listen, at once.

        Args:
            model: What judges; it needs a rule.
            bind: Where to listen.
            run: Folder of a learner's run on this machine, to label late what was recorded without a score.
            every: Score its other steps too, for a learner that shapes rewards.
            keys: Ours, and the list of the robots to let in.
            insecure: Allow listening off this machine without keys.

        Raises:
            ModelError: The model has no rule.
            LinkError: The address cannot be used.
        """
        if model.rule is None:
            raise ModelError(
                f"the {model.kind} model {model.version} gives rewards, not success, and cannot end an episode: name "
                "the learner's run, whose steps it is to reward, run=runs/<run>, or use handrail rewards relabel"
            )
        self.model = model
        serving = Serving(protocol=PROTOCOL, version=model.version, inputs=dict(model.inputs), rule=model.rule)
        self._server = ScoreServer(serving)
        self._socket = LearnerSocket(bind, keys=keys, insecure=insecure)
        self.address = self._socket.address
        """Where robots ask."""
        self._backfill = None if run is None else Backfill(model, run / ARCHIVE, every=every)
        self._look_s = 0.0
        self._answered = 0

    def serve(self, stopped: Callable[[], bool]) -> None:
        """Answer until `stopped` says so."""
        while not stopped():
            busy = self._answer()
            if not busy and not self._look_back():
                self._socket.wait(_TICK_S)

    def close(self) -> None:
        """Give socket and archive back."""
        self._socket.close()
        if self._backfill is not None:
            self._backfill.close()

    def _answer(self) -> bool:
        """Judge what has come; returns whether anything had."""
        while (message := self._socket.receive()) is not None:
            self._server.receive(message.peer, message.data)
        questions = self._server.take(_BATCH)
        if questions:
            self._judge(questions)
        out = self._server.step()
        for peer, data in out:
            self._socket.send(peer, data)
        return bool(out)

    def _judge(self, questions: list[Question]) -> None:
        batch = stack([question.observation for question in questions], list(self.model.inputs))
        try:
            scores = self.model.score(batch)
        except ModelError as error:
            log.error("%s", error)
            for question in questions:
                self._server.unscored(question, str(error))
            return
        for question, value, confidence in zip(questions, scores.value, scores.confidence, strict=True):
            self._server.scored(question, float(np.float64(value)), float(confidence), scores.version)
        self._answered += len(questions)

    def _look_back(self) -> bool:
        """Label some of what was recorded without a score; returns whether there may be more."""
        now_s = time.monotonic()
        if self._backfill is None or now_s < self._look_s:
            return False
        more = _labelled(self._backfill)
        if not more:
            self._look_s = now_s + _LOOK_S
        return more


def serve(config: ServeConfig, say: Callable[[str], None], stopped: threading.Event) -> int:
    """Load a model and serve it until `stopped` is set."""
    model = load_model(Path(config.model))
    run = None if config.run is None else Path(config.run)
    if model.rule is None and run is not None:
        say(f"{model.version} rewards the steps of {run}")
        reward_steps(model, run, stopped)
        return 0
    keys = None if config.keys is None else learner_keys(Path(config.keys))
    every = config.label == "all"
    service = RewardService(model, config.bind, run=run, every=every, keys=keys, insecure=config.insecure)
    with contextlib.closing(service):
        say(f"{model.version} answers at {service.address}")
        service.serve(stopped.is_set)
    return 0


def reward_steps(model: RewardModel, run: Path, stopped: threading.Event) -> None:
    """Give every step of a learner's run its reward, as they end up in its archive, until `stopped` is set."""
    with contextlib.closing(Backfill(model, run / ARCHIVE)) as backfill:
        while not stopped.is_set():
            if not _labelled(backfill):
                stopped.wait(_LOOK_S)


def _labelled(backfill: Backfill) -> bool:
    """Label some of a run; returns whether there may be more at once."""
    try:
        return backfill.work()
    except StoreError as error:
        log.error("late labels: %s; tried again", error)
        return False
