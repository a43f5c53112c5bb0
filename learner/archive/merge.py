"""Several archive files in one: streams and sequence numbers stay as they are, and each step is there once."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learner.archive.config import Selection
from learner.archive.episodes import Episodes, open_intact
from learner.archive.facts import ARCHIVE, CALIBRATION, run_name
from wire.codec import encode_step
from wire.errors import UserError
from wire.salvage import remove
from wire.specs import EnvSpec
from wire.store import Label, Row, StepStore

_COMMIT_ROWS = 500
_KEPT = ("kind", "agent", "seed", CALIBRATION, "note")
"""Facts that a merged file keeps where all its parts agree on them."""


@contextlib.contextmanager
def new_archive(out: Path, spec: EnvSpec, info: Mapping[str, str]) -> Iterator[StepStore]:
    """A new file of steps in the folder `out`, which gets its name when it is whole, and is no more where it is not.

    Raises:
        UserError: There is one already.
    """
    path = out / ARCHIVE
    if path.exists():
        raise UserError(f"{out} holds a run already; name another out=<folder>")
    part = path.with_name(f"{ARCHIVE}.part")
    remove(part)
    made = not out.exists()
    try:
        with StepStore.open(part, spec, info) as store:
            yield store
            store.commit()
        part.rename(path)
    finally:
        remove(part)
        if made and out.exists() and not any(out.iterdir()):
            out.rmdir()


def merge(paths: Sequence[Path], out: Path, selection: Selection | None = None) -> dict[str, Any]:
    """Write what is chosen of these files to a new run.

    Returns:
        name, steps, episodes, duplicates, damaged, remarks (sentences), text (one that says it all).

    Raises:
        wire.specs.SpecMismatch: They are not of one specification.
        UserError: Two of them hold different steps under one number, or `out` holds a run.
    """
    selection = selection or Selection()
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(open_intact(path)) for path in dict.fromkeys(paths)]
        for store in stores[1:]:
            cure = "Merge runs of one specification only: handrail archive filter <folder> like=<run> names them"
            stores[0].spec.require_same(store.spec, ours=str(stores[0].path), theirs=str(store.path), cure=cure)
        info, remarks = _facts(stores, list(dict.fromkeys(paths)))
        with new_archive(out, stores[0].spec, info) as new:
            job = _Merge(new, selection)
            job.copy(stores)
            steps, episodes = new.last_row(), len(new.episodes())
    remarks += job.remarks
    text = f"{steps} steps in {episodes} episodes are in {out}"
    if job.duplicates:
        text += f"; {job.duplicates} were in several files and are there once"
    damaged = sum(store.damaged for store in stores)
    counts = {"steps": steps, "episodes": episodes, "duplicates": job.duplicates, "damaged": damaged}
    return {"name": str(out), **counts, "remarks": remarks, "text": text}


@dataclass
class _Merge:
    """The way of the steps into a new file."""

    new: StepStore
    selection: Selection
    duplicates: int = 0
    remarks: list[str] = field(default_factory=list)

    def copy(self, stores: Sequence[StepStore]) -> None:
        """Take over the steps of all files, then their labels."""
        counts = Counter(stream for store in stores for stream in store.streams())
        shared = {stream for stream, count in counts.items() if count > 1}
        chosen: list[set[tuple[str, int]]] = []
        for store in stores:
            episodes = Episodes(store, self.selection, kind=store.info.get("kind", "run"))
            rows = (row for _, each in episodes for row in each) if self.selection.of_episodes else store.rows()
            keys: set[tuple[str, int]] = set()
            for row in rows:
                keys.add((row.stream, row.seq))
                if row.stream not in shared:
                    self._insert(row, store)
            chosen.append(keys)
            self.remarks += episodes.remarks()
        for stream in sorted(shared):
            # Parts of one stream may lie in several files, in any order: readers rely on rising numbers.
            order = sorted((seq, place) for place, keys in enumerate(chosen) for name, seq in keys if name == stream)
            for seq, place in order:
                row = stores[place].find(stream, seq)
                if row is not None:
                    self._insert(row, stores[place])
        self.new.commit()
        self._copy_labels(stores)

    def _insert(self, row: Row, origin: StepStore) -> None:
        if self.new.insert(row.stream, row.seq, row.step):
            self.new.claim(row.stream, origin.claim(row.stream, ""))
            if self.new.last_row() % _COMMIT_ROWS == 0:
                self.new.commit()
            return
        there = self.new.find(row.stream, row.seq)
        if there is None or encode_step(there.step) != encode_step(row.step):
            raise UserError(
                f"step {row.seq} of stream {row.stream[:8]} in {origin.path} differs from the step of that number in "
                "another of the files: one of them is no copy; merge them without it"
            )
        self.duplicates += 1

    def _copy_labels(self, stores: Sequence[StepStore]) -> None:
        known: set[Label] = set()
        for store in stores:
            for label in store.labels():
                if label not in known and self.new.find_row(label.stream, label.seq):
                    known.add(label)
                    self.new.label(label)
        self.new.commit()


def _facts(stores: Sequence[StepStore], paths: Sequence[Path]) -> tuple[dict[str, str], list[str]]:
    info, remarks = {"merged_from": json.dumps([run_name(path) for path in paths])}, []
    for key in _KEPT:
        found = {store.info.get(key, "") for store in stores}
        if found - {""}:
            if len(found) == 1:
                info[key] = found.pop()
            elif key == CALIBRATION:
                remarks.append("their cameras are not calibrated alike; the new run keeps no calibration")
    return info, remarks
