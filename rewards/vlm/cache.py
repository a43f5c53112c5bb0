"""Answers on disk, so that no question is paid for twice and an interrupted run goes on where it was."""

import contextlib
import hashlib
import json
import math
from pathlib import Path

import numpy as np

from rewards.vlm.question import Answer, Question
from wire.database import Kind, Writer, explained

_KIND = Kind(
    name="cache of a vision-language model's answers",
    application_id=0x48525643,  # "HRVC"
    format=1,
    schema="CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;",
)


def key_of(question: Question, identity: str) -> str:
    """Hash of all that decides an answer: the model and its settings, the words, the pixels."""
    digest = hashlib.sha256(json.dumps([identity, question.prompt, question.choices]).encode())
    for image in question.images:
        digest.update(repr((image.shape, str(image.dtype))).encode() + np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


class Cache:
    """One file of answers, with one process that writes it; close it to let the next one in."""

    def __init__(self, path: Path) -> None:
        """Create or open it; raises StoreError where it is something else or another process has it."""
        self._writer = Writer(path, _KIND, synchronous="NORMAL")

    def get(self, key: str) -> Answer | None:
        """The answer kept under a key, None where there is none or what is there is damaged."""
        with explained(self._writer.path, "read"):
            row = self._writer.db.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else _answer(row[0])

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer, at once; raises StoreError where the disk does not take it."""
        kept = json.dumps([answer.text, answer.probabilities, answer.tokens_in, answer.tokens_out])
        with explained(self._writer.path, "write"):
            self._writer.begin()
            self._writer.db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, kept))
            self._writer.commit()

    def close(self) -> None:
        """Let the next process in."""
        self._writer.close()


def _answer(kept: str) -> Answer | None:
    with contextlib.suppress(ValueError, TypeError):
        text, probabilities, tokens_in, tokens_out = json.loads(kept)
        if probabilities is not None:
            probabilities = tuple(float(each) for each in probabilities)
            if not all(math.isfinite(each) for each in probabilities):
                return None
        if text is None or isinstance(text, str):
            return Answer(text, probabilities, "", int(tokens_in), int(tokens_out), cached=True)
    return None
