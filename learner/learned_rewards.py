"""Rewards that a model has given the steps of past runs, beside their archives: in the place of those recorded."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from wire.labels import REWARD, labels_since
from wire.store import Row
from wire.types import UNSCORED

Rewards = dict[tuple[str, int], float]
"""(stream, seq) -> the reward of the step."""


def rewards_of(archive: Path, version: str) -> Rewards:
    """What the model of this version, and no other, says of an archive's steps; raises StoreError."""
    labels, _ = labels_since(archive)
    return {
        (label.stream, label.seq): label.value for label in labels if label.kind == REWARD and label.version == version
    }


def rewarded(rows: Iterable[Row], rewards: Rewards, version: str) -> Iterator[Row]:
    """The rows with the model's rewards; those without one are marked as unscored.

    That an episode was recorded as done counts no more: the reward alone says what is good, and a step that ended one
    is followed by value as if its time had been up.
    """
    for row in rows:
        value = rewards.get((row.stream, row.seq))
        step = msgspec.structs.replace(
            row.step,
            reward=0.0 if value is None else value,
            reward_by=UNSCORED if value is None else version,
            success=False,
            terminated=False,
            truncated=row.step.ended,
        )
        yield row._replace(step=step)
