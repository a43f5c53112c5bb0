"""The pairs that a person is to compare, and what they said: what the page shows in the place of single frames."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rewards.preferences import (
    LEFT,
    NEITHER,
    RIGHT,
    Moment,
    Pair,
    Pictures,
    Preference,
    PreferenceFile,
    read_preferences,
)
from rewards.score import ModelError
from rewards.sheet import Cell

_ANSWERS = {"left": LEFT, "right": RIGHT, "neither": NEITHER}
_GAP = 24
_SIDE = 192
"""Pixels of a picture's height on the page, where it has fewer."""


class PairSheet:
    """Pairs side by side; those that a person has not answered come first."""

    page = Path(__file__).with_name("pair_sheet.html")

    def __init__(
        self, path: Path, file: PreferenceFile, pictures: Pictures, pairs: Sequence[Pair], *, question: str, who: str
    ) -> None:
        """Show `pairs`, and append to `file`, which is at `path`, what `who` says of them."""
        self.archive, self._file, self._question, self._who = path, file, question, who
        self._segment = pictures.segment
        known = read_preferences(path, pictures.segment)
        by_person = {pair for pair, each in known.items() if each.source == "person"}
        self._pairs = sorted(pairs, key=lambda pair: pair in by_person)
        self.cells = [Cell(pair.left.stream, pair.left.seq, question, _png(pictures, *pair)) for pair in self._pairs]
        names = {answer: name for name, answer in _ANSWERS.items()}
        self._said = {index: names[known[pair].answer] for index, pair in enumerate(self._pairs) if pair in by_person}

    def marks(self) -> dict[int, Any]:
        """Index of a pair -> left, right or neither; those that nobody has answered are not there."""
        return dict(self._said)

    def mark(self, marks: Mapping[int, Any]) -> int:
        """Keep a person's answers, by index of the pair; raises ModelError on what is no pair or no answer."""
        for index, answer in marks.items():
            if not 0 <= index < len(self._pairs):
                raise ModelError(f"there is no pair {index} on this sheet of {len(self._pairs)}")
            if not isinstance(answer, str) or answer not in _ANSWERS:
                raise ModelError(f"an answer is one of {', '.join(_ANSWERS)}, got {answer!r}")
        self._file.append(
            Preference(self._pairs[index], _ANSWERS[answer], "person", self._who, self._question, segment=self._segment)
            for index, answer in marks.items()
        )
        self._said |= marks
        return len(marks)

    def summary(self) -> str:
        """One line for people."""
        return f"{len(self._said)} of {len(self._pairs)} pairs are answered"


def _png(pictures: Pictures, left: Moment, right: Moment) -> bytes:
    from PIL import Image

    sides = [pictures.side_by_side(moment) for moment in (left, right)]
    grow = max(1, round(_SIDE / sides[0].shape[0]))
    gap = np.full((sides[0].shape[0] * grow, _GAP, 3), 255, np.uint8)
    sides = [side.repeat(grow, 0).repeat(grow, 1) for side in sides]
    data = io.BytesIO()
    Image.fromarray(np.concatenate([sides[0], gap, sides[1]], axis=1)).save(data, format="PNG")
    return data.getvalue()
