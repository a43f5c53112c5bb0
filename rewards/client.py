"""The robot's end of the reward service: a thread that owns the socket, and the judge that the environment asks."""

import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from envs.judge import Judgement
from rewards.config import REWARD
from rewards.decide import Decider
from wire.asking import TICK_S, Asker
from wire.keys import ActorKeys
from wire.score_client import ASKED, ScoreClient
from wire.scoring import Gate, Scored, Serving, Unscored
from wire.types import UNSCORED, Observation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScorerStatus:
    """One moment of the client, safe to keep."""

    serving: Serving | None = None
    live: bool = False
    detail: str = ""


class Scorer(Asker[ScoreClient]):
    """Asks a reward service from any thread, which never waits longer than it wants to."""

    def __init__(self, address: str, *, keys: ActorKeys | None = None, insecure: bool = False) -> None:
        """Prepare only, see `Asker`."""
        super().__init__(ScoreClient(), address, peer="reward service", keys=keys, insecure=insecure)

    @property
    def status(self) -> ScorerStatus:
        """The state now."""
        with self._news:
            client = self._client
            detail = self._socket.trouble or client.detail
            return ScorerStatus(client.serving, client.live(time.monotonic()), detail)

    def ask(self, observation: Observation) -> int | None:
        """Ask for a score, in the time that it takes to copy the frames; None while nobody serves."""
        with self._news:
            number = self._client.ask(observation, time.monotonic())
        self._bell.ring()
        return number

    def answer(self, number: int, timeout_s: float = 0.0) -> Scored | Unscored | None:
        """The answer to a question, once; waits for it up to `timeout_s`, and not at all while the service is away."""
        deadline_s = time.monotonic() + timeout_s
        with self._news:
            while (answer := self._client.answer(number)) is None:
                now_s = time.monotonic()
                if now_s >= deadline_s or self._stop or self._dead or not self._client.live(now_s):
                    return None
                self._news.wait(min(deadline_s - now_s, TICK_S))
            return answer


class _Asked(NamedTuple):
    number: int | None
    observation: Observation
    probability: float | None


class ServiceJudge:
    """Success as a service's model and its rule have it. A score that does not come is no success, and said to be none.

    In simulation, whose time stands still, an answer is waited for. A robot is never kept waiting: each step takes in
    the answers that are there, so a success ends the episode a period or two after its frame.
    """

    reward = REWARD

    def __init__(self, scorer: Scorer, *, wait_s: float, lag: int) -> None:
        """Judge by what `scorer` hears.

        Args:
            scorer: A started one, which knows what is served.
            wait_s: How long a step may wait for its answer; 0 where time passes.
            lag: By how many steps the newest answer may be behind for a step to count as judged.
        """
        self._scorer, self._wait_s, self._lag = scorer, wait_s, lag
        serving = scorer.status.serving
        self.inputs: Mapping[str, tuple[int, ...]] = {} if serving is None else dict(serving.inputs)
        self.gate = None if serving is None else serving.rule.gate
        """What the rule asks of a vector."""
        self._decider: Decider | None = None
        self._version = ""
        self.unscored = 0
        """Steps that were recorded without a score."""
        self.begin_episode()

    def begin_episode(self) -> None:
        """Forget the last episode."""
        self._asked: deque[_Asked] = deque(maxlen=ASKED)
        if self._decider is not None:
            self._decider.begin()

    def judge(self, observation: Observation) -> Judgement:
        """Ask about this state, take in what has been answered, and say what is known by now."""
        serving = self._scorer.status.serving
        if serving is None:
            return self._unknown()
        if self._decider is None or self._decider.rule != serving.rule:
            self._decider = Decider(serving.rule)
            if not _gate_fits(serving.rule.gate, observation):
                log.error("%s has a gate that looks at %s, which is not observed", serving.version, serving.rule.gate)
        if not _gate_fits(serving.rule.gate, observation):
            # Another model serves than the one that was asked about at the start; the episode goes on.
            return self._unknown()
        number = self._scorer.ask(observation)
        self._asked.append(_Asked(number, observation, None))
        success = self._take_in(self._decider)
        if len(self._asked) > self._lag and not success:
            return self._unknown()
        return Judgement(success, self._version or serving.version)

    def _take_in(self, decider: Decider) -> bool:
        """Whether an answer that has come says success. A question that a later one has overtaken has none."""
        newest = self._asked[-1]
        patience_s = self._wait_s if newest.number is not None else 0.0
        came = 0
        for index, asked in enumerate(self._asked):
            if asked.number is not None:
                answer = self._scorer.answer(asked.number, patience_s if asked is newest else 0.0)
                if isinstance(answer, Scored):
                    self._asked[index] = asked._replace(probability=answer.value)
                    self._version, came = answer.version, index + 1
        success = False
        for _ in range(came):
            asked = self._asked.popleft()
            success |= decider.see(asked.probability, asked.observation)
        return success

    def _unknown(self) -> Judgement:
        self.unscored += 1
        return Judgement(False, UNSCORED)


def _gate_fits(gate: Gate | None, observation: Observation) -> bool:
    return gate is None or gate.fits(observation[gate.name].shape if gate.name in observation else None)
