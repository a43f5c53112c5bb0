"""From a config to whoever may take over."""

import contextlib
import os

import pytest
from acting import toy_env
from devices import until

from actor.config import HAND, ActorConfig
from actor.human import Event, Nobody, Silent
from actor.human.keyboard import Keyboard
from actor.human.make import WithKeys, has_keys, open_instrument, whoever
from envs.config import EnvConfig
from wire.errors import UserError


@pytest.fixture
def stdin():
    """A pipe at the place of standard input, as the front door gives one to a room; its writing end."""
    reading, writing = os.pipe()
    before = os.dup(0)
    os.dup2(reading, 0)
    yield writing
    os.dup2(before, 0)
    for fd in (reading, before):
        os.close(fd)
    with contextlib.suppress(OSError):
        os.close(writing)


def config(human: str) -> ActorConfig:
    return ActorConfig(
        env=EnvConfig(task="reach", realtime=True), human=human, hand=HAND.get(human, HAND["spacemouse"])
    )


def test_nobody_is_there_unless_asked_for():
    with whoever(config("none"), toy_env()) as channel:
        assert isinstance(channel, Nobody)


def test_a_robot_that_cannot_be_driven_is_refused_before_the_device_is_opened(stdin: int):
    with (
        pytest.raises(UserError, match="human=keyboard drives robots whose action has x, y, z"),
        whoever(config("keyboard"), toy_env()),
    ):
        pass


def test_a_pipe_has_keys_and_nothing_else_has(stdin: int):
    assert has_keys()
    null = os.open("/dev/null", os.O_RDONLY)
    before = os.dup(0)
    os.dup2(null, 0)
    try:
        assert not has_keys()
        with pytest.raises(UserError, match="human=keyboard needs a terminal to read keys from"):
            open_instrument(HAND["keyboard"])
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(null)


class Hand(Silent):
    def __init__(self) -> None:
        self.said = [Event.FAILURE]

    def begin_episode(self, episode: int) -> None:
        pass

    def poll(self) -> None:
        pass

    def touched(self) -> bool:
        return True

    def lost(self) -> bool:
        return True

    def events(self) -> list[Event]:
        said, self.said = self.said, []
        return said


def test_the_keys_of_the_terminal_say_what_the_buttons_of_a_device_do_not(stdin: int):
    with contextlib.closing(Keyboard(0)) as keys:
        both = WithKeys(Hand(), keys)
        os.write(stdin, b"w yxpq")
        said: list[Event] = []
        while len(said) < 5:
            said += both.events()
        assert said == [Event.FAILURE, Event.SUCCESS, Event.DISCARD, Event.PAUSE, Event.END]
        assert both.touched()
        assert both.lost()
        assert both.poll() is None


def test_what_other_keys_send_labels_and_ends_nothing_beside_a_device_either(stdin: int):
    with contextlib.closing(Keyboard(0)) as keys:
        both = WithKeys(Silent(), keys)  # type: ignore[arg-type]
        # F1, F2, Shift+Tab, Alt+q, and capitals.
        os.write(stdin, b"\x1bOP\x1bOQ\x1b[Z\x1bqYXQp")
        said: list[Event] = []
        while not said:
            said += both.events()
        assert said == [Event.PAUSE]


def test_labels_given_by_key_while_the_robot_goes_home_are_past_and_pause_undo_and_end_are_not(stdin: int):
    with contextlib.closing(Keyboard(0)) as keys:
        hand = Hand()
        both = WithKeys(hand, keys)
        os.write(stdin, b"ypnzxq")
        until(lambda: len(keys._pressed) == 6)
        both.begin_episode(2)
        assert both.events() == [Event.FAILURE, Event.PAUSE, Event.UNDO, Event.END], "the first is the hand's own"
        os.write(stdin, b"y")
        until(lambda: keys._pressed)
        assert both.events() == [Event.SUCCESS]
