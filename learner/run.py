"""The folder of a run, and what an earlier process left in it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from learner.config import LearnerConfig
from wire.errors import UserError
from wire.store import StepStore

ARCHIVE = "steps.sqlite"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Run:
    """Where a run lives, and how far earlier processes brought it."""

    path: Path
    earlier_wall_s: float = 0.0
    earlier_duplicates: int = 0

    @property
    def archive(self) -> Path:
        """The run's steps."""
        return self.path / ARCHIVE


def open_run(config: LearnerConfig) -> Run:
    """Create the folder of a new run, or find the one to resume.

    One that never got a step may be begun anew. The checkpoint that it left goes then: it is of that start's seed and
    settings, and none of the same number would be saved in its place.

    Raises:
        UserError: A run is there and `resume` was not asked for.
    """
    run = Run(Path(config.run))
    if not config.resume and (_learned(run.path) or _holds_steps(run.archive)):
        raise UserError(f"{run.path} holds a run already; set resume=true to go on with it, or run=<another folder>")
    run.path.mkdir(parents=True, exist_ok=True)
    if not config.resume:
        shutil.rmtree(run.path / CHECKPOINTS, ignore_errors=True)
        return run
    summary = run.path / "summary.json"
    if not summary.exists():
        return run
    earlier = json.loads(summary.read_text())
    return Run(run.path, float(earlier["wall_s"]), int(earlier["link"]["duplicates"]))


def _learned(run: Path) -> bool:
    """Whether there is a checkpoint later than the one before the first step: they are named by their steps."""
    return any((run / CHECKPOINTS).glob("[1-9]*"))


def _holds_steps(archive: Path) -> bool:
    if not archive.exists():
        return False
    with StepStore.read(archive) as store:
        return store.count() > 0
