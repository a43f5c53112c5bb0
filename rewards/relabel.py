"""A model's word for the steps of an archive, appended beside it; and for those that were recorded without a score."""

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rewards.config import REWARD as CLASSIFIED
from rewards.decide import decide
from rewards.episodes import Episode, EpisodeReader, archive_of, episodes_of
from rewards.score import RewardModel, require_spec, stack
from wire.database import StoreError
from wire.labels import REWARD, SCORE, START, SUCCESS, Label, append_labels, labels_since
from wire.store import StepStore
from wire.types import UNSCORED

log = logging.getLogger(__name__)

_ROWS = 32
_STATES = 16
"""Of a live archive, read and scored between two answers to a robot, whose next question waits meanwhile."""


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
    return _labels(model, episode, model.score(stack(episode.states, list(model.inputs))).value, reward)


def _labels(model: RewardModel, episode: Episode, value: np.ndarray, reward: str) -> list[Label]:
    """The same, of its scores, float (n,)."""
    if model.rule is None:
        return [
            Label(episode.stream, int(seq), float(each), version=model.version, who="handrail", kind=REWARD)
            for seq, each in zip(episode.seqs, value, strict=True)
        ]
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


def start_for(model: RewardModel, episode: Episode) -> list[Label]:
    """The model's probability of success in the state that an episode began in; nothing where its beginning is missing.

    It changes no reward, as no score does.
    """
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
        self._ended: deque[Episode] = deque()
        """Episodes that wait for their labels."""
        self._values: list[float] = []
        """Scores of the first of them, as far as there are any."""
        self._done: set[tuple[str, int]] = set()
        self.labelled = 0

    def work(self) -> bool:
        """Read some more rows, or score some more states; returns whether there may be more to do at once.

        Raises:
            ModelError: The model cannot look at the run's steps.
            StoreError: The archive cannot be read, or the labels not be written.
        """
        if self._store is None and not self._open():
            return False
        assert self._store is not None
        if not self._ended and not self._read(self._store):
            return False
        if self._ended:
            self._score_some(self._ended[0])
        return True

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

    def _read(self, store: StepStore) -> bool:
        """Queue the episodes that end in some more rows; returns whether there were any rows."""
        begin, until = self._row, min(store.last_row(), self._row + _ROWS)
        for row in store.rows(begin, until):
            self._row = row.row
            self._ended += [episode for episode in self._reader.take(row) if self._wanted(episode)]
        self._row = until
        return until > begin

    def _wanted(self, episode: Episode) -> bool:
        """Whether a step that should have a label has none."""
        every = self._every or self._model.rule is None
        seqs = [
            int(seq)
            for seq, step in zip(episode.seqs, episode.steps, strict=True)
            if every or step.reward_by == UNSCORED
        ]
        return not all((episode.stream, seq) in self._done for seq in seqs)

    def _score_some(self, episode: Episode) -> None:
        """Score the next states of an episode, and append its labels, all at once, with the last of them.

        Until that has been done the episode stays queued, with its scores: success is k of the last n of them.
        """
        began = [episode.steps[0].observation] if self._every and episode.steps[0].t == 0 else []
        states = episode.states + began
        some = states[len(self._values) : len(self._values) + _STATES]
        if some:
            self._values += self._model.score(stack(some, list(self._model.inputs))).value.tolist()
        if len(self._values) < len(states):
            return
        labels = self._said(episode, np.array(self._values))
        append_labels(self._archive, labels)
        self.labelled += sum(label.kind != START for label in labels)
        self._ended.popleft()
        self._values = []

    def _said(self, episode: Episode, values: np.ndarray) -> list[Label]:
        """The labels of an episode: `values` are of its states, and of the one it began in where that is wanted."""
        model, n = self._model, len(episode.states)
        start = [_score(model, episode, int(episode.seqs[0]), float(p), START) for p in values[n:]]
        late = any(step.reward_by == UNSCORED for step in episode.steps)
        if not late and model.rule is not None:
            scores = zip(episode.seqs, values[:n], strict=True)
            return [_score(model, episode, int(seq), float(p), SCORE) for seq, p in scores] + start
        labels = _labels(model, episode, values[:n], self._reward)
        if model.rule is not None:
            success = _success_in(labels)
            log.info("labelled late: episode=%d steps=%d success=%s", episode.number, n, success)
        return labels + start


def _success_in(labels: list[Label]) -> bool:
    return any(label.kind == SUCCESS and label.value for label in labels)
