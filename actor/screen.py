"""What `handrail teleop` shows: every axis as the instrument says it and as it is meant, and what becomes of it."""

import contextlib
import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from actor.config import HandConfig
from actor.human.hand import Hand
from actor.human.instrument import AXES, STILL, Controls
from actor.human.keyboard import AXIS_KEYS, LABEL_KEYS
from actor.human.live import LiveChannel
from actor.human.pair import Pair
from envs.guard import Verdict
from wire.types import Action

_BAR = 10
_HZ = 10
_KEPT = 5


@dataclass
class View:
    """What the screen shows."""

    device: Hand | Pair
    channel: LiveChannel
    config: HandConfig
    names: tuple[str, ...]
    action_frame: str
    verdict: Verdict | None = None
    """What the guard made of the last action; None without a robot."""
    target_m: np.ndarray | None = None
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT))
    """What was said, by the person and by the log, last."""

    def __rich__(self) -> Group:
        """The screen."""
        hands = self.device.hands if isinstance(self.device, Pair) else {"": self.device}
        tables = [self._table(side, hand) for side, hand in hands.items()]
        lines = [self._title(), *tables, self._buttons(), f"action ({self.action_frame} frame): {self._told()}"]
        if self.verdict is not None:
            guard = "holds: " if self.verdict.held else ""
            lines.append(f"guard: {guard}{self.verdict.reason or 'passed as it is'}")
        if self.target_m is not None:
            x, y, z = (1000 * float(value) for value in self.target_m)
            lines.append(f"target of the tool (base frame): x {x:+.0f}  y {y:+.0f}  z {z:+.0f} mm")
        shown = [Text(line) if isinstance(line, str) else line for line in lines]
        return Group(*shown, *map(Text, self.said), Text(f"keys here: {LABEL_KEYS}; Ctrl-C ends, too", style="dim"))

    def _title(self) -> Text:
        if self.channel.silent:
            return Text(f"the {self.device.name} {self.device.trouble or 'is silent'}", style="bold red")
        seen = f", seen by a person turned {self.config.view_deg:g} degrees" if self.config.frame == "base" else ""
        return Text(f"{self.device.name}: frame={self.config.frame}{seen}", style="bold")

    def _table(self, side: str, hand: Hand) -> Table | str:
        controls = hand.instrument.latest()
        if self.config.kind == "leader":
            return _pose(controls)
        keys = self.config.kind == "keyboard"
        table = Table(f"{side} axis".strip(), *(["keys"] if keys else []), "says", "", "means", box=None)
        raw = STILL if controls is None else controls.axes
        means = hand.mapping.deflection(tuple(0.0 if value != value else value for value in raw))
        for number, name in enumerate(AXES):
            heard = "never heard of" if raw[number] != raw[number] else f"{raw[number]:+.2f}"
            own = [AXIS_KEYS[number]] if keys else []
            table.add_row(f"{number} {name}", *own, heard, _bar(means[number]), f"{means[number]:+.2f}")
        return table

    def _buttons(self) -> str:
        """The numbers of those that are down, and what each number is for."""
        hands = self.device.hands.values() if isinstance(self.device, Pair) else [self.device]
        stand = [hand.instrument.latest() for hand in hands]
        down = ["none" if one is None or not one.down else ", ".join(map(str, sorted(one.down))) for one in stand]
        known = ", ".join(f"{number} {name}" for name, number in self.config.buttons().items())
        if self.config.kind == "keyboard":
            return "space: gripper opens or shuts"
        return f"buttons down: {' | '.join(down)}   (set: {known or 'none'})"

    def _told(self) -> str:
        wanted: Action | None = self.channel.last
        if wanted is None:
            return "hands off"
        return "  ".join(f"{name} {value:+.2f}" for name, value in zip(self.names, wanted, strict=True))


@contextlib.contextmanager
def shown(view: View, console: Console) -> Iterator[None]:
    """Show it, and the log's warnings in it, for the block."""
    log = logging.getLogger()
    before, here = log.handlers, list[logging.Handler]([_ToScreen(view)])
    log.handlers = here
    try:
        # A screen of its own, so that no resize leaves pieces of earlier ones behind.
        with Live(view, console=console, refresh_per_second=_HZ, screen=True):
            yield
    finally:
        log.handlers = before
        # The screen is gone, and with it what it said last.
        console.print(*view.said, sep="\n", highlight=False, markup=False, soft_wrap=True)


class _ToScreen(logging.Handler):
    """Puts the log where it does not break the picture."""

    def __init__(self, view: View) -> None:
        super().__init__(logging.WARNING)
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        self._view.said.append(record.getMessage())


def _pose(controls: Controls | None) -> str:
    if controls is None or controls.pose is None:
        return "pose of the leader: none"
    x, y, z = (1000 * float(value) for value in controls.pose.position_m)
    return f"pose of the leader (its own frame): x {x:+.0f}  y {y:+.0f}  z {z:+.0f} mm"


def _bar(value: float) -> str:
    """A deflection in [-1, 1] as a bar to the left or the right."""
    long = round(abs(value) * _BAR)
    left, right = ("#" * long, "") if value < 0 else ("", "#" * long)
    return f"{left:>{_BAR}}|{right:<{_BAR}}"
