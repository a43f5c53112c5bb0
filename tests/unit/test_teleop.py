"""The screen that a user checks signs on."""

import numpy as np
from acting import ToyTask, toy_env
from devices import Pad, arm_spec
from rich.console import Console

from actor.config import HandConfig
from actor.human.hand import Hand
from actor.human.instrument import UNHEARD, Controls
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping
from actor.screen import View
from actor.teleop import Endless, Overseen, Standing


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
