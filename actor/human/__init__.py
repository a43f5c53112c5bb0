"""Intervention channels: whoever may take the robot over from the policy speaks through one protocol."""

import enum
from dataclasses import dataclass
from typing import Protocol

from envs.experts import Corrector
from envs.skills import Supervisor
from wire.types import Action, Source


@dataclass(frozen=True)
class Override:
    """What somebody else wants the robot to do in this control period, in the action's own frame and units."""

    action: Action
    source: Source


class Event(enum.Enum):
    """What a person says by a button or a key, beside moving the robot."""

    SUCCESS = "success"
    """The task is done: the episode ends here, with reward 1."""
    FAILURE = "failure"
    """It cannot be done any more: the episode ends here, with reward 0."""
    DISCARD = "discard"
    """This episode teaches nothing: it ends here and is never trained on."""
    PAUSE = "pause"
    """Hold the robot; said again, go on."""
    UNDO = "undo"
    """Where demonstrations are recorded: take back the last one."""
    END = "end"
    """Stop acting, in order."""


LABELS = (Event.SUCCESS, Event.FAILURE, Event.DISCARD)
"""The events that end an episode."""


def not_labels(said: list[Event]) -> list[Event]:
    """What of the things said is of no one episode: a label said while the robot goes home is of none."""
    return [event for event in said if event not in LABELS]


class Channel(Protocol):
    """A way for somebody to take over. Its methods must return at once: they are called in the control loop.

    What a device wanted some time ago is not what its person wants now: `poll` returns an override only while the
    device is known to be alive (see actor.human.live).
    """

    def begin_episode(self, episode: int) -> None:
        """Start episode number `episode` of the stream: of what was said before, all but the labels still counts."""
        ...

    def poll(self) -> Override | None:
        """The override for the coming control period, or None: the policy keeps control. Called once per period."""
        ...

    def touched(self) -> bool:
        """Whether somebody has a hand on it now and cannot wait for the next period; called as often as we like."""
        ...

    def lost(self) -> bool:
        """Whether whoever drives cannot be heard any more: the robot must not go on as they said last. As `touched`."""
        ...

    def events(self) -> list[Event]:
        """What was said since the last call, in order; called once per period, and often while the robot is paused."""
        ...

    def executed(self, action: Action) -> None:
        """Hear what the robot was told, by whomever: a hand that takes over leaves the gripper as it is."""
        ...


class Silent:
    """What a channel without a device and its buttons says and hears: nothing."""

    def lost(self) -> bool:
        """Never."""
        return False

    def events(self) -> list[Event]:
        """None."""
        return []

    def executed(self, action: Action) -> None:
        """Do nothing."""


class Nobody(Silent):
    """Nobody at the robot: the policy is always in control."""

    def begin_episode(self, episode: int) -> None:
        """Do nothing."""

    def poll(self) -> None:
        """None."""

    def touched(self) -> bool:
        """Never."""
        return False


class ScriptedCorrector(Silent):
    """A task's scripted corrector at the place of a person."""

    def __init__(self, corrector: Corrector) -> None:
        self._corrector = corrector

    def hear(self, wanted: Action | None) -> None:
        """Tell a corrector that asks for it what the policy wants in the coming control period."""
        if isinstance(self._corrector, Supervisor):
            self._corrector.hear(wanted)

    def begin_episode(self, episode: int) -> None:
        """Tell the corrector, whose help fades with the number of the episode."""
        self._corrector.begin_episode(episode)

    def poll(self) -> Override | None:
        """The corrector's action while it drives."""
        action = self._corrector.propose()
        return None if action is None else Override(action, Source.SCRIPT)

    def touched(self) -> bool:
        """Never: a script can wait."""
        return False
