"""What the person who records demonstrations sees: how many there are, how good each is, what the keys do."""

import contextlib
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from actor.config import HANDS, DemosConfig
from actor.demonstrators import Demonstrator
from wire.quality import EpisodeQuality, measure, remarks
from wire.specs import EnvSpec
from wire.types import Step

_ROWS = 8
_KEYS = "y success   n failure   x discard   z undo the last   p pause   q end"


class Tally(Protocol):
    """What has been recorded so far."""

    qualities: list[EpisodeQuality]
    tries: int

    @property
    def successes(self) -> int:
        """Successful episodes in the file."""
        ...


class Board:
    """The state of the recording, as a screen; as lines where there is no terminal."""

    def __init__(self, spec: EnvSpec, config: DemosConfig, tally: Tally) -> None:
        self.demonstrator: Demonstrator | None = None
        """The person, where there is one."""
        self._spec, self._config, self._tally = spec, config, tally
        self._said: deque[str] = deque(maxlen=4)
        self._last = ""
        self._steps = 0
        self._console: Console | None = None

    def see(self, step: Step) -> None:
        """One more step of the episode under way."""
        self._steps = step.t + 1

    def note(self, outcome: str, steps: Sequence[Step]) -> None:
        """An episode is over."""
        self._steps = 0
        self._last = f"the last one: {outcome}, {len(steps)} steps"
        if outcome == "kept" and (found := remarks(measure(steps, self._spec), self._tally.qualities)):
            self._last += f" ({', '.join(found)})"
        self._print_line()

    def undone(self, was_there: bool) -> None:
        """The person wanted the last episode back."""
        self._last = "undone: the last one is taken back" if was_there else "nothing to undo: none was recorded now"
        self._print_line()

    def say(self, text: str) -> None:
        """Show what the log says."""
        self._said.append(text)

    def lines_to(self, console: Console) -> None:
        """From now on print a line per episode."""
        self._console = console

    def _print_line(self) -> None:
        if self._console is None:
            return
        text = f"{self._tally.successes} of {self._config.episodes}; {self._last}"
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def __rich__(self) -> Group:
        """The screen."""
        done, wanted = self._tally.successes, self._config.episodes
        top = Table.grid(padding=(0, 2))
        top.add_row(
            Text(f"{done} of {wanted} demonstrations", style="bold"),
            ProgressBar(total=wanted, completed=done, width=30),
            Text(f"in {self._config.out}", style="dim"),
        )
        parts = [top, self._table(), Text(self._now(), style="bold"), Text(self._last)]
        parts += [Text(text, style="yellow") for text in self._said]
        if self._config.human in HANDS:
            parts.append(Text(_KEYS, style="dim"))
        return Group(*parts)

    def _now(self) -> str:
        if self.demonstrator is not None and self.demonstrator.waiting:
            return "move to begin"
        seconds = self._steps / self._spec.rate_hz
        return f"recording: {seconds:.1f} s, {self._steps} of at most {self._spec.max_episode_steps} steps"

    def _table(self) -> Table:
        table = Table("episode", "steps", "seconds", "x best", "idle", "at limit", "jerk", "held", "remarks")
        qualities = self._tally.qualities
        best = min((each.steps for each in qualities if each.success), default=0)
        for number, each in list(enumerate(qualities))[-_ROWS:]:
            table.add_row(
                str(number),
                str(each.steps),
                f"{each.seconds(self._spec.rate_hz):.1f}",
                f"{each.steps / best:.1f}" if best else "-",
                f"{each.idle:.0%}",
                f"{each.saturated:.0%}",
                f"{each.roughness:.2f}",
                f"{each.held:.0%}",
                ", ".join(remarks(each, qualities)) or "good",
            )
        return table


class _ToBoard(logging.Handler):
    """Puts the log where it does not break the picture."""

    def __init__(self, board: Board) -> None:
        super().__init__(logging.WARNING)
        self._board = board

    def emit(self, record: logging.LogRecord) -> None:
        self._board.say(record.getMessage())


@contextlib.contextmanager
def shown(board: Board, console: Console) -> Iterator[None]:
    """Show the board while the block lasts."""
    if not console.is_terminal:
        board.lines_to(console)
        yield
        return
    log = logging.getLogger()
    before, log.handlers = log.handlers, list[logging.Handler]([_ToBoard(board)])
    try:
        with Live(board, console=console, refresh_per_second=8):
            yield
    finally:
        log.handlers = before
