"""A gamepad of SDL's own making, through the real driver."""

import ctypes
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from devices import until

pytest.importorskip("pygame")

from actor.human.gamepad import STEADY_S, Gamepad
from wire.errors import UserError


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


class Virtual:
    """Pads that SDL makes up. Its calls are made from the test's thread: SDL locks its joysticks."""

    def __init__(self, pads: int = 1) -> None:
        self.pads = pads
        self.sdl: Any = None

    def attach(self, pygame: Any) -> None:
        folder = Path(pygame.__file__).parents[1] / "pygame.libs"
        self.sdl = ctypes.CDLL(str(next(folder.glob("libSDL2-2*"))))
        self.sdl.SDL_JoystickFromInstanceID.restype = ctypes.c_void_p
        self.sdl.SDL_JoystickGetDeviceInstanceID.argtypes = [ctypes.c_int]
        for _ in range(self.pads):
            self.plug_in()

    def plug_in(self) -> None:
        assert self.sdl.SDL_JoystickAttachVirtual(1, 6, 15, 0) >= 0

    def pull(self) -> None:
        assert self.sdl.SDL_JoystickDetachVirtual(0) == 0

    def _pad(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.sdl.SDL_JoystickFromInstanceID(self.sdl.SDL_JoystickGetDeviceInstanceID(0)))

    def push(self, axis: int, value: float) -> None:
        assert self.sdl.SDL_JoystickSetVirtualAxis(self._pad(), axis, ctypes.c_int16(int(32767 * value))) == 0

    def press(self, button: int, down: bool) -> None:
        assert self.sdl.SDL_JoystickSetVirtualButton(self._pad(), button, int(down)) == 0


@pytest.fixture
def made() -> Iterator[tuple[Virtual, Gamepad, Clock]]:
    virtual, clock = Virtual(), Clock()
    pad = Gamepad(prepare=virtual.attach, clock=clock, rest=0.1)
    yield virtual, pad, clock
    pad.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "gamepad"]


Made = tuple[Virtual, Gamepad, Clock]


@pytest.mark.parametrize(("sdl", "axis"), [(1, 0), (0, 1), (3, 2), (2, 5)])
def test_sticks_push_their_axes_and_right_and_down_are_negative(made: Made, sdl: int, axis: int):
    virtual, pad, _ = made
    virtual.push(sdl, 0.5)
    wanted = [-0.5 if number == axis else 0.0 for number in range(6)]
    until(lambda: pad.latest().axes == pytest.approx(wanted, abs=1e-3))


def test_shoulders_and_the_d_pad_turn(made: Made):
    virtual, pad, _ = made
    for button, axis, way in [(10, 3, 1.0), (9, 3, -1.0), (11, 4, 1.0), (12, 4, -1.0)]:
        virtual.press(button, True)
        until(lambda axis=axis, way=way: pad.latest().axes[axis] == way)
        virtual.press(button, False)
        until(lambda axis=axis: pad.latest().axes[axis] == 0.0)


def test_every_press_counts_once(made: Made):
    virtual, pad, _ = made
    for button in (0, 3, 6):
        virtual.press(button, True)
        until(lambda button=button: button in pad.latest().down)
        virtual.press(button, False)
        until(lambda button=button: button not in pad.latest().down)
    assert pad.pressed() == [0, 3, 6]
    assert pad.pressed() == []


def test_a_stick_that_stands_still_to_the_last_bit_is_believed_for_a_second(made: Made):
    virtual, pad, clock = made
    virtual.push(1, -1.0)
    until(lambda: pad.latest().axes[0] > 0.9)
    clock.now_s += 60.0
    until(lambda: pad.latest().heard_s == 50.0 + STEADY_S)
    virtual.push(1, -0.99)
    until(lambda: pad.latest().heard_s == clock.now_s)
    virtual.push(1, 0.0)
    clock.now_s += 60.0
    until(lambda: pad.latest().heard_s == clock.now_s)


def test_one_that_is_pulled_out_wants_nothing_and_is_picked_up_when_it_returns(made: Made):
    virtual, pad, _ = made
    virtual.push(1, -1.0)
    until(lambda: pad.latest().axes[0] > 0.9)
    virtual.pull()
    until(lambda: pad.latest() is None)
    assert pad.trouble == "was unplugged, or its battery is empty; connect it again"
    virtual.plug_in()
    until(lambda: pad.latest() is not None)
    assert (pad.connection, pad.trouble) == (2, "")
    assert pad.latest().axes == (0.0,) * 6


def test_none_and_two_say_what_to_do():
    with pytest.raises(UserError, match="there is no gamepad that SDL knows; connect one"):
        Gamepad()
    with pytest.raises(UserError, match=r"there are 2 gamepads: 0 \(.+\), 1 \(.+\); choose: human.device=<number>"):
        Gamepad(prepare=Virtual(2).attach)
    pad = Gamepad("1", prepare=Virtual(2).attach)
    pad.close()
    with pytest.raises(UserError, match=r"there is no gamepad 7; connected: 0 \(.+\); set human.device to a number"):
        Gamepad("7", prepare=Virtual(1).attach)
