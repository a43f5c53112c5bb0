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
from learner.agents.base import Metrics
from learner.augmentation import chosen_symmetries
from learner.checkpoint import Checkpointer
from learner.config import AgentConfig, GqnConfig, LearnerConfig, QcConfig
from learner.console import LearnerConsole
from learner.features import feature_cache
from learner.inbox import Inbox
from learner.late_labels import LateLabels
from learner.learned_rewards import unrewarded
from learner.limiter import RateLimiter
from learner.mixer import Mixer
from learner.placement import Placement
from learner.plots import plot_run
from learner.pool import describe, discount_of, past_runs
from learner.progress import EpisodeResult, Progress
from learner.publisher import POLICY_FILE, encode_policy, leave_critics
from learner.replay import Replay
from learner.report import write_report
from learner.run import Run
from learner.shaping import require_scores, spec_of_returns
from learner.telling import Telling
from learner.transitions import moments
from learner.warm_start import adopted, warm_start
from wire import failpoints
from wire.database import StoreError, explained
from wire.files import write_atomically
from wire.specs import EnvSpec
from wire.store import Row, StepStore

log = logging.getLogger(__name__)

_IDLE_S = 0.002
_HEAD_START = 1 << 32
"""Number of the first block of a head start: blocks that steps are owed count from 0, and all differ."""
_LOG_BLOCKS = 20
"""Update blocks between two lines of metrics: reading them waits for the device."""


