"""Which frames of a run a person should look at, and what became of them."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rewards.episodes import Episode, archive_of, episodes_of
from rewards.score import ModelError, RewardModel, require_spec, stack
from wire.labels import Label, append_labels, effective, labels_since
from wire.store import StepStore
from wire.types import Observation

_GAP = 4
_SCALE_TO = 128
"""Pixels of a frame's height on the page, where it has fewer."""


class Cell(NamedTuple):
    """One state on the sheet."""

    stream: str
    seq: int
    caption: str
    picture: bytes
    """PNG, the cameras side by side."""


class Sheet:
    """The states of one run that are to be marked, the most telling first, and their labels."""

    page = Path(__file__).with_name("page.html")

    def __init__(self, run: str, *, frames: int, model: RewardModel | None = None, who: str = "") -> None:
        """Choose the states.

        Args:
            run: Folder of a run, or a file.
            frames: How many at most.
            model: Whose surest claims and greatest doubts come first; without one, the ends of episodes do.
            who: Name under which labels are kept.

        Raises:
            ModelError: There is no run, it has no frames, or the model cannot look at them.
        """
        self.archive: Path = archive_of(run)
        self.who = who
        chosen: list[tuple[float, Cell]] = []
        with StepStore.read(self.archive) as store:
            names = [name for name, array in store.spec.observation.items() if array.is_frame]
            if not names:
                raise ModelError(f"{self.archive} has no frames to look at: record runs with obs=pixels")
            if model is not None:
                require_spec(model, store.spec, whose=str(self.archive))
            per_episode = 8
            for episode in episodes_of(store):
                chosen += _telling(episode, names, model, per_episode)
                if len(chosen) > 8 * frames:
                    chosen = sorted(chosen, key=lambda item: item[0])[: 4 * frames]
        self.cells = [cell for _, cell in sorted(chosen, key=lambda item: item[0])[:frames]]

    def marks(self) -> dict[int, int]:
        """Index of a cell -> what counts of it now, 1 or 0; those without a label are not there."""
        labels, _ = labels_since(self.archive)
        known = effective(labels)
        keys = [(cell.stream, cell.seq) for cell in self.cells]
        return {index: int(known[key].value >= 0.5) for index, key in enumerate(keys) if key in known}

    def mark(self, marks: Mapping[int, Any]) -> int:
        """Keep a person's labels, by index of the cell; returns how many.

        Raises:
            ModelError: There is no such cell, or a mark is neither true nor false.
        """
        for value in marks.values():
            if not isinstance(value, bool):
                raise ModelError(f"a mark is true or false, got {value!r}")
        unknown = [index for index in marks if not 0 <= index < len(self.cells)]
        if unknown:
            raise ModelError(f"there is no frame {unknown[0]} on this sheet of {len(self.cells)}")
        labels = [
            Label(self.cells[index].stream, self.cells[index].seq, float(success), source="person", who=self.who)
            for index, success in marks.items()
        ]
        append_labels(self.archive, labels)
        return len(labels)

    def summary(self) -> str:
        """One line for people."""
        marks = self.marks()
        successes = sum(marks.values())
        return f"{successes} successes and {len(marks) - successes} others are marked on this sheet"


def _telling(episode: Episode, names: Sequence[str], model: RewardModel | None, most: int) -> list[tuple[float, Cell]]:
    """(rank, cell) of an episode's most telling states, low ranks first."""
    n = len(episode.states)
    if model is None:
        rows = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
        ranks = {int(row): float(n - 1 - row) for row in rows}
        said = dict.fromkeys(ranks, "")
    else:
        value = model.score(stack(episode.states, list(model.inputs))).value
        threshold = 0.5 if model.rule is None else model.rule.threshold
        rows = np.argsort(np.abs(value - threshold))[:most]
        ranks = {int(row): float(abs(value[row] - threshold)) for row in rows}
        said = {int(row): f" p={value[row]:.2f}" for row in rows}
    number = episode.number
    return [
        (
            rank,
            Cell(
                episode.stream,
                int(episode.seqs[row]),
                f"episode {number} t {episode.steps[row].t}{said[row]}",
                picture(episode.states[row], names),
            ),
        )
        for row, rank in ranks.items()
    ]


def picture(state: Observation, names: Sequence[str]) -> bytes:
    """The cameras' frames side by side, as PNG."""
    from PIL import Image

    images = [Image.fromarray(state[name]) for name in names]
    height = max(_SCALE_TO, *(image.height for image in images))
    images = [image.resize((round(image.width * height / image.height), height)) for image in images]
    sheet = Image.new("RGB", (sum(image.width + _GAP for image in images) - _GAP, height), (255, 255, 255))
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + _GAP
    data = io.BytesIO()
    sheet.save(data, format="PNG")
    return data.getvalue()
