"""From runs of ours to another format: which episodes go, under which name, and what is said of it."""

import contextlib
import importlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from learner.archive.config import ExportConfig
from learner.archive.episodes import Episodes, open_intact
from learner.archive.facts import RunFacts
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.store import EpisodeSummary, Row

_WRITERS = {name: f"learner.archive.formats.{name}_out" for name in ("lerobot", "minari", "mcap")}


class Writer(Protocol):
    """Writes one data set, an episode after the other."""

    def __init__(self, out: Path, spec: EnvSpec, info: Mapping[str, str], config: ExportConfig) -> None:
        """Begin it in a folder that is there and empty."""

    def add(self, summary: EpisodeSummary, rows: Sequence[Row]) -> None:
        """Write an episode, all its steps with their frames."""

    def finish(self) -> dict[str, Any]:
        """Complete the data set; what there is to say of it, `remarks` among it."""
        ...

    def close(self) -> None:
        """Let go of the files, whatever happened."""


@dataclass
class _Counts:
    steps: int = 0
    episodes: int = 0
    discarded: int = 0
    remarks: list[str] = field(default_factory=list)


def export_runs(runs: Sequence[RunFacts], config: ExportConfig) -> dict[str, Any]:
    """Write the chosen episodes of these runs, which must be of one specification, to a new folder.

    Returns:
        name, steps, episodes, remarks (sentences), text (one that says it all), and what the format adds.
    """
    kind: type[Writer] = importlib.import_module(_WRITERS[config.format]).DataSet
    counts = _Counts()
    with _new_folder(Path(config.out)) as part:
        episodes = _episodes(runs, config, counts)
        first = next(episodes, None)
        if first is None:
            raise UserError(f"there is no finished episode to export{'; '.join(['', *counts.remarks])}")
        spec, info, summary, rows = first
        with contextlib.closing(kind(part, spec, info, config)) as data_set:
            data_set.add(summary, rows)
            for _, _, summary, rows in episodes:
                data_set.add(summary, rows)
            more = data_set.finish()
    if counts.discarded:
        counts.remarks.append(f"{counts.discarded} episodes that a person threw away were left out")
    labels = sum(sum(run.labels.values()) for run in runs)
    if labels:
        counts.remarks.append(f"{labels} labels stay beside the archive: these formats hold steps alone")
    remarks = [*counts.remarks, *more.pop("remarks", [])]
    text = f"{counts.steps} steps in {counts.episodes} episodes are in {config.out}"
    about = {"name": config.out, "steps": counts.steps, "episodes": counts.episodes, **more}
    return {**about, "remarks": remarks, "text": text}


def _episodes(
    runs: Sequence[RunFacts], config: ExportConfig, counts: _Counts
) -> Iterator[tuple[EnvSpec, Mapping[str, str], EpisodeSummary, list[Row]]]:
    spec: EnvSpec | None = None
    for run in runs:
        with open_intact(Path(run.path)) as store:
            if spec is not None:
                cure = "Export runs of one specification only: handrail archive filter <folder> like=<run> names them"
                spec.require_same(store.spec, ours=runs[0].name, theirs=run.name, cure=cure)
            spec = store.spec
            episodes = Episodes(store, config, kind=run.kind)
            for summary, rows in episodes:
                if rows[-1].step.discarded:
                    counts.discarded += 1
                    continue
                counts.steps += len(rows)
                counts.episodes += 1
                yield spec, store.info, summary, rows
            counts.remarks += episodes.remarks()


@contextlib.contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that gets its name when what is in it is whole, and is no more where it is not."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already; name another out=<folder>")
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        yield part
        if out.exists():
            out.rmdir()
        part.rename(out)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def facts_text(info: Mapping[str, str]) -> str:
    """A run's facts as JSON."""
    return msgspec.json.encode(dict(info)).decode()
