"""What the person at the screen sees while the learner runs."""

import logging
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

log = logging.getLogger(__name__)

_PLAIN_PERIOD_S = 10.0


@dataclass(frozen=True)
class Snapshot:
    """One moment of a run."""

    title: str
    env_steps: int
    budget: int
    success_rate: float
    intervention_rate: float
    held_steps: int
    episode_length: float
    episodes: int
    gradient_steps: int
    gradient_steps_per_s: float
    link: str
    eta_s: float | None
    human_minutes: float = 0.0
    advice: str = ""
    """What the evidence says about intervening now; empty where nobody can."""
    warning: str = ""


class LearnerConsole:
    """A live panel on a terminal; a line every ten seconds where the output is a file or a pipe."""

    def __init__(self) -> None:
        self._console = Console(stderr=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=False)
        self._last_line_s = -_PLAIN_PERIOD_S

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, now: Snapshot) -> None:
        """Replace what is shown; cheap to call often."""
        if self._console.is_terminal:
            self._live.update(_panel(now))
        elif time.monotonic() - self._last_line_s >= _PLAIN_PERIOD_S:
            self._last_line_s = time.monotonic()
            self.say(_line(now))

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        sys.stdout.flush()


def _rows(now: Snapshot) -> list[tuple[str, str]]:
    per_step = now.gradient_steps / now.env_steps if now.env_steps else 0.0
    return [
        ("success, last 20 episodes, without help", f"{now.success_rate:.0%}"),
        ("steps driven by the human, last 20 episodes", f"{now.intervention_rate:.0%}"),
        ("human minutes", f"{now.human_minutes:.1f}"),
        ("steps in which the robot was held", f"{now.held_steps}, never trained on"),
        ("episode length", f"{now.episode_length:.1f} steps"),
        ("episodes", f"{now.episodes}"),
        ("gradient steps", f"{now.gradient_steps_per_s:.0f}/s, {per_step:.2f} per environment step"),
        ("link", now.link),
        ("time left, at most", _clock(now.eta_s)),
    ]


def _panel(now: Snapshot) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        "environment steps",
        ProgressBar(total=now.budget, completed=now.env_steps, width=30),
        f"{now.env_steps} of {now.budget}",
    )
    for name, value in _rows(now):
        grid.add_row(name, value)
    if now.advice:
        # Folded, or one long sentence would widen the panel beyond the screen.
        grid.add_row("helping now", Text(now.advice, style="cyan"))
    if now.warning:
        grid.add_row("[yellow]warning", f"[yellow]{now.warning}")
    return Panel(grid, title=now.title, expand=False)


def _line(now: Snapshot) -> str:
    per_step = now.gradient_steps / now.env_steps if now.env_steps else 0.0
    text = (
        f"step {now.env_steps}/{now.budget}  success {now.success_rate:.0%}  human {now.intervention_rate:.0%}  "
        f"length {now.episode_length:.1f}  episodes {now.episodes}  gradient {now.gradient_steps_per_s:.0f}/s "
        f"({per_step:.2f} per step)  link {now.link}  left {_clock(now.eta_s)}"
    )
    if now.held_steps:
        text += f"  held {now.held_steps}"
    if now.human_minutes:
        text += f"  human minutes {now.human_minutes:.1f}"
    return f"{text}  warning: {now.warning}" if now.warning else text


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
