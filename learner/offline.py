"""The story of learning without a robot: past runs are read once, batches drawn, policies left for judging."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import msgspec
import numpy as np

from envs.relabel import present
from learner.agents import make_agent
from learner.agents.base import Metrics, numbers_of
from learner.agents.td3bc import Td3Bc
from learner.augmentation import chosen_symmetries
from learner.checkpoint import Checkpointer
from learner.config import LearnerConfig
from learner.console import LearnerConsole, OfflineSnapshot
from learner.late_labels import LateLabels
from learner.learned_rewards import classified, require_classified
from learner.limiter import RateLimiter
from learner.metrics import MetricsWriter
from learner.mixer import Mixer
from learner.neighbours import Neighbours, require_vectors
from learner.past_runs import find_archives
from learner.plots import plot_losses
from learner.pool import describe, discount_of, past_runs
from learner.progress import Progress
from learner.publisher import POLICY_FILE, encode_policy, leave_critics
from learner.replay import Replay
from learner.run import Run
from learner.segments import SegmentPairs, open_segments
from learner.shaping import require_scores, spec_of_returns
from learner.summary import summarise, write_summary
from learner.transitions import moments
from learner.warm_start import adopted, warm_start
from wire.database import StoreError, explained
from wire.errors import UserError
from wire.files import write_atomically
from wire.specs import EnvSpec, SpecMismatch
from wire.store import StepStore

log = logging.getLogger(__name__)

POLICIES = "policies"
"""Folder of the policies to judge, each named by its gradient steps; a file `last` in it says that no other comes."""
EVALUATIONS = "evaluations.jsonl"
_STEPS_A_CALL = 20
_SHOWN = ("critic/loss", "critic/q_mean", "actor/loss")


class OfflineTrainer:
    """One run without actors: data, agent and counters, and what is done with them."""

    def __init__(self, config: LearnerConfig, run: Run, spec: EnvSpec, console: LearnerConsole) -> None:
        self.config, self.run, self.spec, self.console = config, run, spec, console
        self.agent = make_agent(
            adopted(config.agent, config.init),
            spec_of_returns(spec, **config.rewarding),
            interventions=config.interventions,
        )
        self.pool, self._past = past_runs(config, run, spec, console.say)
        discount = discount_of(config.agent)
        self.replay = Replay(spec, max(1, _steps_in(config.demos)), discount=discount, shaping=config.shaping)
        self._add_demonstrations()
        self.batches = self._segments() if config.preferences is not None else self._mixed()
        self.done = 0
        """Gradient steps."""
        self._call = config.agent.utd if self.agent.arch.frames else _STEPS_A_CALL * config.agent.utd
        self._metrics: Metrics = {}
        self._writer = MetricsWriter(
            run.path, tensorboard=config.tensorboard, wandb=config.wandb, counter="gradient_steps"
        )
        self._checkpoints = Checkpointer(run.path, console.say)
        self._started_s = self._checkpointed_s = time.monotonic()
        self._state = self._begin()

    def train(self, interrupted: Callable[[], bool] = lambda: False) -> str:
        """Take the gradient steps that were asked for, or fewer where somebody interrupts; returns why it ended."""
        began, began_s = self.done, time.monotonic()
        while self.done < self.config.steps:
            if interrupted():
                return "interrupted; resume=true goes on from here"
            before, self.done = self.done, self.done + self._call
            batch = self.batches.sample(before, self._call)
            jax.block_until_ready(self._metrics)
            self._state, self._metrics = self.agent.update(self._state, batch)
            if _passed(before, self.done, 100):
                rate = (self.done - began) / (time.monotonic() - began_s)
                self._log_metrics(rate)
            if self.config.evaluate_period and _passed(before, self.done, self.config.evaluate_period):
                self._leave_policy()
            if time.monotonic() - self._checkpointed_s > self.config.checkpoint_period_s:
                self.save()
        return f"the budget of {self.config.steps} gradient steps is spent"

    def save(self) -> None:
        """Checkpoint the learner, put the policy and the summary on disk; raises StoreError where that fails."""
        self._checkpointed_s = time.monotonic()
        with explained(self.run.path, "save"):
            counters = RateLimiter(done=self.done)
            self._checkpoints.save(self._state, counters, fingerprint=self.spec.fingerprint(), version=self.done)
            write_atomically(self.run.path / POLICY_FILE, self._policy())
            leave_critics(
                self.run.path, self.agent, self._state, version=self.done, fingerprint=self.spec.fingerprint()
            )
            self._summarise()

    def close(self) -> None:
        """Say that no policy follows, and draw the losses; call `save` first."""
        self._checkpoints.close()
        self._writer.close()
        folder = self.run.path / POLICIES
        folder.mkdir(exist_ok=True)
        write_atomically(folder / "last", f"{self.done}\n".encode())
        title = f"{self.spec.task}, {self.config.agent.name} offline, seed {self.config.seed}"
        plot_losses(self.run.path / "metrics.jsonl", self.run.path / "losses.png", title)

    def _mixed(self) -> Mixer:
        config = self.config
        return Mixer(
            self.replay,
            self.pool,
            batch_size=config.agent.batch_size,
            prior_share=1.0,
            archive_share=config.archive_share,
            symmetries=chosen_symmetries(self.spec, config.symmetries) if config.symmetries else None,
            min_online=1,
            seed=config.seed,
        )

    def _segments(self) -> SegmentPairs:
        config = self.config
        assert config.preferences is not None
        assert self.pool is not None, "the configuration refuses agent=cpl without archive="
        path, replay = Path(config.preferences), self.pool.replay
        return open_segments(path, replay, batch_size=config.agent.batch_size, seed=config.seed, say=self.console.say)

    def _begin(self) -> Any:
        """The first state: new, then as `init` has it, then, resumed, as this run's own checkpoint has it."""
        replays = [self.replay] if self.pool is None else [self.replay, self.pool.replay]
        normaliser = moments(np.concatenate([replay.vectors() for replay in replays]))
        state = self.agent.init(self.config.seed, normaliser)
        if self.config.init is not None:
            state = warm_start(state, Path(self.config.init), self.spec, self.console.say)
        resume = self.config.resume
        restored = self._checkpoints.restore(state, fingerprint=self.spec.fingerprint()) if resume else None
        if restored is not None:
            state, counters, _ = restored
            self.done = counters.done
        if isinstance(self.agent, Td3Bc) and self.agent.config.neighbours:
            require_vectors(self.spec)
            scale = {name: np.asarray(value) for name, value in state.normaliser.items()}
            self.agent.study(_neighbours(replays, scale, self.agent.config.observation_weight))
        return state

    def _add_demonstrations(self) -> None:
        if self.config.demos is None:
            return
        with StepStore.read(Path(self.config.demos)) as store:
            if self.config.reward == "classifier":
                require_classified(store.spec, store.path)
            for row in store.rows():
                self.replay.add(row.stream, row.step, row.seq)
            if store.damaged:
                self.console.say(f"warning: {store.damaged} steps in {store.path} are damaged and were left out")
            if self.config.reward == "classifier":
                LateLabels(store.path, self.replay, by_model=True, reward=store.spec.reward).poll(0.0)
                waiting = self.replay.unscored if self.config.shaping else 0
                require_scores(waiting, len(self.replay), whose=f"the demonstrations {store.path}")

    def _policy(self) -> bytes:
        params = self.agent.policy(self._state)
        return encode_policy(params, self.agent.arch, version=self.done, fingerprint=self.spec.fingerprint())

    def _leave_policy(self) -> None:
        folder = self.run.path / POLICIES
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{self.done:09d}.weights", self._policy())

    def _log_metrics(self, rate: float) -> None:
        numbers = numbers_of(self._metrics)
        self._writer.write(self.done, numbers | {"learner/gradient_steps_per_s": rate})
        judged = evaluations(self.run.path)
        bounds = spec_of_returns(self.spec, **self.config.rewarding).return_bounds
        target = numbers.get("critic/q_mean", 0.0)
        warning = f"the mean value is {target:.3g}, beyond every possible return" if _beyond(target, bounds) else ""
        self.console.show(
            OfflineSnapshot(
                title=f"{self.spec.task}  {self.config.agent.name} offline  {self.run.path}",
                done=self.done,
                budget=self.config.steps,
                losses={name: numbers[name] for name in _SHOWN if name in numbers},
                gradient_steps_per_s=rate,
                judged=f"{judged[-1]['rate']:.0%} at {judged[-1]['gradient_steps']}" if judged else "",
                eta_s=(self.config.steps - self.done) / rate,
                warning=warning,
            )
        )

    def _summarise(self) -> None:
        facts = summarise(Progress(), self.spec, agent=self.config.agent.name, seed=self.config.seed) | {
            "mode": "offline",
            "gradient_steps": self.done,
            "wall_s": round(self.run.earlier_wall_s + time.monotonic() - self._started_s, 1),
            "link": {"produced": 0, "archived": 0, "duplicates": 0, "lost": 0},
            "archive": describe(self.pool, self._past),
        }
        write_summary(self.run.path / "summary.json", facts)


