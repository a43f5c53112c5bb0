"""Drive the simulated arm by hand and see what becomes of every push: how a user checks the signs before a robot."""

import contextlib
import itertools
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console

from actor.attention import Attention
from actor.config import TeleopConfig
from actor.human import Channel, Event, not_labels
from actor.human.hand import OPEN
from actor.human.live import LiveChannel
from actor.human.make import Robot, open_hand, with_keys
from actor.human.pair import SIDES
from actor.loop import CellEnv, run_episode
from actor.pacing import CellPace
from actor.screen import View, shown
from actor.watchdog import watched
from envs.guard import Guard, Verdict, Vitals
from envs.make import make_env
from envs.tabletop import METRES_PER_UNIT, TOOL_ROTATION
from envs.workcell import Outcome
from wire.specs import ArraySpec, EnvSpec
from wire.types import Action, Observation

_DRY_S = 0.05
_SEVEN = ("x", "y", "z", "rx", "ry", "rz", "gripper")


def teleop(config: TeleopConfig) -> int:
    """Show what the instrument says until the person ends it; drive the arm where there is one."""
    console = Console()
    with contextlib.ExitStack() as leaving:
        if config.dry:
            view = _view(config, leaving, _anything(two=config.hand.kind == "spacemice"))
            person = Overheard(leaving.enter_context(with_keys(view.channel, config.hand)), view)
            with shown(view, console):
                _watch(person)
            return 0
        console.print("starting the arm: a few seconds", highlight=False)
        env: Any = make_env(config.env)
        leaving.callback(env.close)
        view = _view(config, leaving, Robot.of(env))
        person = Overheard(leaving.enter_context(with_keys(view.channel, config.hand)), view)
        with watched(env.stopper) as heart, shown(view, console):
            human = Attention(person, heart)
            env.pause = human.pause
            _drive(config, env, human, view, heart)
    return 0


def _view(config: TeleopConfig, leaving: contextlib.ExitStack, robot: Robot) -> View:
    device = leaving.enter_context(open_hand(config.hand, robot))
    return View(device, LiveChannel(device), config.hand, robot.spec.action_names, robot.spec.action_frame)


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
    grippers = [place for place, name in enumerate(env.wire_spec.action_names) if name.endswith("gripper")]
    for episode in itertools.count():
        if over.is_set():
            break
        run_episode(
            env,
            Standing(guard, grippers),
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
    """A policy that stands still, with its grippers open at first and then as they are."""

    def __init__(self, guard: Guard, grippers: Sequence[int]) -> None:
        self._guard = guard
        self._grippers = list(grippers)
        self._began = False

    def reset(self) -> None:
        """Nothing: it plans nothing."""

    def act(self, observation: Observation) -> tuple[Action, int]:
        """No motion."""
        action = self._guard.still()
        if not self._began:
            action[self._grippers] = OPEN
        self._began = True
        return action, 0


class Overheard:
    """The person's channel, whose events are shown; a label is shown only, for here is nothing to label.

    It would end the episode, and the next one begins by driving home and opening the gripper, whatever is in it.
    """

    def __init__(self, person: Channel, view: View) -> None:
        self._person = person
        self._view = view
        self._paused = False
        self.begin_episode, self.poll = person.begin_episode, person.poll
        self.touched, self.lost, self.executed = person.touched, person.lost, person.executed

    def events(self) -> list[Event]:
        """What was said since the last call, without its labels."""
        events = self._person.events()
        for event in events:
            self._paused ^= event is Event.PAUSE
            again = "; the robot holds until you say it again" if event is Event.PAUSE and self._paused else ""
            self._view.said.append(f"you said: {event.value}{again}")
        return not_labels(events)


def _anything(*, two: bool) -> Robot:
    """An arm that can do everything, its tool pointing down; or two of them."""
    names = tuple(f"{side}_{name}" for side in SIDES for name in _SEVEN) if two else _SEVEN
    spec = EnvSpec(
        env="none",
        task="teleop",
        robot="none",
        observation={},
        action=ArraySpec(shape=(len(names),), dtype="float32", low=-1.0, high=1.0),
        action_names=names,
        action_frame="base",
        rate_hz=1.0 / _DRY_S,
        max_episode_steps=0,
        reward="none",
    )
    rotation = np.array([TOOL_ROTATION] * 2 if two else TOOL_ROTATION)
    return Robot(spec, lambda: rotation, METRES_PER_UNIT)
