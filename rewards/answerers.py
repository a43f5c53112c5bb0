"""Who says which of two pictures is nearer to a goal: a vision-language model in two stages, or a script that knows."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rewards.episodes import archive_of
from rewards.preferences import LEFT, NEITHER, RIGHT, Pair, Pictures, beginnings
from rewards.score import ModelError
from rewards.vlm.client import BUDGET, Vlm
from rewards.vlm.question import Answer, Question
from wire.labels import PROGRESS, effective, labels_since

_ANALYSE = """Two pictures of a robot at work are shown, the first one, then the second one. Where a picture has
several parts side by side, they are views of the same moment by several cameras. The goal is: {goal}.
1. What is shown in the first picture, as far as the goal is concerned?
2. What is shown in the second picture, as far as the goal is concerned?
3. Is there any difference between the two with regard to the goal, and if so, which of them is nearer to it?"""
_ANSWER = """Somebody has compared two pictures of a robot at work. The goal is: {goal}. This is the comparison:
<<<
{analysis}
>>>
Is the goal better achieved in the first picture or in the second one? Answer with one number on a single line and with
nothing else: 0 if the first picture is nearer to the goal, 1 if the second one is, -1 if there is no difference or it
cannot be told."""
_STRIP = """
Each picture is a strip of three frames: how a stretch of {n} steps began, stood half-way, and ended. What is compared
is how far the robot has come towards the goal within it."""
_LINE = re.compile(r"""[\s*_#"'`([]*(?:(?:final )?answer[\s*_:]*)?(?P<number>-?[01])[\s*_"'`)\].]*""", re.IGNORECASE)
"""A line that is an answer and nothing else, but for what models like to put around it."""


class Said(NamedTuple):
    """What came of one pair."""

    answer: int | None
    """LEFT, RIGHT, NEITHER; None where there was no answer at all, and the pair may be asked again."""
    words: str = ""
    """What the model said, or why it did not."""


def parse_answer(text: str) -> int | None:
    """The answer in a text: of a line that says 0, 1 or -1 and nothing else; None without one, or with two that differ.

    A number within a sentence may be that of a picture, or of anything.
    """
    lines = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    numbers = {int(line["number"]) for line in lines if line}
    return numbers.pop() if len(numbers) == 1 else None


def ask_pairs(vlm: Vlm, goal: str, pictures: Pictures, pairs: Sequence[Pair], *, both_orders: bool) -> list[Said]:
    """Two questions for each pair: what the pictures show, without being asked to decide, and then, of that, which.

    RL-VLM-F (Wang et al. 2024, arXiv 2402.03681). An answer that is none of 0, 1 and -1 counts as -1; so does one that
    turns round when the pictures are exchanged, where `both_orders` asks for that.

    Raises:
        VlmError: There is no use in asking on.
    """
    said = _ask(vlm, goal, pictures, pairs)
    if not both_orders:
        return said
    turned = _ask(vlm, goal, pictures, [Pair(pair.right, pair.left) for pair in pairs])
    return [_agreed(one, other) for one, other in zip(said, turned, strict=True)]


def _ask(vlm: Vlm, goal: str, pictures: Pictures, pairs: Sequence[Pair]) -> list[Said]:
    shown = [tuple(pictures.side_by_side(moment) for moment in pair) for pair in pairs]
    goal = goal if not pictures.segment else f"{goal}.{_STRIP.format(n=pictures.segment)}"
    analyses = vlm.ask([Question(_ANALYSE.format(goal=goal), images) for images in shown])
    decided = [index for index, answer in enumerate(analyses) if answer.text is not None]
    answers = vlm.ask([Question(_ANSWER.format(goal=goal, analysis=analyses[index].text)) for index in decided])
    second = dict(zip(decided, answers, strict=True))
    return [_said(analysis, second.get(index)) for index, analysis in enumerate(analyses)]


def _said(analysis: Answer, answer: Answer | None) -> Said:
    if answer is None or answer.text is None:
        return Said(None, (answer or analysis).problem or BUDGET)
    number = parse_answer(answer.text)
    return Said(NEITHER if number is None else number, f"{analysis.text}\n---\n{answer.text}")


def _agreed(one: Said, other: Said) -> Said:
    if one.answer is None or other.answer is None:
        return one if one.answer is None else other
    same = one.answer != NEITHER and one.answer == 1 - other.answer
    return Said(one.answer if same else NEITHER, f"{one.words}\n=== and with the pictures exchanged\n{other.words}")


def true_progress(runs: Sequence[str]) -> dict[tuple[str, int], float]:
    """(stream, seq) -> how near the task is to its end, where a simulation has said so; raises ModelError."""
    found: dict[tuple[str, int], float] = {}
    for run in runs:
        labels, _ = labels_since(archive_of(run))
        found |= {key: label.value for key, label in effective(labels, PROGRESS).items()}
    if not found:
        raise ModelError(
            f"nobody has said how near the task is to its end in {', '.join(map(str, runs))}; only a simulation can: "
            "record frames with handrail rewards collect"
        )
    return found


def true_gains(runs: Sequence[str], segment: int) -> dict[tuple[str, int], float]:
    """(stream, seq) of the last step of a segment -> how much nearer the task came to its end within it.

    With a cost of one for every step that is the sum of its advantages, which is what preferences of segments are about
    (Knox et al. 2022), but for the number of steps, which all have in common. Raises ModelError.
    """
    progress = true_progress(runs)
    return {
        end: progress[end] - progress[start]
        for end, start in beginnings(runs, segment).items()
        if end in progress and start in progress
    }


def script_answers(
    pairs: Sequence[Pair], progress: dict[tuple[str, int], float], accuracy: Sequence[float], abstain: float, seed: int
) -> list[Said]:
    """A labeller who errs as a model does: the more, the less two moments differ in their progress.

    Of the pair that differs least a share of accuracy[0] is answered rightly and `abstain` not at all, of the one that
    differs most accuracy[1] and none; in between by rank. The rest is wrong. (RL-VLM-F, figure on label accuracy.)

    Raises:
        ModelError: The progress of a moment is not known.
    """
    missing = sum(moment not in progress for pair in pairs for moment in pair)
    if missing:
        raise ModelError(f"the true progress of {missing} moments is not known; record frames with rewards collect")
    gaps = np.array([progress[pair.right] - progress[pair.left] for pair in pairs])
    rank = np.argsort(np.argsort(np.abs(gaps), kind="stable"), kind="stable") / max(1, len(pairs) - 1)
    right_share = accuracy[0] + (accuracy[1] - accuracy[0]) * rank
    drawn = np.random.default_rng([seed, 12]).uniform(size=len(pairs))
    truth = np.where(gaps > 0, RIGHT, LEFT)
    answers = np.where(drawn < right_share, truth, 1 - truth)
    silent = (drawn >= right_share) & (drawn < right_share + abstain * (1.0 - rank))
    return [
        Said(NEITHER if quiet or not gap else int(answer))
        for answer, quiet, gap in zip(answers, silent, gaps, strict=True)
    ]
