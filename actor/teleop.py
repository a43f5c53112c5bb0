"""Drive the simulated arm by hand and see what becomes of every push: how a user checks the signs before a robot."""

import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from actor.attention import Attention
from actor.config import HandConfig, TeleopConfig
from actor.human import Channel, Event
from actor.human.hand import OPEN, Hand
from actor.human.instrument import AXES, STILL
from actor.human.live import LiveChannel
from actor.human.make import open_hand, with_keys
from actor.loop import CellEnv, run_episode
from actor.pacing import CellPace
from actor.watchdog import watched
from envs.guard import Guard, Verdict, Vitals
from envs.make import make_env
from envs.tabletop import TOOL_ROTATION
from envs.workcell import Outcome
from wire.specs import ArraySpec, EnvSpec
from wire.types import Action, Observation

_DRY_S = 0.05
_BAR = 10
_SIX = ("x", "y", "z", "rx", "ry", "rz", "gripper")


@dataclass
class View:
    """What the screen shows."""

    hand: Hand
    channel: LiveChannel
    config: HandConfig
    names: tuple[str, ...]
    action_frame: str
    verdict: Verdict | None = None
    """What the guard made of the last action; None without a robot."""
    target_m: np.ndarray | None = None
    said: deque[str] = field(default_factory=lambda: deque(maxlen=6))
    """What was said, by the person and by the log, last."""

    def __rich__(self) -> Group:
        """The screen."""
        controls = self.hand.instrument.latest()
        wanted = self.channel.last
        axes = Table("axis", "says", "", "means", title=self._title(), title_justify="left")
        raw = STILL if controls is None else controls.axes
        means = self.hand.mapping.deflection(tuple(0.0 if value != value else value for value in raw))
        for number, name in enumerate(AXES):
            heard = "never heard of" if raw[number] != raw[number] else f"{raw[number]:+.2f}"
            axes.add_row(f"{number} {name}", heard, _bar(means[number]), f"{means[number]:+.2f}")
        down = "none" if controls is None or not controls.down else ", ".join(map(str, sorted(controls.down)))
        lines = [f"buttons down: {down}", f"action ({self.action_frame} frame): {self._told(wanted)}"]
        if self.verdict is not None:
            guard = "holds: " if self.verdict.held else ""
            lines.append(f"guard: {guard}{self.verdict.reason or 'passed as it is'}")
        if self.target_m is not None:
            x, y, z = (1000 * float(value) for value in self.target_m)
            lines.append(f"target of the tool (base frame): x {x:+.0f}  y {y:+.0f}  z {z:+.0f} mm")
        return Group(axes, *map(Text, lines), *map(Text, self.said), Text("end: q or Ctrl-C", style="dim"))

    def _title(self) -> str:
        if self.channel.silent:
            return f"the {self.hand.name} {self.hand.trouble or 'is silent'}"
        seen = f"seen by a person turned {self.config.view_deg:g} degrees" if self.config.frame == "base" else ""
        return f"{self.hand.name}, frame={self.config.frame} {seen}"

    def _told(self, wanted: Action | None) -> str:
        if wanted is None:
            return "hands off"
        return "  ".join(f"{name} {value:+.2f}" for name, value in zip(self.names, wanted, strict=True))


def teleop(config: TeleopConfig) -> int:
    """Show what the instrument says until the person ends it; drive the arm where there is one."""
    console = Console()
    with contextlib.ExitStack() as leaving:
        if config.dry:
            view = _view(config, leaving, _six_axes(), lambda: np.array(TOOL_ROTATION))
            person = _Overheard(leaving.enter_context(with_keys(view.channel, config.hand)), view)
            with _shown(view, console):
                _watch(person)
            return 0
        env: Any = make_env(config.env)
        leaving.callback(env.close)
        view = _view(config, leaving, env.wire_spec, env.tool_rotation)
        person = _Overheard(leaving.enter_context(with_keys(view.channel, config.hand)), view)
        with watched(env.stopper) as heart, _shown(view, console):
            human = Attention(person, heart)
            env.pause = human.pause
            _drive(config, env, human, view, heart)
    return 0


