"""Labels that come after their steps: what a reward model, or a person, has said of an archive's steps meanwhile."""

import logging
from pathlib import Path

from learner.replay import Replay
from rewards.config import REWARD as CLASSIFIED
from wire.labels import REWARD, SCORE, START, SUCCESS, Label, labels_since, outranks
from wire.store import StoreError

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks at the file."""
_WAITING = 10_000
"""Labels kept for steps that training has yet to take in."""


class LateLabels:
    """Carries the labels beside one archive over to the replay, as they come. A person's outweighs a model's."""

    def __init__(
        self, archive: Path, replay: Replay, *, by_model: bool, version: str = "", reward: str = CLASSIFIED
    ) -> None:
        """Carry over what people say of the steps in `archive`, and `by_model`: what models do.

        With a `version`, nothing but the rewards that the model of this version gives: nobody else's word counts then.

        Where the task gives the reward a model's word is an opinion that somebody wanted to look at, no more. Where the
        replay shapes rewards, what models think of states is carried over too, whoever's word counts for the reward.

        Where the archive's own `reward` is a classifier's, an end that no model claimed is a person's, who pressed a
        button at the robot: that stands in the step and not in the file of labels, and outweighs models all the same.
        """
        self._archive, self._replay, self._by_model, self._version = archive, replay, by_model, version
        self._people_end = reward == CLASSIFIED
        self._last = 0
        self._look_s = 0.0
        self._counts: dict[tuple[str, int], Label] = {}
        self._waiting: dict[tuple[str, int, str], Label] = {}
        self.applied = 0
        """Labels that have reached a transition."""

    def poll(self, now_s: float) -> None:
        """Look whether there are new ones, about once a second; a file that cannot be read is tried again."""
        if now_s < self._look_s:
            return
        self._look_s = now_s + LOOK_S
        try:
            labels, self._last = labels_since(self._archive, self._last)
        except StoreError as error:
            log.error("late labels: %s", error)
            labels = []
        for label in labels:
            self._take(label)
        for key in [key for key, label in self._waiting.items() if self._apply(label)]:
            del self._waiting[key]

    def _take(self, label: Label) -> None:
        if self._version:
            if label.kind == REWARD and label.version == self._version:
                self._offer(label)
            return
        if label.source == "model" and not self._by_model:
            return
        if label.source == "model" and label.score is not None and self._replay.shaped:
            self._offer(label if label.kind != SUCCESS else label._replace(kind=SCORE))
        if label.kind == SUCCESS:
            self._take_success(label)

    def _take_success(self, label: Label) -> None:
        key = label.stream, label.seq
        if key in self._counts and not outranks(label, self._counts[key]):
            return
        if label.source == "person":
            # Only what a model may not overrule has to be remembered.
            self._counts[key] = label
        self._offer(label)

    def _offer(self, label: Label) -> None:
        """Apply a label, now or when its step has been taken in."""
        if not self._apply(label):
            self._waiting[label.stream, label.seq, label.kind] = label
            while len(self._waiting) > _WAITING:
                self._waiting.pop(next(iter(self._waiting)))

    def _apply(self, label: Label) -> bool:
        stream, seq, score = label.stream, label.seq, label.score
        if label.kind == SUCCESS:
            keep_ends = self._people_end and label.source != "person"
            done = self._replay.relabel(stream, seq, success=label.value >= 0.5, keep_ends=keep_ends)
        elif label.kind == REWARD:
            done = self._replay.reward(stream, seq, label.value)
        else:
            done = score is not None and self._replay.judge(stream, seq, score, before=label.kind == START)
        self.applied += done
        return done
