"""Delete whole runs: none that is being written, that awaits steps, or whose folder holds what is to stay."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from learner.archive.catalogue import is_archive
from learner.archive.config import PruneConfig
from learner.archive.facts import ARCHIVE, RunFacts
from wire.database import Lock, StoreError, is_being_written
from wire.labels import labels_path
from wire.salvage import remove

_TRAINED = ("checkpoints", "policy.weights")
"""What training leaves in a run's folder, with steps in the archive or without: an offline run never has any."""


class Doomed(NamedTuple):
    """A run to delete: its folder, or its file alone where that is a file of demonstrations."""

    facts: RunFacts
    target: Path
    bytes: int


def plan(runs: Sequence[RunFacts], config: PruneConfig) -> tuple[list[Doomed], list[tuple[RunFacts, str]]]:
    """What would be deleted of the chosen runs, and what not, each with the reason."""
    doomed: list[Doomed] = []
    kept = []
    roots = [Path(path).resolve() for path in config.paths]
    for run in runs:
        why = _outside(run, config) or _kept(run, roots)
        if why:
            kept.append((run, why))
            continue
        target = Path(run.path).parent if Path(run.path).name == ARCHIVE else Path(run.path)
        doomed.append(Doomed(run, target, _size(target)))
    doomed, spared = _without_keepers(doomed)
    folders = {each.target for each in doomed}
    return [each for each in doomed if not folders.intersection(each.target.parents)], kept + spared


def _without_keepers(doomed: Sequence[Doomed]) -> tuple[list[Doomed], list[tuple[RunFacts, str]]]:
    """Those whose folders hold nothing that stays, and the others: a folder goes with every archive file in it."""
    going = {Path(each.facts.path).resolve() for each in doomed}
    gone, kept = [], []
    for each in doomed:
        staying = next((file for file in _archives_below(each.target) if file.resolve() not in going), None)
        if staying is None:
            gone.append(each)
        else:
            kept.append((each.facts, f"its folder holds {staying.relative_to(each.target)}, which is kept"))
    return gone, kept


def _archives_below(target: Path) -> Iterator[Path]:
    """Every archive file in a folder, however deep, whether or not a listing would show it."""
    for folder, _, files in os.walk(target):
        yield from (file for name in sorted(files) if is_archive(file := Path(folder, name)))


def delete(doomed: Sequence[Doomed]) -> tuple[list[Doomed], list[tuple[RunFacts, str]]]:
    """Delete them; those that a process has begun to write meanwhile, or that cannot be deleted, stay."""
    gone, kept = [], []
    for each in doomed:
        try:
            with contextlib.closing(Lock(Path(each.facts.path))):
                if each.target.is_dir():
                    shutil.rmtree(each.target)
                else:
                    remove(each.target)
                    remove(labels_path(each.target))
        except (StoreError, OSError) as error:
            kept.append((each.facts, str(error)))
        else:
            gone.append(each)
    return gone, kept


def _outside(run: RunFacts, config: PruneConfig) -> str:
    """Why a run is not meant."""
    if config.max_steps is not None and run.steps > config.max_steps:
        return f"it has {run.steps} steps, more than max_steps={config.max_steps}"
    trained = next((name for name in _TRAINED if (Path(run.path).parent / name).exists()), None)
    if config.max_steps is not None and Path(run.path).name == ARCHIVE and trained is not None:
        return f"it holds {trained}: what was trained there has its worth however few its own steps are"
    if config.older_than_days is not None:
        age = datetime.now(UTC) - datetime.fromisoformat(run.changed or run.began)
        if age < timedelta(days=config.older_than_days):
            return f"it was written {age.days} days ago, later than older_than_days={config.older_than_days:g}"
    return ""


def _kept(run: RunFacts, roots: Sequence[Path]) -> str:
    """Why a run must stay although it is meant."""
    path = Path(run.path)
    folder = path.parent
    if run.problem:
        return f"it is damaged, so what is in it is not known: {run.problem}"
    if is_being_written(path) or is_being_written(folder / ARCHIVE):
        return "it is being written"
    if path.name == ARCHIVE and is_being_written(folder / "outbox.sqlite"):
        return "an actor is writing its outbox"
    if folder.is_symlink() or path.is_symlink():
        return "it is a link to elsewhere"
    if path.name == ARCHIVE and folder.resolve() in [each.parent for each in roots]:
        return "it holds the folder that was named"
    waiting = _undelivered(folder) if path.name == ARCHIVE else 0
    return f"its outbox holds {waiting} steps that are in no archive yet" if waiting else ""


def _undelivered(folder: Path) -> int:
    try:
        return int(json.loads((folder / "outbox.json").read_text())["unacked"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _size(target: Path) -> int:
    files = target.rglob("*") if target.is_dir() else [each for each in (target, labels_path(target)) if each.exists()]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def report(doomed: Sequence[Doomed]) -> list[dict[str, Any]]:
    """One entry for each run that is, or would be, deleted."""
    return [
        {"name": each.facts.name, "deletes": str(each.target), "steps": each.facts.steps, "bytes": each.bytes}
        for each in doomed
    ]
