"""What a run tells while it learns: numbers for the plots, a moment for the screen, a summary for scripts."""

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from learner.agents.base import Metrics, numbers_of
from learner.coach import advise
from learner.config import LearnerConfig
from learner.console import Snapshot
from learner.inbox import Inbox
from learner.limiter import RateLimiter
from learner.metrics import MetricsWriter
from learner.progress import EpisodeResult, Progress
from learner.replay import Replay
from learner.run import Run
from learner.shaping import spec_of_returns
from learner.summary import summarise, write_summary
from wire.specs import EnvSpec

log = logging.getLogger(__name__)

_UNSCORED = 20
"""Steps without a score that are worth a word."""
_RATE_STEPS = 20
"""Steps from which a rate, and so the time left, is worth telling: the first ones wait for compilers and actors."""


@dataclass
class Telling:
    """Looks at what the trainer has, and changes none of it."""

    config: LearnerConfig
    run: Run
    spec: EnvSpec
    inbox: Inbox
    replay: Replay
    progress: Progress
    limiter: RateLimiter
    archive: dict[str, Any] | None
    """Of the past runs that it learns from, for the summary."""
    _started_s: float = field(default_factory=time.monotonic, init=False)
    _advice: str = field(default="", init=False)
    _warning: str = field(default="", init=False)
    _gradient_rate: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Open the files that numbers go to."""
        self._writer = MetricsWriter(self.run.path, tensorboard=self.config.tensorboard, wandb=self.config.wandb)
        self.begin()

    def begin(self) -> None:
        """What is done by now was done before this process."""
        self._settled_before = self.limiter.settled
        self._pace = (time.monotonic(), self.limiter.done)

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of the whole run."""
        return self.limiter.done * self.config.agent.utd

    def episode(self, result: EpisodeResult) -> None:
        """Write down an episode that has ended."""
        numbers = {
            "episode/success": float(result.success),
            "episode/success_alone": self.progress.success_rate,
            "episode/length": float(result.length),
            "episode/return": result.episode_return,
            "human/intervention_rate": self.progress.intervention_rate,
            "human/minutes": self.progress.human_minutes(self.spec.rate_hz),
            "guard/holds": float(result.held_steps),
        }
        if result.toggles is not None:
            numbers["gripper/toggles_per_episode"] = float(result.toggles)
        self._writer.write(self.progress.env_steps, numbers)
        # Where nobody has ever helped there is perhaps nobody to advise.
        self._advice = str(advise(self.progress.episodes)) if self.progress.human_steps else ""

    def updates(self, metrics: Metrics) -> None:
        """Write down the agent's numbers; reading them waits for the device."""
        numbers = numbers_of(metrics)
        now_s, (then_s, then_blocks) = time.monotonic(), self._pace
        self._pace = (now_s, self.limiter.done)
        self._gradient_rate = (self.limiter.done - then_blocks) * self.config.agent.utd / max(now_s - then_s, 1e-9)
        numbers["learner/gradient_steps_per_s"] = self._gradient_rate
        numbers["learner/gradient_steps_per_env_step"] = self.gradient_steps / max(self.limiter.arrived, 1)
        numbers["link/backlog"] = float(self.limiter.debt)
        numbers["reward/unscored"] = float(self.replay.unscored)
        self._writer.write(self.progress.env_steps, numbers)
        self._warn_of_overestimation(numbers)

    def snapshot(self, trouble: str = "") -> Snapshot:
        """This moment, for the screen; `trouble` goes before what else there is to warn of."""
        settled = self.limiter.settled
        since = settled - self._settled_before
        elapsed_s = time.monotonic() - self._started_s
        return Snapshot(
            title=f"{self.spec.task}  {self.config.agent.name}  {self.run.path}",
            env_steps=self.progress.env_steps,
            budget=self.config.steps,
            success_rate=self.progress.success_rate,
            intervention_rate=self.progress.intervention_rate,
            held_steps=self.progress.held_steps,
            episode_length=self.progress.episode_length,
            episodes=len(self.progress.episodes),
            gradient_steps=self.gradient_steps,
            gradient_steps_per_s=self._gradient_rate,
            link=_link_text(self.inbox),
            eta_s=(self.config.steps - settled) * elapsed_s / since if since >= _RATE_STEPS else None,
            human_minutes=self.progress.human_minutes(self.spec.rate_hz),
            advice=self._advice,
            warning=trouble or self._warning or self._unscored_warning(),
        )

    def summarise(self) -> None:
        """Write `summary.json`."""
        status = self.inbox.status
        facts = summarise(self.progress, self.spec, agent=self.config.agent.name, seed=self.config.seed) | {
            "gradient_steps": self.gradient_steps,
            "wall_s": round(self.run.earlier_wall_s + time.monotonic() - self._started_s, 1),
            "link": {
                "produced": None,
                "archived": self.inbox.resumed_row + status.archived,
                "duplicates": self.run.earlier_duplicates + status.duplicates,
                "lost": None,
            },
            "archive": self.archive,
        }
        write_summary(self.run.path / "summary.json", facts)

    def close(self) -> None:
        """Close the files."""
        self._writer.close()

    def _warn_of_overestimation(self, numbers: dict[str, float]) -> None:
        bounds = spec_of_returns(self.spec, **self.config.rewarding).return_bounds
        target = numbers.get("critic/target_mean")
        if bounds is None or target is None or target <= bounds[1]:
            return
        self._warning = (
            f"the mean TD target is {target:.2f}, above the highest return possible ({bounds[1]:g}): the critic "
            "over-estimates; success is likely to collapse"
        )
        log.warning("%s", self._warning)

    def _unscored_warning(self) -> str:
        waiting = self.replay.unscored
        told = " and told label=all" if self.config.shaping else ""
        return f"{waiting} steps wait for a score: is the reward service running{told}?" if waiting > _UNSCORED else ""


def _link_text(inbox: Inbox) -> str:
    actors = inbox.status.actors
    if not actors:
        return "no actor yet"
    states = [actor.state for actor in actors]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
