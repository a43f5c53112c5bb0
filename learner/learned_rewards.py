"""Rewards that a model has given steps, beside their archives: in the place of those recorded."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from rewards.config import REWARD as CLASSIFIED
from wire.errors import UserError
from wire.labels import REWARD, SUCCESS, labels_since
from wire.specs import EnvSpec
from wire.store import Row
from wire.types import UNSCORED

Rewards = dict[tuple[str, int], float]
"""(stream, seq) -> the reward of the step."""


def classified(spec: EnvSpec) -> EnvSpec:
    """The spec with a success classifier's reward: 1 where the task is done, and then it ends."""
    return msgspec.structs.replace(spec, reward=CLASSIFIED, return_bounds=(0.0, 1.0))


def labelled(archive: Path) -> bool:
    """Whether a model or a person has said afterwards which of its steps are successes."""
    return any(label.kind == SUCCESS for label in labels_since(archive)[0])


def require_classified(spec: EnvSpec, archive: Path) -> None:
    """Raise UserError where demonstrations have the task's reward, and no labels of a classifier beside them."""
    if spec.reward != CLASSIFIED and not labelled(archive):
        raise UserError(
            f"{archive} is rewarded by {spec.reward}, this run by a classifier: label it first, "
            f"handrail rewards relabel model=<folder> runs=[{archive}]"
        )


def rewards_of(archive: Path, version: str) -> Rewards:
    """What the model of this version, and no other, says of an archive's steps; raises StoreError."""
    labels, _ = labels_since(archive)
    return {
        (label.stream, label.seq): label.value for label in labels if label.kind == REWARD and label.version == version
    }


def rewarded(rows: Iterable[Row], rewards: Rewards, version: str) -> Iterator[Row]:
    """The rows with the model's rewards; those without one as `unrewarded` has them."""
    for row in map(unrewarded, rows):
        value = rewards.get((row.stream, row.seq))
        if value is not None:
            row = row._replace(step=msgspec.structs.replace(row.step, reward=value, reward_by=version))
        yield row


def unrewarded(row: Row) -> Row:
    """The row with a reward that nobody knows yet.

    That an episode was recorded as done counts no more: the reward alone says what is good, and a step that ended one
    is followed by value as if its time had been up.
    """
    ended = row.step.ended
    step = msgspec.structs.replace(
        row.step, reward=0.0, reward_by=UNSCORED, success=False, terminated=False, truncated=ended
    )
    return row._replace(step=step)
