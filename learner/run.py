"""The folder of a run, and what an earlier process left in it."""

import json
from dataclasses import dataclass
from pathlib import Path

from learner.config import LearnerConfig
from wire.errors import UserError

ARCHIVE = "steps.sqlite"


@dataclass(frozen=True)
class Run:
    """Where a run lives, and how far earlier processes brought it."""

    path: Path
    earlier_steps: int = 0
    earlier_wall_s: float = 0.0

    @property
    def archive(self) -> Path:
        """The run's steps."""
        return self.path / ARCHIVE


def open_run(config: LearnerConfig) -> Run:
    """Create the folder of a new run, or find the one to resume.

    Raises:
        UserError: A run is there and `resume` was not asked for, or it was and none is there.
    """
    path = Path(config.run)
    begun = (path / ARCHIVE).exists()
    if begun and not config.resume:
        raise UserError(f"{path} holds a run already; set resume=true to go on with it, or run=<another folder>")
    if config.resume and not begun:
        raise UserError(f"there is no run to resume in {path}; check run=<folder>, or drop resume=true")
    path.mkdir(parents=True, exist_ok=True)
    summary = path / "summary.json"
    earlier = json.loads(summary.read_text()) if begun and summary.exists() else {}
    return Run(path, int(earlier.get("env_steps", 0)), float(earlier.get("wall_s", 0.0)))
