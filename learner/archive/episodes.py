"""Whole episodes out of archive files, damaged ones included: what is intact is used, the rest counted and named."""

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from learner.archive.config import Selection
from learner.archive.facts import ARCHIVE
from learner.archive.select import fits
from wire.archive_file import rebuild, salvaged_spec
from wire.database import DamagedError
from wire.store import EpisodeSummary, Row, StepStore


@contextlib.contextmanager
def open_intact(path: Path) -> Iterator[StepStore]:
    """Open a file to read; of one that is too damaged for that, a temporary copy of what is intact in it.

    Raises:
        DamagedError: Nothing of it is intact.
        StoreError: It is no archive, or cannot be read for other reasons.
    """
    with contextlib.ExitStack() as stack:
        try:
            store = StepStore.read(path)
        except DamagedError as error:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            store = StepStore.read(_salvage(path, folder, error))
            store.repaired = f"{path} is damaged: {store.count()} intact steps of it are used"
        yield stack.enter_context(store)


@dataclass
class Episodes:
    """The finished episodes of a file, one after the other; afterwards it says what was not among them."""

    store: StepStore
    selection: Selection = field(default_factory=Selection)
    frames: bool = True
    kind: str = "run"
    unfinished: int = 0
    """Steps of episodes without an end."""
    broken: list[tuple[str, int]] = field(default_factory=list)
    """Stream and number of the episodes of which a step is missing or damaged."""
    left_out: int = 0
    """Episodes that were not chosen."""

    def __iter__(self) -> Iterator[tuple[EpisodeSummary, list[Row]]]:
        """Each episode with its rows, in the order in which they ended."""
        under_way: dict[str, list[Row]] = {}
        for row in self.store.rows(frames=self.frames):
            rows = under_way.setdefault(row.stream, [])
            if rows and rows[-1].step.episode != row.step.episode:
                self._unfinished(rows)
                under_way[row.stream] = rows = []
            rows.append(row)
            if not row.step.ended:
                continue
            del under_way[row.stream]
            if [each.step.t for each in rows] != list(range(len(rows))):
                self.broken.append((row.stream, row.step.episode))
                continue
            summary = summed_up(rows)
            if fits(summary, self.selection, self.kind):
                yield summary, rows
            else:
                self.left_out += 1
        for rows in under_way.values():
            self._unfinished(rows)

    def _unfinished(self, rows: list[Row]) -> None:
        self.unfinished += len(rows)

    def remarks(self) -> list[str]:
        """One sentence for each thing that was not used."""
        said = [self.store.repaired] if self.store.repaired else []
        if self.store.damaged:
            said.append(f"{self.store.damaged} steps of {self.store.path} are damaged and were left out")
        if self.broken:
            first = ", ".join(f"{number} of stream {stream[:8]}" for stream, number in self.broken[:3])
            said.append(f"{len(self.broken)} episodes lack steps and were left out ({first})")
        if self.unfinished:
            said.append(f"{self.unfinished} steps belong to episodes without an end and were left out")
        return said


def summed_up(rows: list[Row]) -> EpisodeSummary:
    """The summary of an episode, from its steps."""
    last = rows[-1].step
    return EpisodeSummary(
        stream=rows[0].stream,
        episode=last.episode,
        length=len(rows),
        episode_return=sum(row.step.reward for row in rows),
        success=any(row.step.success for row in rows),
        human_steps=sum(row.step.intervened for row in rows),
        terminated=last.terminated,
        truncated=last.truncated,
        first_seq=rows[0].seq,
        last_seq=rows[-1].seq,
    )


def _salvage(path: Path, folder: Path, because: DamagedError) -> Path:
    copy = folder / ARCHIVE
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
    spec = salvaged_spec(copy)
    if spec is None:
        raise because
    # What it logs is about the copy, of which nobody knows.
    logging.getLogger("wire.salvage").disabled = True
    try:
        rebuild(copy, spec, because=because)
        StepStore.open(copy, spec).close()
    finally:
        logging.getLogger("wire.salvage").disabled = False
    return copy
