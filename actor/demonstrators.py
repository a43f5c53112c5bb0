"""Who shows the task: a script, or a person with an instrument, at the place of whoever may take over."""

from collections.abc import Callable, Sequence

import numpy as np

from actor.human import Channel, Event, Override, Silent
from actor.human.hand import OPEN
from envs.experts import Expert
from wire.types import Action, Source


class ScriptedDemonstrator(Silent):
    """The expert at the place of a person who never lets go."""

    def __init__(self, expert: Expert) -> None:
        self._expert = expert

    def begin_episode(self, episode: int) -> None:
        """Tell the expert."""
        self._expert.begin_episode()

    def poll(self) -> Override:
        """What the expert wants."""
        return Override(self._expert.propose(), Source.DEMO)

    def touched(self) -> bool:
        """Always."""
        return True


class Demonstrator:
    """A person who shows the task: the robot stands still while the hand is off, and nothing else ever drives it.

    An episode begins with the first move, so that no demonstration begins with standing still. Until then the robot is
    held by a pause, which the channel itself says and takes back.
    """

    def __init__(self, hand: Channel, size: int, grippers: Sequence[int], undo: Callable[[], object]) -> None:
        """Listen to `hand`.

        Args:
            hand: The person.
            size: Dimensions of the action.
            grippers: Which of them are grippers.
            undo: Told that they want the last episode taken back; must not block.
        """
        self._hand = hand
        self._still = np.zeros(size, np.float32)
        self._grippers = list(grippers)
        self._undo = undo
        self._held = False
        self._driving = False
        self.waiting = False
        """For the first move."""

    def begin_episode(self, episode: int) -> None:
        """Wait for the first move; the grippers begin open, whatever the last episode left."""
        self._hand.begin_episode(episode)
        self.waiting, self._held, self._driving = True, False, False
        self._still[self._grippers] = OPEN
        self._hand.executed(self._still.copy())

    def poll(self) -> Override:
        """What the hand wants, or to stand still."""
        override = self._hand.poll()
        self._driving = override is not None
        return Override(self._still.copy() if override is None else override.action, Source.DEMO)

    def touched(self) -> bool:
        """Whether there is a hand on it."""
        return self._hand.touched()

    def lost(self) -> bool:
        """Whether the hand that drives cannot be heard any more."""
        return self._driving and self._hand.lost()

    def events(self) -> list[Event]:
        """What was said; an undo is carried out, and a label before the first move is of nothing."""
        said = self._hand.events()
        for _ in range(said.count(Event.UNDO)):
            self._undo()
        said = [event for event in said if event is not Event.UNDO]
        if not self.waiting:
            return said
        said = [event for event in said if event is Event.END]
        if not self._held:
            self._held = True
            return [*said, Event.PAUSE]
        if self._hand.touched():
            self.waiting = False
            return [*said, Event.PAUSE]
        return said

    def executed(self, action: Action) -> None:
        """Keep the grippers as they were told to be."""
        self._still[self._grippers] = action[self._grippers]
        self._hand.executed(action)