class Trainer:
    """One run: replay, agent and counters, and what is done with them."""

    def __init__(self, config: LearnerConfig, run: Run, spec: EnvSpec, inbox: Inbox, console: LearnerConsole) -> None:
        self.config, self.run, self.spec, self.inbox, self.console = config, run, spec, inbox, console
        told = adopted(config.agent, config.init)
        cache = feature_cache(told, spec, run.path, seed=config.seed, resume=config.resume, init=config.init)
        trunk = None if cache is None else cache.trunk.describe()
        self.agent = make_agent(
            told, spec_of_returns(spec, **config.rewarding), interventions=config.interventions, trunk=trunk
        )
        self.replay = Replay(
            spec,
            config.capacity,
            learn_corrections=config.agent.name != "bc",
            discount=discount_of(config.agent),
            cache=cache,
            keep_on=config.keep_on if config.may_keep_on_device else "host",
            shaping=config.shaping,
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
        self.late = self._late_labels(run.archive, self.spec.reward)
        self.limiter = RateLimiter()
        self.progress = Progress(spec.gripper_entries())
        self.version = 0
        self._state: Any = None
        self._fitted = False
        self._ahead = 0
        """Blocks of the head start that are still to come."""
        self._metrics: Metrics = {}
        self._telling = Telling(
            config, run, spec, inbox, self.replay, self.progress, self.limiter, describe(self.pool, self._past)
        )
        self._checkpoints = Checkpointer(run.path, console.say)
        self._checkpointed_s = time.monotonic()
        self._disk_warning = ""

    def recall(self, demos: StepStore | None, archived: StepStore | None) -> None:
        """Fill the replay from demonstrations and from this run's own archive.

        And go on with the newest checkpoint, where the run is resumed.
        """
        for row in self._intact_rows(demos, demos.last_row()) if demos is not None else ():
            self._add(row)
        if demos is not None and self.config.reward != "task":
            self._late_labels(demos.path, demos.spec.reward).poll(time.monotonic())
            waiting = self.replay.unscored if self.config.shaping or self.config.labelled_by else 0
            require_scores(waiting, len(self.replay), whose=f"the demonstrations {demos.path}")
        self._fitted = len(self.replay) > 0 or self.pool is not None
        # Actors may be sending already: what came after the inbox opened the archive will come out of the inbox.
        for row in self._intact_rows(archived, self.inbox.resumed_row) if archived is not None else ():
            self._take(row)
        self._state = self._placement.whole(self.agent.init(self.config.seed, self._normaliser()))
        if self.config.init is not None:
            started = warm_start(self._state, Path(self.config.init), self.spec, self.console.say)
            self._state = self._placement.whole(started)
            self._fitted = True
        if not (self.config.resume and self._restore()) and self._fitted and self.mixer.ready:
            self._ahead = self.config.blocks_ahead
        self._telling.begin()
        if not self._ahead:
            self._publish()

    def train(self, interrupted: Callable[[], bool] = lambda: False) -> str:
        """Learn until the budget is spent, the goal is reached or somebody interrupts; returns why it ended."""
        while (ending := self._ending()) is None:
            if interrupted():
                return "interrupted; resume=true goes on from here"
            if self._ahead:
                self._start_ahead()
                continue
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
            self.console.show(self._telling.snapshot(self._disk_warning))
            if time.monotonic() - self._checkpointed_s > self.config.checkpoint_period_s:
                self._save_if_possible()
        return ending

    def save(self) -> None:
        """Checkpoint the learner; put the policy and the summary on disk; raises StoreError where that fails.

        Of an unfinished head start nothing is kept, for a run that has learned something makes none.
        """
        if self._ahead:
            self.console.say("stopped within the head start; resume=true begins it anew")
            return
        self._checkpointed_s = time.monotonic()
        self._publish()
        with explained(self.run.path, "save"):
            self._checkpoints.save(self._state, self.limiter, fingerprint=self.spec.fingerprint(), version=self.version)
            failpoints.passing("mid_publish")
            write_atomically(self.run.path / POLICY_FILE, self._policy_bytes)
            leave_critics(
                self.run.path, self.agent, self._state, version=self.version, fingerprint=self.spec.fingerprint()
            )
            self._telling.summarise()

    def close(self) -> None:
        """Count what the actors handed over last, write the summary and draw the curve; call `save` first."""
        while rows := self.inbox.drain(256):
            for row in rows:
                self._take_new(row)
        self._telling.summarise()
        self._checkpoints.close()
        self._telling.close()
        title = f"{self.spec.task}, {self.config.agent.name}, seed {self.config.seed}"
        plot_run(self.progress, self.run.path / "success.png", title)
        write_report(self.run.path, self.progress, self.spec, title)

    def _restore(self) -> bool:
        """Take over the newest whole checkpoint; False: there is none."""
        restored = self._checkpoints.restore(self._state, fingerprint=self.spec.fingerprint())
        if restored is None:
            return False
        self._state, limiter, self.version = restored
        self._state = self._placement.whole(self._state)
        self.limiter.done, self.limiter.waived = limiter.done, limiter.waived
        self._fitted = self._fitted or limiter.done > 0
        log.info("resumed: env_steps=%d blocks=%d", self.limiter.arrived, self.limiter.done)
        return True

    def _save_if_possible(self) -> None:
        """What is learned is in memory, what it is learned from in the archive: a full disk is no reason to stop."""
        self._disk_warning = ""
        try:
            self.save()
        except StoreError as error:
            log.error("%s", error)
            self._disk_warning = f"{error}; training goes on, tried again in {self.config.checkpoint_period_s:.0f} s"

    def _intact_rows(self, store: StepStore, last: int) -> Iterator[Row]:
        yield from itertools.takewhile(lambda row: row.row <= last, store.rows())
        for line in store.damage:
            log.error("damaged: %s", line)
        if store.damaged:
            self.console.say(f"warning: {store.damaged} steps in {store.path} are damaged and were left out")

    def _late_labels(self, archive: Path, reward: str) -> LateLabels:
        by_model = self.config.reward == "classifier"
        return LateLabels(archive, self.replay, by_model=by_model, version=self.config.labelled_by, reward=reward)

    def _add(self, row: Row) -> None:
        row = unrewarded(row) if self.config.labelled_by else row
        self.replay.add(row.stream, row.step, row.seq)

    def _take(self, row: Row) -> EpisodeResult | None:
        self._add(row)
        self.limiter.arrived += 1
        return self.progress.add(row.stream, row.step)

    def _take_new(self, row: Row) -> None:
        result = self._take(row)
        if result is not None:
            self._telling.episode(result)

    def _update(self) -> None:
        if not self._fitted:
            # The first batch can be drawn: only now is there data to normalise by. Nothing was learned yet.
            self._fitted = True
            self._state = self._placement.whole(self.agent.init(self.config.seed, self._normaliser()))
        self._learn(self.limiter.done)
        self.limiter.done += 1
        if self.limiter.done % self.config.publish_period == 0:
            self._publish()
        if self.limiter.done % _LOG_BLOCKS == 0:
            self._telling.updates(self._metrics)

    def _start_ahead(self) -> None:
        """One block from past runs and demonstrations alone; actors wait for the policy that comes of the last one."""
        blocks = self.config.blocks_ahead
        done = blocks - self._ahead
        if done % max(1, blocks // 10) == 0:
            self.console.say(f"head start from past runs and demonstrations: block {done} of {blocks}")
        self._learn(_HEAD_START + done)
        self._ahead -= 1
        if not self._ahead:
            self._publish()

    def _learn(self, block: int) -> None:
        batch = self._placement.shared(self.mixer.sample(block, self.config.agent.utd))
        # Wait for the block before this one, so that one is always queued and the counters stay true.
        jax.block_until_ready(self._metrics)
        self._state, self._metrics = self.agent.update(self._state, batch)

    def _publish(self) -> None:
        self.version += 1
        data = encode_policy(
            self.agent.policy(self._state), self.agent.arch, version=self.version, fingerprint=self.spec.fingerprint()
        )
        self.inbox.publish(data, self.version)
        self._policy_bytes = data

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


def _prior_share(config: LearnerConfig) -> float:
    """BC learns from demonstrations and corrections alone."""
    return getattr(config.agent, "prior_share", 1.0)


def _window(agent: AgentConfig) -> tuple[int, float] | None:
    """Length and discount of the windows that batches are of; None: of single steps."""
    if isinstance(agent, GqnConfig):
        return agent.n_step, agent.discount
    return (agent.chunk, agent.discount) if isinstance(agent, QcConfig) else None
