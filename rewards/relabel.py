"""A model's word for the steps of an archive, appended beside it; and for those that were recorded without a score."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rewards.config import REWARD as CLASSIFIED
from rewards.decide import decide
from rewards.episodes import Episode, EpisodeReader, archive_of, episodes_of
from rewards.score import ModelError, RewardModel, require_spec, stack
from wire.database import StoreError
from wire.labels import REWARD, SCORE, START, SUCCESS, Label, append_labels, labels_since
from wire.store import StepStore
from wire.types import UNSCORED

log = logging.getLogger(__name__)

_ROWS = 512
"""Of a live archive, read between two answers to a robot."""


class Relabelled(NamedTuple):
    """What a relabelling came to."""

    steps: int
    successes: int
    """Episodes in which the model sees a success, or that a person at the robot ended in one."""
    episodes: int
    changed: int
    """Episodes of which it says otherwise than what was recorded."""
    rewards: float = 0.0
    """Sum of all rewards, by a model that gives those."""


def labels_for(model: RewardModel, episode: Episode, *, reward: str = "") -> list[Label]:
    """What a model says of each state of an episode: whether it is a success, or, without a rule, its reward.

    Args:
        model: Says it.
        episode: Of an archive.
        reward: Of the archive. Where that is a classifier's, the state that a person ended the episode in has its
            verdict, and gets a score alone; and where they ended it as a failure the model sees no success before.
    """
    if model.rule is None:
        value = model.score(stack(episode.states, list(model.inputs))).value
        return [
            Label(episode.stream, int(seq), float(each), version=model.version, who="handrail", kind=REWARD)
            for seq, each in zip(episode.seqs, value, strict=True)
        ]
    gate = model.rule.gate
    names = [*model.inputs, *([gate.name] if gate is not None and gate.name not in model.inputs else [])]
    value = model.score(stack(episode.states, names)).value
    last = episode.steps[-1]
    found = decide(model.rule, value, episode.states, cut=last.terminated and last.success)
    by_person = _ended_by_person(episode, reward)
    if by_person and not last.success:
        # On a robot a claim is made a period or two after its frame, so what was refused is a state before the last.
        found = np.zeros_like(found)
    labels = [
        Label(episode.stream, int(seq), float(success), float(score), version=model.version, who="handrail")
        for seq, success, score in zip(episode.seqs, found, value, strict=True)
    ]
    if by_person:
        labels[-1] = _score(model, episode, int(episode.seqs[-1]), float(value[-1]), SCORE)
    return labels


def _ended_by_person(episode: Episode, reward: str) -> bool:
    """Whether a person at the robot judged the last state; of a task's own outcome a model may think otherwise."""
    last = episode.steps[-1]
    return reward == CLASSIFIED and last.terminated and not last.claimed


def scores_for(model: RewardModel, episode: Episode) -> list[Label]:
    """What a model takes the probability of success to be in each state of an episode, changing no reward.

    Raises:
        ModelError: It has no rule, so that its values are no probabilities.
    """
    if model.rule is None:
        raise ModelError(f"the {model.kind} model {model.version} gives rewards, no probabilities of success")
    values = model.score(stack(episode.states, list(model.inputs))).value
    return [_score(model, episode, int(seq), float(p), SCORE) for seq, p in zip(episode.seqs, values, strict=True)]


def start_for(model: RewardModel, episode: Episode) -> list[Label]:
    """The same of the state that an episode began in; nothing where its beginning is missing."""
    if episode.steps[0].t != 0:
        return []
    value = model.score(stack([episode.steps[0].observation], list(model.inputs))).value[0]
    return [_score(model, episode, int(episode.seqs[0]), float(value), START)]


def _score(model: RewardModel, episode: Episode, seq: int, probability: float, kind: str) -> Label:
    return Label(episode.stream, seq, probability, probability, version=model.version, who="handrail", kind=kind)


def relabel(model: RewardModel, run: str, tell: Callable[[Relabelled], None] = lambda so_far: None) -> Relabelled:
    """Append a model's labels for every step of a run, an episode at a time.

    Raises:
        ModelError: There is no such run, or the model cannot look at its steps.
    """
    path = archive_of(run)
    total = Relabelled(0, 0, 0, 0)
    with StepStore.read(path) as store:
        require_spec(model, store.spec, whose=str(path))
        for episode in episodes_of(store):
            labels = labels_for(model, episode, reward=store.spec.reward)
            append_labels(path, labels + ([] if model.rule is None else start_for(model, episode)))
            kept = _ended_by_person(episode, store.spec.reward) and episode.steps[-1].success
            success = model.rule is not None and (kept or _success_in(labels))
            total = Relabelled(
                total.steps + len(labels),
                total.successes + success,
                total.episodes + 1,
                total.changed + (success != episode.steps[-1].success),
                total.rewards + (0.0 if model.rule is not None else sum(label.value for label in labels)),
            )
            tell(total)
    return total


class Backfill:
    """Labels the episodes of a run in which steps had to be recorded without a score, as they end up in its archive.

    The others get scores alone, where those are wanted of every step: what was judged while the robot ran stays so.
    A model that gives rewards gives every step its own, those too that an earlier version has rewarded.
    """

    def __init__(self, model: RewardModel, archive: Path, *, every: bool = False) -> None:
        """Label what `model` has not, `every` step or those without a score; the archive need not be there yet."""
        self._model, self._archive, self._every = model, archive, every
        self._store: StepStore | None = None
        self._reward = ""
        self._reader = EpisodeReader(archive)
        self._row = 0
        self._done: set[tuple[str, int]] = set()
        self.labelled = 0

    def work(self) -> bool:
        """Look at some more rows; returns whether there may be more at once.

        Raises:
            ModelError: The model cannot look at the run's steps.
            StoreError: The labels cannot be written.
        """
        if self._store is None and not self._open():
            return False
        assert self._store is not None
        until = min(self._store.last_row(), self._row + _ROWS)
        for row in self._store.rows(self._row, until):
            for episode in self._reader.take(row):
                self._label(episode)
        more, self._row = until > self._row, until
        return more

    def close(self) -> None:
        """Close the archive."""
        if self._store is not None:
            self._store.close()

    def _open(self) -> bool:
        try:
            self._store = StepStore.read(self._archive)
        except StoreError:
            return False  # Its learner has not begun it.
        require_spec(self._model, self._store.spec, whose=str(self._archive))
        self._reward = self._store.spec.reward
        labels, _ = labels_since(self._archive)
        ours = (label for label in labels if label.version == self._model.version)
        self._done = {(label.stream, label.seq) for label in ours if label.kind in (SUCCESS, SCORE, REWARD)}
        return True

    def _label(self, episode: Episode) -> None:
        unscored = [
            int(seq) for seq, step in zip(episode.seqs, episode.steps, strict=True) if step.reward_by == UNSCORED
        ]
        gives_rewards = self._model.rule is None
        wanted = [int(seq) for seq in episode.seqs] if self._every or gives_rewards else unscored
        if all((episode.stream, seq) in self._done for seq in wanted):
            return
        if unscored or gives_rewards:
            labels = labels_for(self._model, episode, reward=self._reward)
        else:
            labels = scores_for(self._model, episode)
        append_labels(self._archive, labels + (start_for(self._model, episode) if self._every else []))
        self.labelled += len(labels)
        if unscored and not gives_rewards:
            log.info("labelled late: episode=%d steps=%d success=%s", episode.number, len(labels), _success_in(labels))


def _success_in(labels: list[Label]) -> bool:
    return any(label.kind == SUCCESS and label.value for label in labels)
