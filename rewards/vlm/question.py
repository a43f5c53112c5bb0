"""What is asked of a vision-language model, and what comes of it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from wire.errors import UserError


class VlmError(UserError):
    """The model cannot be asked at all: no such endpoint, model or key, or nothing but failures; the text says why."""


class Question(NamedTuple):
    """One question; equal ones have one answer."""

    prompt: str
    images: tuple[np.ndarray, ...] = ()
    """Uint8, each of shape (height, width, 3), shown before the words and in this order."""
    choices: tuple[str, ...] = ()
    """Words of which one is the answer; its probabilities are then asked for instead of a text."""


class Answer(NamedTuple):
    """What came of a question: a text, the probabilities of its choices, or neither, and why."""

    text: str | None = None
    probabilities: tuple[float, ...] | None = None
    """Of the question's choices, finite, summing to 1. One of them is 1 where the model only says which."""
    problem: str = ""
    """Why there is no answer: it came too late, was empty or malformed, the endpoint refused, the budget is spent."""
    tokens_in: int = 0
    tokens_out: int = 0
    cached: bool = False


class Backend(Protocol):
    """A model that answers."""

    identity: str
    """Tells its answers from another model's."""

    def answer(
        self, questions: Sequence[Question], take: Callable[[int, Answer], None], may_ask: Callable[[], bool]
    ) -> None:
        """Hand every answer, with the index of its question, to `take` as it comes, until `may_ask` says no.

        Raises:
            VlmError: There is no use in asking on.
        """
        ...


def settled(question: Question, text: str | None, likely: Sequence[float] | None) -> Answer:
    """The answer in a text, or in the probability mass (k,) that a model gives its choices' first tokens."""
    if question.choices and likely is not None and sum(likely) > _ENOUGH:
        total = float(sum(likely))
        return Answer(text, tuple(float(mass) / total for mass in likely))
    if not text or not text.strip():
        return Answer(problem="the answer is empty")
    if not question.choices:
        return Answer(text[:_LONGEST])
    said = [choice for choice in question.choices if _word_in(choice, text)]
    if len(said) != 1:
        return Answer(problem=f"the answer names {' and '.join(said) or 'none'} of {', '.join(question.choices)}")
    return Answer(text[:_LONGEST], tuple(float(choice == said[0]) for choice in question.choices))


_ENOUGH = 0.05
"""Probability mass below which a model does not really choose among the choices."""
_LONGEST = 20_000


def _word_in(choice: str, text: str) -> bool:
    words = "".join(char if char.isalnum() or char == "-" else " " for char in text.lower()).split()
    return choice.lower() in words
