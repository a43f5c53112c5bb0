"""A gamepad over SDL, whose table of pads makes them all alike.

    left stick    forward, left                 A   gripper      Start   pause, go on
    right stick   up, turn about up             Y   success      Back    end
    d-pad         turn about left               X   failure
    shoulders     turn about forward            B   discard the episode

**How we know that it lives.** SDL speaks only of changes, and a pad that runs out of battery in mid-push says nothing
for seconds. Unplugged, it is known to be gone within 10 ms. Beyond that we let a stick stand still, to the last bit,
for one second: a thumb does not, except at the end of a stick's travel, where it has to let go for a moment.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from actor.human.instrument import STILL, Controls
from wire.errors import UserError, plain

STEADY_S = 1.0
"""How long a deflected pad may report no change."""
_WAKE_S = 0.005
_RETRY_S = 0.25
_FULL = 32767.0
_STICKS = {1: (0, -1.0), 0: (1, -1.0), 3: (2, -1.0), 2: (5, -1.0)}
"""SDL's axis -> ours and its sign; SDL counts right and down."""
_PADS = {11: (4, 1.0), 12: (4, -1.0), 10: (3, 1.0), 9: (3, -1.0)}
"""SDL's button -> axis that it pushes, and which way."""
_ENVIRONMENT = {
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS": "1",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}


class Gamepad:
    """One gamepad; unplugged, it is picked up again when it returns."""

    def __init__(
        self,
        wanted: str | None = None,
        *,
        rest: float = 0.0,
        prepare: Callable[[Any], None] = lambda pygame: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open it.

        Args:
            wanted: Its number, as the error about several of them lists them.
            rest: Deflection that means nothing, and may therefore go unreported.
            prepare: Called with pygame in the thread that listens, before the first look: a test attaches its pad.
            clock: Monotonic seconds.

        Raises:
            UserError: Where there is none, or more than one; says what to do.
        """
        self._wanted, self._rest, self._clock = wanted, rest, clock
        self.name, self.trouble, self.connection = "gamepad", "", 0
        self._lock = threading.Lock()
        self._pressed: list[int] = []
        self._controls: Controls | None = None
        self._changed_s = 0.0
        self._problem: Exception | None = None
        self._ready, self._closing = threading.Event(), threading.Event()
        # SDL wants to be listened to by the thread that started it.
        self._thread = threading.Thread(target=self._run, args=(prepare,), name="gamepad", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._problem is not None:
            self._thread.join()
            raise self._problem

    def latest(self) -> Controls | None:
        """How it stands; None while it is away."""
        with self._lock:
            return self._controls

    def pressed(self) -> list[int]:
        """The buttons pressed since the last call, in order."""
        with self._lock:
            pressed, self._pressed = self._pressed, []
        return pressed

    def close(self) -> None:
        """Let the device go."""
        self._closing.set()
        self._thread.join()

    def _run(self, prepare: Callable[[Any], None]) -> None:
        try:
            pygame, controllers = _import_pygame()
        except UserError as error:
            self._problem = error
            self._ready.set()
            return
        pygame.display.init()
        controllers.init()
        try:
            prepare(pygame)
            pad = self._open(controllers)
            self._ready.set()
            while not self._closing.is_set():
                pad = self._look_for_it(pygame, controllers) if pad is None else self._follow(pygame, pad)
        except UserError as error:
            self._problem = error
        finally:
            controllers.quit()
            pygame.quit()
            with self._lock:
                self._controls = None
            self._ready.set()

    def _open(self, controllers: Any) -> Any:
        pad = controllers.Controller(_choose(controllers, self._wanted))
        with self._lock:
            self.name = plain(pad.name, 60)
            self.connection, self.trouble = self.connection + 1, ""
            self._controls, self._changed_s = Controls(self._clock()), self._clock()
        return pad

    def _follow(self, pygame: Any, pad: Any) -> Any:
        """Take in what has happened, then how it stands; None where it is gone."""
        presses = [event.button for event in pygame.event.get(pygame.CONTROLLERBUTTONDOWN)]
        pygame.event.clear()
        if not pad.attached():
            self.trouble = "was unplugged, or its battery is empty; connect it again"
            with self._lock:
                self._controls = None
            return None
        axes = list(STILL)
        for number, (axis, sign) in _STICKS.items():
            axes[axis] = max(-1.0, min(1.0, sign * pad.get_axis(number) / _FULL))
        down = frozenset(number for number in range(15) if pad.get_button(number))
        for number in down & _PADS.keys():
            axis, way = _PADS[number]
            axes[axis] += way
        now_s = self._clock()
        with self._lock:
            before = self._controls
            if before is None or (before.axes, before.down) != (tuple(axes), down):
                self._changed_s = now_s
            pushed = any(abs(value) > self._rest for value in axes)
            heard_s = min(now_s, self._changed_s + STEADY_S) if pushed else now_s
            self._controls = Controls(heard_s, tuple(axes), down)
            self._pressed += presses
        self._closing.wait(_WAKE_S)
        return pad

    def _look_for_it(self, pygame: Any, controllers: Any) -> Any:
        self._closing.wait(_RETRY_S)
        pygame.event.get()
        try:
            return self._open(controllers)
        except UserError:
            return None


def _choose(controllers: Any, wanted: str | None) -> int:
    found = [number for number in range(controllers.get_count()) if controllers.is_controller(number)]
    names = [f"{number} ({plain(controllers.name_forindex(number), 60)})" for number in found]
    chosen = [number for number in found if wanted in (None, str(number))]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise UserError(f"there are {len(found)} gamepads: {', '.join(names)}; choose: human.device=<number>")
    if found:
        raise UserError(f"there is no gamepad {wanted}; connected: {', '.join(names)}; set human.device to a number")
    raise UserError(
        "there is no gamepad that SDL knows; connect one (this user must be able to read /dev/input/event*), describe "
        "an unknown one in SDL_GAMECONTROLLERCONFIG, or set human=keyboard"
    )


def _import_pygame() -> tuple[Any, Any]:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import pygame
        from pygame._sdl2 import controller
    except ImportError:
        raise UserError("human=gamepad needs pygame: pip install 'handrail[human]'") from None
    return pygame, controller
