"""`python -m rewards <verb> <config.json>`: what `handrail rewards <verb>` starts."""

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from rich.console import Console

from rewards.config import (
    AuditConfig,
    CollectConfig,
    LabelConfig,
    PairConfig,
    PreferConfig,
    RelabelConfig,
    ServeConfig,
    TrainConfig,
)
from rewards.written.config import WriteConfig
from wire.errors import UserError, run_main
from wire.parent import end_with_parent

Config = TypeVar("Config")
_CONSOLE = Console()


def main() -> int:
    """Read the configuration and do what was asked for."""
    verb, path = sys.argv[1], Path(sys.argv[2])
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s (%(name)s:%(lineno)d)", level=logging.WARNING)
    logging.getLogger("rewards").setLevel(logging.INFO if verb == "serve" else logging.WARNING)
    if verb not in _DO:
        raise UserError(f"python -m rewards takes {', '.join(_DO)}, got {verb}")
    kind, do = _DO[verb]
    return do(_read(path, kind))


def _collect(config: CollectConfig) -> int:
    from rich.progress import Progress

    from rewards.collect import collect

    with Progress(console=_CONSOLE, transient=True) as bar:
        task = bar.add_task("collecting frames", total=config.episodes or config.positives)
        found = collect(config, lambda done, of: bar.update(task, completed=done))
    _say(
        f"{found['positives']} frames of success and {found['negatives']} of none, of {found['episodes']} episodes, in "
        f"{config.out}\ntrain on them: handrail rewards train runs=[{config.out}] out=<folder>"
    )
    return 0


def _train(config: TrainConfig) -> int:
    from rewards.fit_preference import train_preference
    from rewards.train import train

    with _CONSOLE.status("training"):
        model = train_preference(config) if config.kind == "preference" else train(config)
    _say(f"{model.version} in {config.out}: see {Path(config.out) / 'report.md'}")
    return 0


def _pair(config: PairConfig) -> int:
    from rewards.pair import pair

    _say(f"{pair(config).version} in {config.out}")
    return 0


def _audit(config: AuditConfig) -> int:
    from rewards.audit import audit

    figures = audit(config)
    for key in (
        "n",
        "positives",
        "accuracy",
        "false_positive_rate",
        "false_negative_rate",
        "auc",
        "threshold",
        "spearman",
    ):
        if key not in figures:
            continue
        value = figures[key]
        _say(f"{key:20} {value if isinstance(value, int) or value is None else format(value, '.4f')}")
    return 0


def _label(config: LabelConfig) -> int:
    from rewards.page import serve_page

    return serve_page(config, _say, _until_stopped())


def _prefer(config: PreferConfig) -> int:
    from rich.progress import Progress

    from rewards.prefer import prefer

    if config.answerer != "vlm":
        prefer(config, _say, stopped=_until_stopped() if config.answerer == "person" else None)
        return 0
    with Progress(console=_CONSOLE, transient=True) as bar:
        task = bar.add_task("asking about pairs", total=None)
        prefer(config, _say, lambda done, of: bar.update(task, completed=done, total=of))
    return 0


def _write(config: WriteConfig) -> int:
    from rich.progress import Progress

    from rewards.written.write import write

    with Progress(console=_CONSOLE, transient=True) as bar:
        task = bar.add_task("recording episodes to test on", total=None)
        reward = write(config, _say, lambda done, of: bar.update(task, completed=done, total=of))
    _say(
        f"{reward.version} in {config.out}: read {Path(config.out) / 'reward.py'}, then\n"
        f"handrail rewards relabel model={config.out} runs=[runs/<run>]"
    )
    return 0


def _relabel(config: RelabelConfig) -> int:
    from rewards.models import load_model
    from rewards.relabel import relabel

    model = load_model(Path(config.model))
    for run in config.runs:
        done = relabel(model, run)
        if model.rule is None:
            mean = done.rewards / max(1, done.steps)
            _say(f"{run}: {done.steps} steps of {done.episodes} episodes, {mean:.3f} on average by {model.version}")
            continue
        _say(
            f"{run}: {done.steps} steps labelled by {model.version}; success in {done.successes} of {done.episodes} "
            f"episodes, otherwise than recorded in {done.changed}"
        )
    return 0


def _serve(config: ServeConfig) -> int:
    from rewards.service import serve

    return serve(config, _say, _until_stopped())


_DO: dict[str, Any] = {
    "collect": (CollectConfig, _collect),
    "train": (TrainConfig, _train),
    "pair": (PairConfig, _pair),
    "audit": (AuditConfig, _audit),
    "label": (LabelConfig, _label),
    "prefer": (PreferConfig, _prefer),
    "write": (WriteConfig, _write),
    "relabel": (RelabelConfig, _relabel),
    "serve": (ServeConfig, _serve),
}
"""Verb -> its settings, and what does it."""


def _until_stopped() -> threading.Event:
    """Set by Ctrl-C and SIGTERM."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _say(text: str) -> None:
    _CONSOLE.print(text, highlight=False, markup=False, soft_wrap=True)


def _read(path: Path, kind: type[Config]) -> Config:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{path} holds no configuration for this: {error}") from error


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run_main(main))
