"""Several archives in one: streams and numbers stay as they are, each step is there once, its labels beside it."""

import contextlib
import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learner.archive.config import Selection
from learner.archive.episodes import Episodes, open_intact
from learner.archive.facts import ARCHIVE, CALIBRATION, calibration_name, run_name, stated_calibration
from wire.codec import encode_step
from wire.errors import UserError
from wire.labels import Label, append_labels, labels_path, labels_since
from wire.salvage import remove
from wire.specs import EnvSpec
from wire.store import Row, StepStore

_COMMIT_ROWS = 500
_KEPT = ("kind", "agent", "seed", "note")
"""Facts that a merged file keeps where all its parts agree on them."""


@contextlib.contextmanager
def new_archive(out: Path, spec: EnvSpec, info: Mapping[str, str]) -> Iterator[StepStore]:
    """A new file of steps in the folder `out`, which gets its name when it is whole, and is no more where it is not.

    So do the labels appended beside it meanwhile.

    Raises:
        UserError: There is one already, or the labels of one.
    """
    path = out / ARCHIVE
    if path.exists() or labels_path(path).exists():
        raise UserError(f"{out} holds a run already; name another out=<folder>")
    part = path.with_name(f"{ARCHIVE}.part")
    remove(part)
    remove(labels_path(part))
    made = not out.exists()
    try:
        with StepStore.open(part, spec, info) as store:
            yield store
            store.commit()
        # The labels first: nobody then takes the new file for one that has none.
        if labels_path(part).exists():
            labels_path(part).rename(labels_path(path))
        part.rename(path)
    finally:
        remove(part)
        remove(labels_path(part))
        if made and out.exists() and not any(out.iterdir()):
            out.rmdir()


def merge(paths: Sequence[Path], out: Path, selection: Selection | None = None) -> dict[str, Any]:
    """Write what is chosen of these files to a new run.

    Returns:
        name, steps, episodes, labels, duplicates, damaged, remarks (sentences), text (one that says it all).

    Raises:
        wire.specs.SpecMismatch: They are not of one specification.
        UserError: Two of them hold different steps under one number, or `out` holds a run.
        StoreError: The labels beside one of them cannot be read.
    """
    selection, paths = selection or Selection(), list(dict.fromkeys(paths))
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(open_intact(path)) for path in paths]
        for store in stores[1:]:
            cure = "Merge runs of one specification only: handrail archive filter <folder> like=<run> names them"
            stores[0].spec.require_same(store.spec, ours=str(stores[0].path), theirs=str(store.path), cure=cure)
        info, remarks = _facts(stores, paths)
        with new_archive(out, stores[0].spec, info) as new:
            job = _Merge(new, selection)
            chosen = job.copy(stores)
            labels = _labels(paths, chosen)
            append_labels(new.path, labels)
            steps, episodes = new.last_row(), len(new.episodes())
    remarks += job.remarks
    text = f"{steps} steps in {episodes} episodes are in {out}"
    if labels:
        text += f", with {len(labels)} labels"
    if job.duplicates:
        text += f"; {job.duplicates} were in several files and are there once"
    damaged = sum(store.damaged for store in stores)
    counts = {"steps": steps, "episodes": episodes, "labels": len(labels)}
    counts |= {"duplicates": job.duplicates, "damaged": damaged}
    return {"name": str(out), **counts, "remarks": remarks, "text": text}


@dataclass
class _Merge:
    """The way of the steps into a new file."""

    new: StepStore
    selection: Selection
    duplicates: int = 0
    remarks: list[str] = field(default_factory=list)

    def copy(self, stores: Sequence[StepStore]) -> set[tuple[str, int]]:
        """Take over the chosen steps of all files; returns their streams and numbers."""
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
        return set().union(*chosen)

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


def _labels(paths: Sequence[Path], steps: Container[tuple[str, int]]) -> list[Label]:
    """What is said of these steps beside any of the files, in the order in which it was said there.

    Copies of a file have copies of its labels, which count once; said again later, the same is a new label, for it
    overrules what was said in between.
    """
    found: list[Label] = []
    for path in paths:
        known = Counter(found)
        for label in labels_since(path)[0]:
            if known[label]:
                known[label] -= 1
            elif (label.stream, label.seq) in steps:
                found.append(label)
    return found


def _facts(stores: Sequence[StepStore], paths: Sequence[Path]) -> tuple[dict[str, str], list[str]]:
    info, remarks = {"merged_from": json.dumps([run_name(path) for path in paths])}, []
    for key in _KEPT:
        found = {store.info.get(key, "") for store in stores}
        if len(found) == 1 and found != {""}:
            info[key] = found.pop()
    calibrations = {stated_calibration(store.info) for store in stores}
    if len({calibration_name(text) for text in calibrations}) > 1:
        remarks.append("their cameras are not calibrated alike; the new run keeps no calibration")
    elif calibrations != {""}:
        info[CALIBRATION] = max(calibrations, key=len)  # Of JSON and its digits, the JSON.
    return info, remarks
