"""What the archive's verbs show on a terminal."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from learner.archive.facts import RunFacts
from wire.store import EpisodeSummary

_PIPE_COLUMNS = 240


def console() -> Console:
    """One that does not fold tables for the width of a terminal where there is none."""
    plain = Console(highlight=False, markup=False)
    return plain if plain.is_terminal else Console(highlight=False, markup=False, width=_PIPE_COLUMNS)


def write_json(document: Any) -> None:
    """One document and nothing else."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def say(*lines: str) -> None:
    """Print lines as they are."""
    for line in lines:
        sys.stdout.write(line + "\n")


def runs_table(runs: Sequence[RunFacts]) -> Table:
    """One line for each run."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "began", "task", "robot", "observation", "action", "reward", "agent"):
        table.add_column(name, overflow="fold")
    for name in ("steps", "episodes", "success", "alone", "human", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for run in runs:
        table.add_row(
            run.name,
            run.began[:10] or run.changed[:10],
            run.task,
            run.robot,
            _observation(run),
            run.action,
            run.reward,
            run.agent or run.kind,
            str(run.steps),
            str(run.episodes),
            share(run.success_rate),
            share(run.successes_alone / run.episodes if run.episodes else None),
            f"{share(run.human_share)} {run.human}" if run.human != "nobody" else "",
            megabytes(run.bytes),
            run.problem or {"writing": "being written", "empty": "empty"}.get(run.state, ""),
        )
    return table


def facts_table(run: RunFacts) -> Table:
    """Everything about one run, a line for each fact."""
    table = Table(box=None, pad_edge=False, show_header=False)
    labels = ", ".join(f"{count} {name}" for name, count in run.labels.items())
    facts = {
        "run": run.name,
        "file": f"{run.path}, {megabytes(run.bytes)}, {run.state}",
        "problem": run.problem,
        "began, changed": f"{run.began or 'not known'}, {run.changed}",
        "task, robot": f"{run.task}, {run.robot} ({run.env})",
        "observation": _observation(run),
        "calibration": run.calibration,
        "action": f"{run.action} at {run.rate_hz:g} Hz",
        "reward": run.reward,
        "agent, seed": f"{run.agent or run.kind}, {run.seed or 'not known'}",
        "note": run.note,
        "steps": f"{run.steps}, {run.steps - run.episode_steps} of them in episodes without an end",
        "episodes": f"{run.episodes}, {run.successes} successes, {run.successes_alone} of them without help",
        "mean return": "none yet" if run.mean_return is None else f"{run.mean_return:.3f}",
        "driven by others": f"{share(run.human_share)} of the steps ({run.human})",
        "labels": labels or "none",
        "fingerprint": run.fingerprint,
    }
    for name, text in facts.items():
        if text:
            table.add_row(name, text)
    return table


def episodes_table(episodes: Sequence[EpisodeSummary]) -> Table:
    """One line for each episode."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("stream", "episode", "steps", "return", "helped", "end"):
        table.add_column(name, justify="left" if name in ("stream", "end") else "right")
    for each in episodes:
        end = "success" if each.success else "time limit" if each.truncated else "failure"
        helped = str(each.human_steps) if each.human_steps else ""
        numbers = (str(each.episode), str(each.length), f"{each.episode_return:.2f}", helped)
        table.add_row(each.stream[:8], *numbers, end)
    return table


def share(value: float | None) -> str:
    """A share in percent."""
    return "" if value is None else f"{value:.0%}"


def megabytes(size: float) -> str:
    """A size for people."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _observation(run: RunFacts) -> str:
    vectors = [f"{name} {length}" for name, length in run.vectors.items()]
    return ", ".join(vectors + [f"{name} {h}x{w}" for name, (h, w) in run.cameras.items()])
