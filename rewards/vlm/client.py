"""One client for every vision-language model: batches, an answer cache, budgets and the bill."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rewards.vlm.cache import Cache, key_of
from rewards.vlm.config import VlmConfig
from rewards.vlm.question import Answer, Backend, Question, VlmError

BUDGET = "the budget is spent"
"""The problem of a question that was not sent for want of budget."""


@dataclass(frozen=True)
class Bill:
    """What was asked so far, and what it cost."""

    asked: int = 0
    """Questions that were sent."""
    cached: int = 0
    """Questions that were not, because their answers were known."""
    dropped: int = 0
    """Questions without an answer, those for which there was no budget among them."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0

    def __str__(self) -> str:
        """One line for people."""
        cost = f", {self.cost:.4g} spent" if self.cost else ""
        tokens = f"{self.tokens_in} tokens sent, {self.tokens_out} answered"
        return f"{self.asked} questions asked, {self.cached} known already, {self.dropped} dropped; {tokens}{cost}"


class Vlm:
    """Asks a vision-language model. Close it: its cache has one writer at a time."""

    def __init__(self, config: VlmConfig, backend: Backend | None = None) -> None:
        """Prepare; a model that runs here is loaded now, an endpoint is first asked by the first question.

        Args:
            config: Which model, and within what limits.
            backend: What answers in the place of the one that `config` names.

        Raises:
            VlmError: No model is named, it cannot be loaded, or what it needs is not installed.
            StoreError: The cache cannot be opened.
        """
        if not config.model:
            raise VlmError("no model is named; set vlm.model, and vlm.endpoint where a server has it")
        self.config = config
        self._backend = backend or _backend(config)
        self._cache = None if config.cache is None else Cache(Path(config.cache))
        self.bill = Bill()

    @property
    def spent(self) -> bool:
        """Whether the budget allows no further question."""
        config, bill = self.config, self.bill
        all_asked = config.max_questions is not None and bill.asked >= config.max_questions
        return all_asked or (config.max_cost is not None and bill.cost >= config.max_cost)

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """An answer for every question, in their order; one that did not come has a problem in its place.

        Equal questions are asked once, known ones not at all, and every answer is kept as it comes. An answer takes
        `timeout_s` at most, so all of them take that times their number over `parallel`.

        Raises:
            VlmError: There is no use in asking on: no such endpoint, model or key, or one failure after another.
            StoreError: The cache cannot be read or written.
        """
        keys = [key_of(question, self._backend.identity) for question in questions]
        found: dict[str, Answer] = {}
        if self._cache is not None:
            found = {key: answer for key in dict.fromkeys(keys) if (answer := self._cache.get(key)) is not None}
        known = sum(key in found for key in keys)
        new = {key: question for key, question in zip(keys, questions, strict=True) if key not in found}
        self.bill = replace(self.bill, cached=self.bill.cached + known)
        order = list(new)
        if order:
            self._backend.answer(
                list(new.values()), lambda index, answer: self._take(order[index], answer, found), self._may_ask
            )
        answers = [found.get(key, Answer(problem=BUDGET)) for key in keys]
        dropped = sum(bool(answer.problem) for answer in answers)
        self.bill = replace(self.bill, dropped=self.bill.dropped + dropped)
        return answers

    def close(self) -> None:
        """Let another process have the cache."""
        if self._cache is not None:
            self._cache.close()

    def _may_ask(self) -> bool:
        """Whether one more question may be sent; it counts as sent."""
        if self.spent:
            return False
        self.bill = replace(self.bill, asked=self.bill.asked + 1)
        return True

    def _take(self, key: str, answer: Answer, found: dict[str, Answer]) -> None:
        config, bill = self.config, self.bill
        cost = (answer.tokens_in * config.price_in + answer.tokens_out * config.price_out) / 1e6
        self.bill = replace(
            bill,
            tokens_in=bill.tokens_in + answer.tokens_in,
            tokens_out=bill.tokens_out + answer.tokens_out,
            cost=bill.cost + cost,
        )
        found[key] = answer
        if self._cache is not None and not answer.problem:
            self._cache.put(key, answer)


@contextlib.contextmanager
def opened(config: VlmConfig) -> Iterator[Vlm]:
    """A client that is closed in the end; raises as `Vlm` does."""
    vlm = Vlm(config)
    try:
        yield vlm
    finally:
        vlm.close()


def _backend(config: VlmConfig) -> Backend:
    if config.endpoint is not None:
        from rewards.vlm.endpoint import Endpoint

        return Endpoint(config)
    from rewards.vlm.local import LocalModel

    return LocalModel(config)
