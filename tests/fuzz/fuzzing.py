"""What the fuzz targets share: their corpus, and Atheris where it is installed."""

import importlib
import logging
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

CORPUS = Path(__file__).parent / "corpus"
PARENT_BYTES = 4096


class Mutating(Protocol):
    """What makes mutants."""

    def mutant(self) -> bytes:
        """Any."""
        ...

    def mutate(self, frame: bytes) -> bytes:
        """One of this frame."""
        ...


def corpus(target: str) -> dict[str, bytes]:
    """The committed inputs of a target by name: golden ones, hand-made evil ones, and every one that ever failed."""
    return {path.stem: path.read_bytes() for path in sorted((CORPUS / target).glob("*.bin"))}


def parents(target: str) -> tuple[list[bytes], list[bytes]]:
    """The inputs to make mutants of, golden and evil: the short ones, for a long one takes the time of many."""
    golden, evil = [], []
    for name, data in corpus(target).items():
        if 5 < len(data) <= PARENT_BYTES and data[:1] != b"{":
            (golden if name.startswith("golden") else evil).append(data)
    return golden, evil


def assert_plain(error: Exception) -> None:
    """A refusal is one short line, though it quotes what it refuses."""
    text = str(error)
    assert len(text) < 500, len(text)
    assert text.isprintable(), text


def main(target: str, one: Callable[[bytes], None], mutator: Mutating) -> None:
    """Run `one` under Atheris, with our mutants and its own in turn, from the committed corpus.

    Atheris is no dependency: `pip install atheris`, then e.g.
    `PYTHONPATH=. python tests/fuzz/fuzz_link.py -runs=1000000`.
    """
    atheris: Any = importlib.import_module("atheris")

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        if random.Random(seed).random() < 0.5:
            return atheris.Mutate(data, max_size)
        return mutator.mutate(data)[:max_size]

    logging.disable()
    atheris.instrument_all()
    with tempfile.TemporaryDirectory() as found:
        # What it finds interesting goes to the first folder: the committed one is only read.
        arguments = [*sys.argv, found, str(CORPUS / target)]
        atheris.Setup(arguments, lambda data: one(bytes(data)), custom_mutator=mutate)
        atheris.Fuzz()
