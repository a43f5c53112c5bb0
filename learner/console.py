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
    counted: str = "environment steps"

    @property
    def done(self) -> int:
        """How far the run is."""
        return self.env_steps

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of what is shown."""
        per_step = self.gradient_steps / self.env_steps if self.env_steps else 0.0
        return [
            ("success, last 20 episodes, without help", f"{self.success_rate:.0%}"),
            ("steps driven by the human, last 20 episodes", f"{self.intervention_rate:.0%}"),
            ("human minutes", f"{self.human_minutes:.1f}"),
            ("steps in which the robot was held", f"{self.held_steps}, never trained on"),
            ("episode length", f"{self.episode_length:.1f} steps"),
            ("episodes", f"{self.episodes}"),
            ("gradient steps", f"{self.gradient_steps_per_s:.0f}/s, {per_step:.2f} per environment step"),
            ("link", self.link),
            ("time left, at most", clock(self.eta_s)),
        ]

    def line(self) -> str:
        """The same in one line."""
        per_step = self.gradient_steps / self.env_steps if self.env_steps else 0.0
        text = (
            f"step {self.env_steps}/{self.budget}  success {self.success_rate:.0%}  "
            f"human {self.intervention_rate:.0%}  length {self.episode_length:.1f}  episodes {self.episodes}  "
            f"gradient {self.gradient_steps_per_s:.0f}/s ({per_step:.2f} per step)  link {self.link}  "
            f"left {clock(self.eta_s)}"
        )
        if self.held_steps:
            text += f"  held {self.held_steps}"
        return f"{text}  human minutes {self.human_minutes:.1f}" if self.human_minutes else text


@dataclass(frozen=True)
class OfflineSnapshot:
    """One moment of training from past runs alone."""

    title: str
    done: int
    budget: int
    losses: dict[str, float]
    gradient_steps_per_s: float
    judged: str
    """What the last evaluation said."""
    eta_s: float | None
    advice: str = ""
    warning: str = ""
    counted: str = "gradient steps"

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of what is shown."""
        losses = [(name, f"{value:.4g}") for name, value in self.losses.items()]
        pace = [("gradient steps", f"{self.gradient_steps_per_s:.0f}/s"), ("time left", clock(self.eta_s))]
        return [*losses, ("last evaluation", self.judged or "none yet"), *pace]

    def line(self) -> str:
        """The same in one line."""
        losses = "  ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        return (
            f"gradient step {self.done}/{self.budget}  {losses}  evaluated {self.judged or 'not yet'}  "
            f"{self.gradient_steps_per_s:.0f}/s  left {clock(self.eta_s)}"
        )


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

    def show(self, now: Snapshot | OfflineSnapshot) -> None:
        """Replace what is shown; cheap to call often."""
        if self._console.is_terminal:
            self._live.update(_panel(now))
        elif time.monotonic() - self._last_line_s >= _PLAIN_PERIOD_S:
            self._last_line_s = time.monotonic()
            self.say(f"{now.line()}  warning: {now.warning}" if now.warning else now.line())

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        sys.stdout.flush()


def _panel(now: Snapshot | OfflineSnapshot) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        now.counted,
        ProgressBar(total=now.budget, completed=now.done, width=30),
        f"{now.done} of {now.budget}",
    )
    for name, value in now.rows():
        grid.add_row(name, value)
    if now.advice:
        # Folded, or one long sentence would widen the panel beyond the screen.
        grid.add_row("helping now", Text(now.advice, style="cyan"))
    if now.warning:
        grid.add_row("[yellow]warning", f"[yellow]{now.warning}")
    return Panel(grid, title=now.title, expand=False)


def clock(seconds: float | None) -> str:
    """Minutes and seconds."""
    if seconds is None:
        return "unknown"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
