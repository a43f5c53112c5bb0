"""Episodes that a written reward has to tell apart before it counts: successes and failures of scripts, or of runs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rewards.calibration import auc
from rewards.episodes import archive_of, episodes_of, labels_of, truth
from rewards.score import ModelError, stack
from rewards.written.model import HIGHEST, LOWEST, WrittenReward, seen
from wire.specs import EnvSpec
from wire.store import StepStore

_FEWEST = 5
"""Successes, and failures, below which their order says nothing."""
_SLACK = 1e-6


class Trial(NamedTuple):
    """One episode."""

    states: dict[str, np.ndarray]
    """After each step: name -> float32 (n, m)."""
    success: bool


class Trials(NamedTuple):
    """Episodes of one environment."""

    spec: EnvSpec
    episodes: list[Trial]

    def states(self) -> dict[str, np.ndarray]:
        """Of all episodes, one after the other."""
        return {name: np.concatenate([each.states[name] for each in self.episodes]) for name in seen(self.spec)}


class Verdict(NamedTuple):
    """What came of a test."""

    figures: dict[str, float | int]
    problem: str
    """Why the reward does not pass; empty: it does."""


def read_trials(runs: Sequence[str]) -> Trials:
    """The episodes of runs that are known to have ended in success, or to hold none at all; others are left out.

    Raises:
        ModelError: A run is missing, they are of different environments, or too few episodes are of a kind.
    """
    spec: EnvSpec | None = None
    found = []
    for run in runs:
        path = archive_of(run)
        labels = labels_of(path)
        with StepStore.read(path) as store:
            if spec is not None and (store.spec.task, seen(store.spec)) != (spec.task, seen(spec)):
                raise ModelError(f"{path} is of another environment than {runs[0]}; test on runs of one task and obs=")
            spec = spec or store.spec
            for episode in episodes_of(store):
                known = truth(episode, labels, margin=0)
                if episode.ended and (known[-1] == 1 or not known.any()):
                    found.append(Trial(stack(episode.states, list(seen(store.spec))), bool(known[-1] == 1)))
    successes = sum(each.success for each in found)
    if spec is None or min(successes, len(found) - successes) < _FEWEST:
        raise ModelError(
            f"{', '.join(runs)}: {successes} episodes ended in success and {len(found) - successes} without one, "
            f"wanted {_FEWEST} of each at least to test a reward with; record more: episodes="
        )
    if not seen(spec):
        raise ModelError(f"{runs[0]} observes no vector, and a written reward looks at those; set obs=state")
    return Trials(spec, found)


def examine(reward: WrittenReward, trials: Trials, min_auc: float) -> Verdict:
    """Whether a reward is one: between its bounds, and higher over episodes that succeeded than over others.

    An episode's return is its mean reward up to the time limit, in which the state that it ended in counts for the
    rest: so much is it worth to a learner, and a reward that only counts steps gains nothing by it.

    Raises:
        WrittenError: It failed on a state.
    """
    said = reward.said(trials.states())
    low, high = float(said.min()), float(said.max())
    longest = max(trials.spec.max_episode_steps, *(_length(each) for each in trials.episodes))
    parts = np.split(said, np.cumsum([_length(each) for each in trials.episodes])[:-1])
    returns = np.array([(part.sum() + (longest - len(part)) * part[-1]) / longest for part in parts])
    first, last = (np.array([part[end] for part in parts]) for end in (0, -1))
    success = np.array([each.success for each in trials.episodes])
    area = auc(returns, success.astype(int))
    figures: dict[str, float | int] = {
        "auc": round(area, 4),
        "successes": int(success.sum()),
        "failures": int((~success).sum()),
        "lowest": low,
        "highest": high,
    }
    for name, value in (("return", returns), ("first", first), ("last", last)):
        figures |= {f"{name}_success": float(value[success].mean()), f"{name}_failure": float(value[~success].mean())}
    problem = ""
    if low < LOWEST - _SLACK or high > HIGHEST + _SLACK:
        problem = (
            f"it says between {low:.4g} and {high:.4g}, wanted {LOWEST:g} (far from the goal) to {HIGHEST:g} (there)"
        )
    elif area < min_auc:
        said_of = {
            kind: f"{figures[f'return_{kind}']:.3f} over episodes, from {figures[f'first_{kind}']:.3f} at first to "
            f"{figures[f'last_{kind}']:.3f} in the end"
            for kind in ("success", "failure")
        }
        problem = (
            f"it does not tell success from failure: AUC of the return {area:.3f}, wanted {min_auc:g}. On average it "
            f"says {said_of['success']}, where they succeeded, and {said_of['failure']}, where they did not"
        )
    return Verdict(figures, problem)


def _length(trial: Trial) -> int:
    return len(next(iter(trial.states.values())))
