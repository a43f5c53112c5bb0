"""The story of learning: steps arrive, each is owed one block of updates, the policy goes back to the robot."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from learner.agents import make_agent
from learner.agents.base import Metrics, numbers_of
from learner.augmentation import chosen_symmetries
from learner.checkpoint import Checkpointer
from learner.coach import advise
from learner.config import AgentConfig, BcConfig, GqnConfig, LearnerConfig, QcConfig
from learner.console import LearnerConsole, Snapshot
from learner.features import feature_cache
from learner.inbox import Inbox
from learner.late_labels import LateLabels
from learner.limiter import RateLimiter
from learner.metrics import MetricsWriter
from learner.mixer import Mixer
from learner.placement import Placement
from learner.plots import plot_run
from learner.pool import describe, discount_of, past_runs
from learner.progress import EpisodeResult, Progress
from learner.publisher import POLICY_FILE, encode_policy, leave_critics
from learner.replay import Replay, moments
from learner.report import write_report
from learner.run import Run
from learner.summary import summarise, write_summary
from learner.warm_start import adopted, warm_start
from wire import failpoints
from wire.database import StoreError, explained
from wire.files import write_atomically
from wire.specs import EnvSpec
from wire.store import Row, StepStore

log = logging.getLogger(__name__)

_IDLE_S = 0.002
_UNSCORED = 20
"""Steps without a score that are worth a word."""
_LOG_BLOCKS = 20
"""Update blocks between two lines of metrics: reading them waits for the device."""


class Trainer:
    """One run: replay, agent and counters, and what is done with them."""

    def __init__(self, config: LearnerConfig, run: Run, spec: EnvSpec, inbox: Inbox, console: LearnerConsole) -> None:
        self.config, self.run, self.spec, self.inbox, self.console = config, run, spec, inbox, console
        told = adopted(config.agent, config.init)
        cache = feature_cache(told, spec, run.path, seed=config.seed, resume=config.resume, init=config.init)
        trunk = None if cache is None else cache.trunk.describe()
        self.agent = make_agent(told, spec, interventions=config.interventions, trunk=trunk)
        self.replay = Replay(
            spec,
            config.capacity,
            learn_corrections=config.agent.name != "bc",
            discount=discount_of(config.agent),
            cache=cache,
            keep_on=config.keep_on if config.may_keep_on_device else "host",
        )
        self._placement = Placement(config.devices, batch_size=config.agent.batch_size)
        self.pool, self._past = past_runs(config, run, spec, console.say, cache=cache)
        self.mixer = Mixer(
            self.replay,
            self.pool,
            batch_size=config.agent.batch_size,
            prior_share=_prior_share(config),
            archive_share=config.archive_share,
            symmetries=chosen_symmetries(spec, config.symmetries) if config.symmetries else None,
            min_online=config.min_online,
            seed=config.seed,
            chunk=_window(config.agent),
        )
        self.late = LateLabels(run.archive, self.replay, by_model=config.reward == "classifier")
        self.limiter = RateLimiter()
        self.progress = Progress(spec.gripper_entries())
        self.version = 0
        self._state: Any = None
        self._fitted = False
        self._metrics: Metrics = {}
        self._writer = MetricsWriter(run.path, tensorboard=config.tensorboard, wandb=config.wandb)
        self._checkpoints = Checkpointer(run.path, console.say)
        self._started_s = self._checkpointed_s = time.monotonic()
        self._pace = (self._started_s, 0)
        self._settled_before = 0
        self._gradient_rate = 0.0
        self._advice = self._warning = self._disk_warning = ""

    def recall(self, demos: StepStore | None, archived: StepStore | None) -> None:
        """Fill the replay from demonstrations and from this run's own archive, and restore the newest checkpoint."""
        for row in self._intact_rows(demos, demos.last_row()) if demos is not None else ():
            self.replay.add(row.stream, row.step, row.seq)
        if demos is not None and self.config.reward == "classifier":
            LateLabels(demos.path, self.replay, by_model=True).poll(time.monotonic())
        self._fitted = len(self.replay) > 0 or self.pool is not None
        # Actors may be sending already: what came after the inbox opened the archive will come out of the inbox.
        for row in self._intact_rows(archived, self.inbox.resumed_row) if archived is not None else ():
            self._take(row)
        self._state = self._placement.whole(self.agent.init(self.config.seed, self._normaliser()))
        if self.config.init is not None:
            started = warm_start(self._state, Path(self.config.init), self.spec, self.console.say)
            self._state = self._placement.whole(started)
            self._fitted = True
        restored = self._checkpoints.restore(self._state, fingerprint=self.spec.fingerprint())
        if restored is not None:
            self._state, limiter, self.version = restored
            self._state = self._placement.whole(self._state)
            self.limiter.done, self.limiter.waived = limiter.done, limiter.waived
            self._fitted = self._fitted or limiter.done > 0
            log.info("resumed: env_steps=%d blocks=%d", self.limiter.arrived, self.limiter.done)
        self._settled_before = self.limiter.settled
        self._pace = (time.monotonic(), self.limiter.done)
        self._publish()

    def train(self, interrupted: Callable[[], bool] = lambda: False) -> str:
        """Learn until the budget is spent, the goal is reached or somebody interrupts; returns why it ended."""
        while (ending := self._ending()) is None:
            if interrupted():
                return "interrupted; resume=true goes on from here"
            arrived = self.inbox.drain(256)
            for row in arrived:
                self._take_new(row)
            self.late.poll(time.monotonic())
            if self.limiter.debt > 0 and self.mixer.ready and self.limiter.settled >= self.config.warmup:
                self._update()
            elif self.limiter.debt > 0:
                self.limiter.waive()
            elif not arrived:
                time.sleep(_IDLE_S)
            self.inbox.set_trained(self.inbox.drained_row - self.limiter.debt)
            self.console.show(self._snapshot())
            if time.monotonic() - self._checkpointed_s > self.config.checkpoint_period_s:
                self._save_if_possible()
        return ending

    def save(self) -> None:
        """Checkpoint the learner; put the policy and the summary on disk; raises StoreError where that fails."""
        self._checkpointed_s = time.monotonic()
        self._publish()
        with explained(self.run.path, "save"):
            self._checkpoints.save(self._state, self.limiter, fingerprint=self.spec.fingerprint(), version=self.version)
            failpoints.passing("mid_publish")
            write_atomically(self.run.path / POLICY_FILE, self._policy_bytes)
            leave_critics(
                self.run.path, self.agent, self._state, version=self.version, fingerprint=self.spec.fingerprint()
            )
            self._summarise()

    def close(self) -> None:
        """Count what the actors handed over last, write the summary and draw the curve; call `save` first."""
        while rows := self.inbox.drain(256):
            for row in rows:
                self._take_new(row)
        self._summarise()
        self._checkpoints.close()
        self._writer.close()
        title = f"{self.spec.task}, {self.config.agent.name}, seed {self.config.seed}"
        plot_run(self.progress, self.run.path / "success.png", title)
        write_report(self.run.path, self.progress, self.spec, title)

    def _save_if_possible(self) -> None:
        """What is learned is in memory, what it is learned from in the archive: a full disk is no reason to stop."""
        self._disk_warning = ""
        try:
            self.save()
        except StoreError as error:
            log.error("%s", error)
            self._disk_warning = f"{error}; training goes on, tried again in {self.config.checkpoint_period_s:.0f} s"

    def _summarise(self) -> None:
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
            "archive": describe(self.pool, self._past),
        }
        write_summary(self.run.path / "summary.json", facts)

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of the whole run."""
        return self.limiter.done * self.config.agent.utd

    def _intact_rows(self, store: StepStore, last: int) -> Iterator[Row]:
        yield from itertools.takewhile(lambda row: row.row <= last, store.rows())
        for line in store.damage:
            log.error("damaged: %s", line)
        if store.damaged:
            self.console.say(f"warning: {store.damaged} steps in {store.path} are damaged and were left out")

    def _take(self, row: Row) -> EpisodeResult | None:
        self.replay.add(row.stream, row.step, row.seq)
        self.limiter.arrived += 1
        return self.progress.add(row.stream, row.step)

    def _take_new(self, row: Row) -> None:
        result = self._take(row)
        if result is None:
            return
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

    def _update(self) -> None:
        if not self._fitted:
            # The first batch can be drawn: only now is there data to normalise by. Nothing was learned yet.
            self._fitted = True
            self._state = self._placement.whole(self.agent.init(self.config.seed, self._normaliser()))
        batch = self._placement.shared(self.mixer.sample(self.limiter.done, self.config.agent.utd))
        # Wait for the block before this one, so that one is always queued and the counters stay true.
        jax.block_until_ready(self._metrics)
        self._state, self._metrics = self.agent.update(self._state, batch)
        self.limiter.done += 1
        if self.limiter.done % self.config.publish_period == 0:
            self._publish()
        if self.limiter.done % _LOG_BLOCKS == 0:
            self._log_metrics()

    def _publish(self) -> None:
        self.version += 1
        data = encode_policy(
            self.agent.policy(self._state), self.agent.arch, version=self.version, fingerprint=self.spec.fingerprint()
        )
        self.inbox.publish(data, self.version)
        self._policy_bytes = data

    def _log_metrics(self) -> None:
        numbers = numbers_of(self._metrics)
        now_s, (then_s, then_blocks) = time.monotonic(), self._pace
        self._pace = (now_s, self.limiter.done)
        self._gradient_rate = (self.limiter.done - then_blocks) * self.config.agent.utd / max(now_s - then_s, 1e-9)
        numbers["learner/gradient_steps_per_s"] = self._gradient_rate
        numbers["learner/gradient_steps_per_env_step"] = self.gradient_steps / max(self.limiter.arrived, 1)
        numbers["link/backlog"] = float(self.limiter.debt)
        numbers["reward/unscored"] = float(self.replay.unscored)
        self._writer.write(self.progress.env_steps, numbers)
        self._warn_of_overestimation(numbers)

    def _warn_of_overestimation(self, numbers: dict[str, float]) -> None:
        bounds, target = self.spec.return_bounds, numbers.get("critic/target_mean")
        if bounds is None or target is None or target <= bounds[1]:
            return
        self._warning = (
            f"the mean TD target is {target:.2f}, above the highest return possible ({bounds[1]:g}): the critic "
            "over-estimates; success is likely to collapse"
        )
        log.warning("%s", self._warning)

    def _unscored_warning(self) -> str:
        waiting = self.replay.unscored
        return f"{waiting} steps wait for a score: is the reward service running?" if waiting > _UNSCORED else ""

    def _normaliser(self) -> dict[str, np.ndarray]:
        replays = [self.replay] if self.pool is None else [self.replay, self.pool.replay]
        values = np.concatenate([replay.vectors() for replay in replays])
        if len(values):
            return moments(values)
        n = self.agent.arch.vector_dim
        return {"mean": np.zeros(n, np.float32), "std": np.ones(n, np.float32)}

    def _ending(self) -> str | None:
        if self.limiter.settled >= self.config.steps:
            return f"the budget of {self.config.steps} environment steps is spent"
        stop_at = self.config.stop_at
        if stop_at is not None and self.progress.reached(stop_at):
            return f"the last 20 episodes stand at {self.progress.success_rate:.0%} without help (stop_at={stop_at:g})"
        return None

    def _snapshot(self) -> Snapshot:
        settled = self.limiter.settled
        elapsed_s = time.monotonic() - self._started_s
        rate = (settled - self._settled_before) / elapsed_s
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
            eta_s=(self.config.steps - settled) / rate if rate > 0 else None,
            human_minutes=self.progress.human_minutes(self.spec.rate_hz),
            advice=self._advice,
            warning=self._disk_warning or self._warning or self._unscored_warning(),
        )


def _prior_share(config: LearnerConfig) -> float:
    """BC learns from demonstrations and corrections alone."""
    return 1.0 if isinstance(config.agent, BcConfig) else config.agent.prior_share


def _window(agent: AgentConfig) -> tuple[int, float] | None:
    """Length and discount of the windows that batches are of; None: of single steps."""
    if isinstance(agent, GqnConfig):
        return agent.n_step, agent.discount
    return (agent.chunk, agent.discount) if isinstance(agent, QcConfig) else None


def _link_text(inbox: Inbox) -> str:
    actors = inbox.status.actors
    if not actors:
        return "no actor yet"
    states = [actor.state for actor in actors]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
