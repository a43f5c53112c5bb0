"""Labels that come after their steps: what a reward model, or a person, has said of an archive's steps meanwhile."""

import logging
from pathlib import Path

from learner.replay import Replay
from wire.labels import SUCCESS, Label, labels_since, outranks
from wire.store import StoreError

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks at the file."""
_WAITING = 10_000
"""Labels kept for steps that training has yet to take in."""


class LateLabels:
    """Carries the labels beside one archive over to the replay, as they come. A person's outweighs a model's."""

    def __init__(self, archive: Path, replay: Replay, *, by_model: bool) -> None:
        """Carry over what people say of the steps in `archive`, and `by_model`: what models do.

        Where the task gives the reward a model's word is an opinion that somebody wanted to look at, no more.
        """
        self._archive, self._replay, self._by_model = archive, replay, by_model
        self._last = 0
        self._look_s = 0.0
        self._counts: dict[tuple[str, int], Label] = {}
        self._waiting: dict[tuple[str, int], Label] = {}
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
        key = label.stream, label.seq
        if label.kind != SUCCESS or (label.source == "model" and not self._by_model):
            return
        if key in self._counts and not outranks(label, self._counts[key]):
            return
        if label.source == "person":
            # Only what a model may not overrule has to be remembered.
            self._counts[key] = label
        if not self._apply(label):
            self._waiting[key] = label
            while len(self._waiting) > _WAITING:
                self._waiting.pop(next(iter(self._waiting)))

    def _apply(self, label: Label) -> bool:
        done = self._replay.relabel(label.stream, label.seq, success=label.value >= 0.5)
        self.applied += done
        return done