def offline_spec(config: LearnerConfig) -> EnvSpec:
    """What the policy is for: the demonstrations' spec or that of the newest fitting past run, with today's reward.

    Raises:
        UserError: No run in the archive fits the environment's keys; the text says why not.
    """
    paths = find_archives(config.archive)
    paths = sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)
    problems = []
    for path in [*([] if config.demos is None else [Path(config.demos)]), *paths]:
        try:
            with StepStore.read(path) as store:
                if not store.count():
                    continue
                spec = store.spec
                if config.env is not None:
                    spec = config.env.seen_of(spec)
                    config.env.require_fitting(spec, whose=str(path))
                if config.reward_version:
                    return msgspec.structs.replace(spec, reward=config.reward_version, return_bounds=None)
                if config.reward == "classifier":
                    return classified(spec)
                return present(spec)
        except (SpecMismatch, StoreError) as error:
            problems.append(str(error))
    places, reasons = ", ".join(config.archive), "; ".join(problems[:3]) or "no steps"
    raise UserError(f"there is nothing to learn from in {places}: {reasons}")


def evaluations(run: Path) -> list[dict[str, Any]]:
    """What was found out so far about the policies that a run left for judging, in the order of their judging."""
    path = run / EVALUATIONS
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def _steps_in(demos: str | None) -> int:
    if demos is None:
        return 0
    with StepStore.read(Path(demos)) as store:
        return store.count()


def _passed(before: int, after: int, period: int) -> bool:
    return before // period != after // period


def _beyond(value: float, bounds: tuple[float, float] | None) -> bool:
    return bounds is not None and not bounds[0] - 0.5 <= value <= bounds[1] + 0.5


def _neighbours(replays: list[Replay], normaliser: dict[str, np.ndarray], weight: float) -> Neighbours:
    vectors, actions = [], []
    for replay in replays:
        rows, _ = replay.members()
        vectors.append(replay.vectors_at(rows))
        actions.append(replay.gather(rows)["action"])
    scaled = np.clip((np.concatenate(vectors) - normaliser["mean"]) / normaliser["std"], -10.0, 10.0)
    return Neighbours(scaled, np.concatenate(actions), observation_weight=weight)
