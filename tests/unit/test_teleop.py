"""The screen that a user checks signs on."""

from typing import Any

import numpy as np
import pytest
from acting import ToyTask, toy_env
from devices import Pad, arm_spec
from rich.console import Console

from actor.attention import Attention
from actor.config import HandConfig, TeleopConfig
from actor.human import LABELS, Event, Silent
from actor.human.hand import Hand
from actor.human.instrument import UNHEARD, Controls
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping
from actor.screen import View
from actor.teleop import Endless, Overheard, Overseen, Standing, _drive
from actor.watchdog import Unwatched


def made() -> tuple[Pad, View]:
    pad, config = Pad(), HandConfig(dead_zone=0.0)
    hand = Hand(pad, Mapping(config, arm_spec()), config, clock=lambda: pad.now_s)
    channel = LiveChannel(hand, clock=lambda: pad.now_s)
    return pad, View(hand, channel, config, ("x", "y", "z", "gripper"), "base")


def shown(view: View) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(view)
    console.file.close()
    return console.export_text()


def test_it_shows_what_the_axes_say_what_that_means_and_what_the_robot_is_told():
    pad, view = made()
    view.channel.poll()
    pad.stand(0.5, -0.25, down=frozenset({0, 3}))
    view.channel.poll()
    text = shown(view)
    assert "pad: frame=base, seen by a person turned 180 degrees" in text
    assert "0 forward" in text
    assert "+0.50            |#####" in text
    assert "-0.25          ##|" in text
    assert "buttons down: 0, 3" in text
    assert "action (base frame): x -0.50  y +0.25  z +0.00  gripper +1.00" in text


def test_it_shows_hands_off_and_what_was_never_heard_of():
    pad, view = made()
    pad.controls = Controls(pad.now_s, UNHEARD)
    view.channel.poll()
    text = shown(view)
    assert "never heard of" in text
    assert "hands off" in text
    assert "guard" not in text


def test_it_says_why_nothing_comes():
    pad, view = made()
    pad.controls, pad.trouble = None, "was unplugged; plug it in again"
    view.channel.poll()
    assert "the pad was unplugged; plug it in again" in shown(view)


def test_it_shows_the_guards_verdict_and_the_target():
    _, view = made()
    env = toy_env()
    guard = Overseen(env, view)
    guard.apply(np.array([9.0, 0.0]), np.array([0.47, -0.1, 0.2]))
    assert "guard: clipped to the action box" in shown(view)
    assert "x +470  y -100  z +200 mm" in shown(view)
    guard.apply(None)
    assert "guard: holds: there is no action" in shown(view)


def test_who_does_not_push_stands_still_with_the_gripper_as_it_was():
    _, view = made()
    guard = Overseen(toy_env(), view)
    standing = Standing(guard, [1])
    np.testing.assert_array_equal(standing.act({})[0], [0.0, 1.0])
    guard.apply(np.array([1.0, -0.75]))
    np.testing.assert_array_equal(standing.act({})[0], [0.0, -0.75])


def test_nothing_is_ever_reached_and_no_time_limit_comes():
    env = toy_env(goal=-1.0, limit=1)
    env.task = Endless(ToyTask(goal=-1.0, limit=1))
    env.cell.x = 9.0
    env.reset(seed=0)
    assert env.cell.x < 1.0
    for _ in range(5):
        _, reward, terminated, truncated, _ = env.step(np.zeros(2, np.float32))
        assert (reward, terminated, truncated) == (0.0, False, False)


class Person(Silent):
    """Nobody's hand; says what it is told at the calls of `events` that it is told, and in the end that it ends."""

    def __init__(self, *said: list[Event]) -> None:
        self.said = [*said, [Event.END]]

    def begin_episode(self, episode: int) -> None:
        pass

    def poll(self) -> None:
        pass

    def touched(self) -> bool:
        return False

    def events(self) -> list[Event]:
        return self.said.pop(0)


def driven(person: Person, env: Any) -> tuple[int, View]:
    """Teleop's loop until the person ends it: how often the arm was brought home, and what was shown."""
    _, view = made()
    resets: list[int] = []
    reset = env.reset

    def counted(seed: int) -> Any:
        resets.append(seed)
        return reset(seed=seed)

    env.reset = counted
    human = Attention(Overheard(person, view), Unwatched())
    _drive(TeleopConfig(hand=HandConfig(dead_zone=0.0), dry=True), env, human, view, Unwatched())
    return len(resets), view


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_shown_and_the_arm_is_not_driven_home(label: Event):
    person = Person([], [label], [], [label], [])
    resets, view = driven(person, toy_env())
    assert resets == 1
    assert list(view.said) == [f"you said: {label.value}", f"you said: {label.value}", "you said: end"]
    assert not person.said, "it went on until the person ended it"


@pytest.mark.parametrize("label", LABELS)
def test_a_label_does_not_end_a_pause_and_the_second_pause_does(label: Event):
    env, left = toy_env(), list[int]()
    step = env.step

    def counted(action: np.ndarray) -> Any:
        left.append(len(person.said))
        return step(action)

    env.step = counted
    person = Person([], [Event.PAUSE], [label], [], [Event.PAUSE], [])
    resets, view = driven(person, env)
    assert (resets, left) == (1, [6, 2, 1]), "no step between the two"
    assert list(view.said) == [
        "you said: pause; the robot holds until you say it again",
        f"you said: {label.value}",
        "you said: pause",
        "you said: end",
    ]
