"""A hand that fails in mid-episode: the policy goes on, one sentence says why, and every step is in the outbox."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from devices import FakeHid, Plug, split, turns, until
from points import point_env, recorded, require_whole

from actor.config import HAND, HandConfig
from actor.human.hand import STUCK_S, Hand
from actor.human.instrument import Instrument
from actor.human.keyboard import Keyboard
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping
from actor.human.spacemouse import SpaceMouse
from envs.workcell import WorkcellEnv
from wire.types import Source, Step

LENGTH, BEGINS, FAILS = 14, 3, 8


@pytest.fixture
def plug(tmp_path: Path) -> Plug:
    return Plug(tmp_path / "hidraw0")


@pytest.fixture
def mouse(plug: Plug) -> Iterator[SpaceMouse]:
    with contextlib.closing(SpaceMouse(hid=FakeHid(plug), rest=0.1)) as made:
        yield made


def on(instrument: Instrument, env: WorkcellEnv, config: HandConfig) -> LiveChannel:
    # Longer than a busy machine may keep a thread waiting.
    return LiveChannel(Hand(instrument, Mapping(config, env.wire_spec, env.tool_rotation), config), silent_s=0.4)


def play(folder: Path, env: WorkcellEnv, channel: LiveChannel, **at: Callable[[], None]) -> list[Step]:
    """An episode in which something happens after the steps that are told."""
    steps = recorded(folder, env, channel, lambda done: at.get(f"after_{done}", lambda: None)())
    require_whole(steps, LENGTH)
    return steps


def require_handed_back(steps: list[Step]) -> None:
    """The person had control until the device failed, and the policy from then on, at once and for good."""
    sources = [step.source for step in steps]
    person = sources.count(Source.HUMAN)
    assert person >= 2
    first = sources.index(Source.HUMAN)
    assert sources == [Source.POLICY] * first + [Source.HUMAN] * person + [Source.POLICY] * (LENGTH - first - person)
    assert first + person <= FAILS
    # The period that was under way is not what the person wanted to the end.
    assert all(not step.held for step in steps if step.t not in (first - 1, first + person - 1))
    for step in steps[first + person :]:
        np.testing.assert_allclose(step.action[:3], [0.1, 0, 0], atol=1e-6)
        np.testing.assert_array_equal(step.action, step.policy_action)


@pytest.mark.parametrize("how", ["unplugged", "out of range"])
def test_a_spacemouse_that_dies(mouse: SpaceMouse, plug: Plug, tmp_path: Path, how: str, caplog):
    env = point_env(LENGTH)
    channel = on(mouse, env, HAND["spacemouse"])
    plug.say(split(), turns())
    until(lambda: not np.isnan(mouse.latest().axes).any())

    def push() -> None:
        plug.say(split(350))
        until(lambda: mouse.latest().axes[0] == 1.0)

    def fail() -> None:
        if how == "unplugged":
            plug.pull()
        until(channel.lost)

    pushes = {f"after_{number}": push for number in range(BEGINS, FAILS)}
    steps = play(tmp_path, env, channel, **pushes, **{f"after_{FAILS}": fail})
    require_handed_back(steps)
    why = "was unplugged (read error); plug it in again" if how == "unplugged" else "fell silent: age_s="
    assert f"the SpaceMouse Compact {why}" in caplog.text
    assert "the policy has control" in caplog.text


def test_an_axis_that_is_stuck_from_the_first_report_on_never_has_control(
    mouse: SpaceMouse, plug: Plug, tmp_path: Path, caplog
):
    env = point_env(LENGTH)
    channel = on(mouse, env, HAND["spacemouse"])

    def stuck() -> None:
        plug.say(split(0, 0, 200), turns())
        until(lambda: mouse.latest().axes[2] > 0.5)

    stuck()
    channel.poll()
    channel._device._trust._since_s -= STUCK_S
    steps = play(tmp_path, env, channel, **{f"after_{number}": stuck for number in range(1, LENGTH)})
    assert {step.source for step in steps} == {Source.POLICY}
    assert "axis 2 (up) of the SpaceMouse Compact stands at +0.57 and has never moved: it is stuck" in caplog.text


def test_a_terminal_that_is_closed(tmp_path: Path, caplog):
    env = point_env(LENGTH)
    reading, writing = os.pipe()
    with contextlib.closing(Keyboard(reading)) as keyboard:
        channel = on(keyboard, env, HAND["keyboard"])
        until(lambda: not channel.lost())

        def press() -> None:
            os.write(writing, b"w")
            until(channel.touched)

        def fail() -> None:
            os.close(writing)
            until(channel.lost)

        steps = play(tmp_path, env, channel, after_3=press, after_8=fail)
    os.close(reading)
    require_handed_back(steps)
    assert "the keyboard was closed, and its terminal with it; the policy has control" in caplog.text