def _view(config: TeleopConfig, leaving: contextlib.ExitStack, spec: EnvSpec, tool_rotation: Any) -> View:
    hand = leaving.enter_context(open_hand(config.hand, spec, tool_rotation))
    return View(hand, LiveChannel(hand), config.hand, spec.action_names, spec.action_frame)


def _watch(person: Channel) -> None:
    """Without a robot: look again and again."""
    while Event.END not in person.events():
        override = person.poll()
        if override is not None:
            person.executed(override.action)
        time.sleep(_DRY_S)


def _drive(config: TeleopConfig, env: CellEnv, human: Attention, view: View, heart: Any) -> None:
    env.task = Endless(env.task)  # type: ignore[assignment]
    guard, over = Overseen(env, view), threading.Event()
    for episode in itertools.count():
        if over.is_set():
            break
        run_episode(
            env,
            Standing(guard, view.hand.mapping.gripper),
            human,
            guard,
            CellPace(),
            lambda step: None,
            episode=episode,
            seed=config.seed + episode,
            stopped=over.is_set,
            end=over.set,
            heart=heart,
        )
        if env.halted() or heart.tripped():
            view.said.append(f"the robot was stopped: {env.halted() or 'the watchdog held it'}; it starts anew")


class Endless:
    """A task's reset without its goal and its time limit."""

    def __init__(self, task: Any) -> None:
        self._task = task
        self.max_episode_steps = 2**31

    def reset(self, cell: Any, rng: np.random.Generator) -> None:
        """Bring the cell to the start."""
        self._task.reset(cell, rng)

    def evaluate(self, cell: Any) -> Outcome:
        """Nothing is ever reached."""
        return Outcome(0.0)


class Overseen(Guard):
    """A guard whose verdicts are shown."""

    def __init__(self, env: CellEnv, view: View) -> None:
        self._view = view
        super().__init__(env.limits)

    def apply(self, wanted: Any, position_m: np.ndarray | None = None, vitals: Vitals | None = None) -> Verdict:
        """The guard's verdict."""
        verdict = super().apply(wanted, position_m, vitals)
        self._view.verdict, self._view.target_m = verdict, position_m
        return verdict


class Standing:
    """A policy that stands still, with the gripper open at first and then as it is."""

    def __init__(self, guard: Guard, gripper: int | None) -> None:
        self._guard = guard
        self._gripper = gripper
        self._began = False

    def act(self, observation: Observation) -> tuple[Action, int]:
        """No motion."""
        action = self._guard.still()
        if self._gripper is not None and not self._began:
            action[self._gripper] = OPEN
        self._began = True
        return action, 0


class _Overheard:
    """The person's channel, whose events are shown, too."""

    def __init__(self, person: Channel, view: View) -> None:
        self._person = person
        self._view = view
        self.begin_episode, self.poll = person.begin_episode, person.poll
        self.touched, self.lost, self.executed = person.touched, person.lost, person.executed

    def events(self) -> list[Event]:
        events = self._person.events()
        self._view.said.extend(f"you said: {event.value}" for event in events)
        return events


class _ToScreen(logging.Handler):
    """Puts the log where it does not break the picture."""

    def __init__(self, view: View) -> None:
        super().__init__(logging.WARNING)
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        self._view.said.append(record.getMessage())


@contextlib.contextmanager
def _shown(view: View, console: Console) -> Iterator[None]:
    log = logging.getLogger()
    before, shown = log.handlers, list[logging.Handler]([_ToScreen(view)])
    log.handlers = shown
    try:
        with Live(view, console=console, refresh_per_second=10, screen=False):
            yield
    finally:
        log.handlers = before


def _six_axes() -> EnvSpec:
    """An arm that can do everything, its tool pointing down."""
    return EnvSpec(
        env="none",
        task="teleop",
        robot="none",
        observation={},
        action=ArraySpec(shape=(len(_SIX),), dtype="float32", low=-1.0, high=1.0),
        action_names=_SIX,
        action_frame="base",
        rate_hz=1.0 / _DRY_S,
        max_episode_steps=0,
        reward="none",
    )


def _bar(value: float) -> str:
    """A deflection in [-1, 1] as a bar to the left or the right."""
    long = round(abs(value) * _BAR)
    left, right = ("#" * long, "") if value < 0 else ("", "#" * long)
    return f"{left:>{_BAR}}|{right:<{_BAR}}"
