"""What the control loop does in real time while it waits: it shows that it lives, and it lets a person cut in.

In simulation time stands still while we think, and nothing of this is needed.
"""

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from actor.human import Channel, Event, Override
from actor.watchdog import Heart
from wire.types import Action, Observation

_SLICE_S = 0.005
_SWITCH_S = 0.0005
_GRACE_S = 0.01
"""How long a policy may think while a person waits: a quick one's answer is recorded beside the person's action."""
_END_S = 1.0


class Policy(Protocol):
    """Chooses actions."""

    def reset(self) -> None:
        """Drop whatever it was about to do: what it planned, it planned for a state that the robot is not in.

        Called before an episode's first `act`, and after every control period in which something else was done than it
        wanted: somebody took over, or the robot held. A policy that plans chunks of actions ahead begins a new one.
        """
        ...

    def act(self, observation: Observation) -> tuple[Action | None, int]:
        """The action for one observation, and the version of the weights that chose it; None where it has none."""
        ...


class Overheard:
    """A policy whose wishes somebody hears before they are carried out."""

    def __init__(self, policy: Policy, hear: Callable[[Action | None], None]) -> None:
        self._policy = policy
        self._hear = hear

    def reset(self) -> None:
        """As the policy's."""
        self._policy.reset()

    def act(self, observation: Observation) -> tuple[Action | None, int]:
        """As the policy's."""
        wanted, version = self._policy.act(observation)
        self._hear(wanted)
        return wanted, version


class Attention:
    """A person's channel that is listened to during every wait, each of which beats the heart."""

    def __init__(self, human: Channel, heart: Heart) -> None:
        self._human = human
        self._heart = heart
        self._driving = False

    def begin_episode(self, episode: int) -> None:
        """Start episode number `episode` of the stream."""
        self._driving = False
        self._human.begin_episode(episode)

    def poll(self) -> Override | None:
        """The override for the coming control period, or None: the policy keeps control."""
        override = self._human.poll()
        self._driving = override is not None
        return override

    def touched(self) -> bool:
        """Whether somebody has a hand on it now."""
        return self._human.touched()

    def lost(self) -> bool:
        """Whether whoever drives cannot be heard any more."""
        return self._human.lost()

    def events(self) -> list[Event]:
        """What was said since the last call."""
        return self._human.events()

    def executed(self, action: Action) -> None:
        """Tell the channel what the robot was told."""
        self._human.executed(action)

    def pause(self, seconds: float) -> bool:
        """Wait; False, at once, where somebody takes over, or where whoever drives cannot be heard any more."""
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            self._heart.beat()
            if self.lost() if self._driving else self.touched():
                return False
            time.sleep(min(left_s, _SLICE_S))
        return True

    def wait_for(self, question: "Question") -> bool:
        """Wait until an answer is there; False where a person will not wait for it any longer."""
        while not question.answer.done():
            self._heart.beat()
            if self.touched() and time.monotonic() - question.asked_s > _GRACE_S:
                return False
            try:
                question.answer.exception(_SLICE_S)
            except TimeoutError:
                continue
        return True


@dataclass(frozen=True)
class Question:
    """What a policy was asked, and when."""

    answer: "Future[tuple[Action | None, int]]"
    asked_s: float
    anew: bool
    """Whether what the policy was about to do is void."""


class BackgroundPolicy:
    """A policy in a thread of its own, so that neither the heartbeat nor a person has to wait for it."""

    def __init__(self, policy: Policy, attention: Attention) -> None:
        self._policy = policy
        self._attention = attention
        # Python's lock changes hands every 5 ms at best while somebody computes, and a control period asks for it a
        # dozen times: that alone would keep a person waiting for longer than we promise.
        self._switch_before_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        self._asked: SimpleQueue[tuple[Question, Observation] | None] = SimpleQueue()
        # A pool's thread would be waited for when the process ends, however long its policy thinks.
        self._thread = threading.Thread(target=self._think, name="policy", daemon=True)
        self._thread.start()
        self._unheard: Question | None = None
        self._version = 0
        self._void = False

    def reset(self) -> None:
        """Have the policy drop its plans before its next answer; it may be thinking now, so it is not told now."""
        self._void = True

    def act(self, observation: Observation) -> tuple[Action | None, int]:
        """The action for one observation; None where a person could not wait for it."""
        if self._unheard is not None and not self._attention.wait_for(self._unheard):
            return None, self._version
        question = Question(Future(), time.monotonic(), anew=self._void)
        self._void = False
        self._asked.put((question, observation))
        if not self._attention.wait_for(question):
            # Its answer will be to an observation of the past.
            self._unheard = question
            return None, self._version
        self._unheard = None
        wanted, self._version = question.answer.result()
        return wanted, self._version

    def close(self) -> None:
        """End the thread; one that still thinks after a second is left behind, and ends with the process."""
        self._asked.put(None)
        self._thread.join(_END_S)
        sys.setswitchinterval(self._switch_before_s)

    def _think(self) -> None:
        while (asked := self._asked.get()) is not None:
            question, observation = asked
            try:
                if question.anew:
                    self._policy.reset()
                question.answer.set_result(self._policy.act(observation))
            except BaseException as error:
                question.answer.set_exception(error)
