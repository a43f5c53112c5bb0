"""Where numbers go: a plain JSONL file always, TensorBoard by default, Weights & Biases on request."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from wire.errors import UserError

log = logging.getLogger(__name__)

SPARE_BYTES = 16 << 20
"""With less than this free on the disk nothing is written: steps and checkpoints need the room, numbers do not."""


class MetricsWriter:
    """Writes named numbers against a counter, environment steps mostly; opened again on a run, it appends."""

    def __init__(self, run: Path, *, tensorboard: bool, wandb: bool, counter: str = "env_steps") -> None:
        self._counter = counter
        self._file = (run / "metrics.jsonl").open("a", buffering=1)
        self._run = run
        self._full = False
        self._tensorboard: Any = None
        self._wandb: Any = None
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._tensorboard = SummaryWriter(str(run / "tensorboard"))
        if wandb:
            self._wandb = _start_wandb(run)

    def write(self, count: int, numbers: dict[str, float]) -> None:
        """Append one line; keys are namespaced, e.g. critic/loss. Where the disk is full the line is left out."""
        # Asked for, not waited for: TensorBoard's thread would die of the error, and whoever writes next would hang.
        full = shutil.disk_usage(self._run).free < SPARE_BYTES
        if full and not self._full:
            log.warning("the disk of %s is full: no metrics are written", self._run)
        self._full = full
        if full:
            return
        self._file.write(json.dumps({self._counter: count, **numbers}) + "\n")
        if self._tensorboard is not None:
            for name, value in numbers.items():
                self._tensorboard.add_scalar(name, value, count)
        if self._wandb is not None:
            self._wandb.log(numbers, step=count)

    def close(self) -> None:
        """Flush and close every sink."""
        self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish()


def _start_wandb(run: Path) -> Any:
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            "learner.wandb=true needs the wandb package, which is not installed; pip install 'handrail[wandb]'"
        ) from error
    return wandb.init(project="handrail", name=run.name, dir=str(run), resume="allow", id=run.name)
