"""The pool of past runs: transitions that are whole before training begins, and how batches draw from them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from learner.config import AgentConfig, LearnerConfig
from learner.features import FeatureCache
from learner.late_labels import LateLabels
from learner.learned_rewards import labelled
from learner.past_runs import PastRun, examine, find_archives, read_steps
from learner.replay import Replay
from learner.returns import advantages, trajectory_weights
from learner.run import Run
from learner.shaping import require_scores
from wire.errors import UserError
from wire.specs import EnvSpec


class Pool:
    """A replay that nothing is added to any more.

    With weighting "return" or "advantage" good trajectories are drawn more often (Hong et al. 2023); "none" draws every
    transition alike.
    """

    def __init__(self, replay: Replay, *, weighting: str = "none", temperature: float = 0.1) -> None:
        self.replay = replay
        self.rows, self.episodes = replay.members()
        self.weighting = weighting
        self.weights = np.ones(len(self.rows))
        """Of every transition: how often it is drawn, relative to the others."""
        if weighting != "none" and len(self.rows):
            scores, trajectory = self.trajectory_scores(against_start=weighting == "advantage")
            self.weights = trajectory_weights(scores, temperature)[trajectory]
        self._cumulative = np.cumsum(self.weights)

    def __len__(self) -> int:
        """Number of transitions."""
        return len(self.rows)

    def trajectory_scores(self, *, against_start: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Undiscounted return of every trajectory (m,), and which of them every transition belongs to (n,).

        `against_start`: less what its first observation's vectors promise.
        """
        _, first, trajectory = np.unique(self.episodes, return_index=True, return_inverse=True)
        returns = np.bincount(trajectory, weights=self.replay.rewards(self.rows))
        if against_start:
            returns = advantages(returns, self.replay.vectors_at(self.rows[first]))
        return returns, trajectory

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw `n` transition numbers with replacement, int64 (n,)."""
        if self.weighting == "none":
            return self.rows[rng.integers(len(self.rows), size=n)]
        drawn = np.searchsorted(self._cumulative, rng.random(n) * self._cumulative[-1], side="right")
        return self.rows[np.minimum(drawn, len(self.rows) - 1)]


def past_runs(
    config: LearnerConfig, run: Run, spec: EnvSpec, say: Callable[[str], None], *, cache: FeatureCache | None = None
) -> tuple[Pool | None, list[PastRun]]:
    """The pool that a configuration asks for, and what became of every run; None where it asks for none.

    `cache` is what turns frames into features in the run that asks.
    """
    if not config.archive:
        return None, []
    return open_pool(spec, config, own=run.archive, say=say, cache=cache)


def discount_of(agent: AgentConfig) -> float:
    """Of returns; behaviour cloning has none, and nobody asks for them then."""
    return getattr(agent, "discount", 1.0)


def describe(pool: Pool | None, runs: list[PastRun]) -> dict[str, Any] | None:
    """What a summary tells about past runs."""
    if pool is None:
        return None
    left_out = {str(run.path): run.reason for run in runs if run.reason}
    return {"runs": [str(run.path) for run in runs if not run.reason], "transitions": len(pool), "left_out": left_out}


def open_pool(
    spec: EnvSpec,
    config: LearnerConfig,
    *,
    own: Path | None = None,
    say: Callable[[str], None],
    cache: FeatureCache | None = None,
) -> tuple[Pool, list[PastRun]]:
    """Read every past run that serves, and say in one line each why others do not.

    Args:
        spec: Of the run that asks.
        config: Its archive, capacity, weighting and camera calibration.
        own: The archive of the run that asks, which is no past run.
        say: Told what a person must know.
        cache: What turns frames into features; None: they are kept as they are.

    Raises:
        UserError: There is no run, or none that serves.
    """
    found = [
        examine(each, spec, config.camera_calibration, config.labelled_by, any_reward=_any_reward(config, each))
        for each in find_archives(config.archive, own=own)
    ]
    runs = _newest_within(found, config.capacity)
    for run in runs:
        if run.reason:
            say(f"past run {run.path} is left out: {run.reason}")
    serving = [run for run in runs if not run.reason]
    steps = sum(run.steps for run in serving)
    replay = Replay(spec, max(1, steps), discount=discount_of(config.agent), cache=cache, shaping=config.shaping)
    _fill(replay, serving, say)
    if config.reward == "classifier":
        for run in serving:
            LateLabels(run.path, replay, by_model=True, reward=run.reward).poll(0.0)
        require_scores(replay.unscored if config.shaping else 0, len(replay), whose="the past runs of archive=")
    # Preferences are of segments, with rewards or without.
    waiting = replay.unscored if config.preferences is None else 0
    if waiting:
        whose = f"have no reward by {config.labelled_by}" if config.labelled_by else "wait for a label"
        say(f"{waiting} transitions {whose} and are left out: relabel their runs again")
    if len(replay) == waiting:
        reasons = "; ".join(f"{run.path}: {run.reason}" for run in runs[:3] if run.reason) or _nothing_in(replay)
        places = ", ".join(config.archive)
        raise UserError(f"none of the {len(runs)} past runs in {places} serves this run: {reasons}")
    pool = Pool(replay, weighting=config.weighting, temperature=config.weighting_temperature)
    returns, _ = pool.trajectory_scores()
    anew = sum(run.relabelled for run in serving)
    say(
        f"past runs: {len(serving)} of {len(runs)}, {len(pool)} transitions of {len(returns)} episodes with a mean "
        f"return of {returns.mean():.2f}" + (f"; rewards of {anew} computed anew" if anew else "")
    )
    return pool, runs


def _nothing_in(replay: Replay) -> str:
    """Why runs that fit give nothing to learn from."""
    return f"nobody knows the rewards of their {len(replay)} transitions" if len(replay) else "they hold no transition"


def _any_reward(config: LearnerConfig, archive: Path) -> bool:
    """Whether the reward that a past run was recorded with does not matter: none counts, or that of its labels does."""
    return config.preferences is not None or (config.reward == "classifier" and labelled(archive))


def _newest_within(runs: list[PastRun], capacity: int) -> list[PastRun]:
    """The runs as they were, the oldest left out where all would not fit."""
    left, kept = capacity, {}
    for run in sorted((run for run in runs if not run.reason), key=lambda run: run.path.stat().st_mtime, reverse=True):
        if run.steps <= left:
            left -= run.steps
        else:
            too_much = f"with its {run.steps} steps the past runs would exceed learner.capacity={capacity}; raise it"
            kept[run.path] = dataclasses.replace(run, reason=too_much)
    return [kept.get(run.path, run) for run in runs]


def _fill(replay: Replay, runs: list[PastRun], say: Callable[[str], None]) -> None:
    """Add every step once: copies of a run, and one outbox that served two of them, share streams."""
    # Every number, for a filtered run has holes where another has the steps.
    taken: dict[str, set[int]] = {}
    for run in runs:
        twice = 0
        for stream, seq, step in read_steps(run, replay.spec, say):
            known = taken.setdefault(stream, set())
            if seq in known:
                twice += 1
                continue
            known.add(seq)
            replay.add(stream, step, seq)
        if twice:
            say(f"past run {run.path}: {twice} of its {run.steps} steps are those of another run, and count once")
