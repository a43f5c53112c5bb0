"""What a person says by buttons and keys, and what the loop makes of it: labels, pause, end. Nothing waits for keys."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from actor.human import LABELS, Channel, Event
from actor.watchdog import Heart
from envs.gym_env import GymEnv
from envs.workcell import WorkcellEnv
from wire.types import Observation, Step

log = logging.getLogger(__name__)

_SLICE_S = 0.005


@dataclass(frozen=True)
class Heard:
    """What was said in one control period."""

    label: Event | None = None
    """One of actor.human.LABELS: the last one said, for people correct themselves."""
    paused: bool = False
    """The robot was held for a while after this period."""


class Listener:
    """Takes in what the person says, and waits where they want the robot to."""

    def __init__(
        self,
        human: Channel,
        env: WorkcellEnv | GymEnv,
        heart: Heart,
        *,
        stopped: Callable[[], bool],
        end: Callable[[], None],
    ) -> None:
        """Listen to `human` for one episode; `stopped` cuts a pause short, `end` is told that they want no more."""
        self._human = human
        self._env = env
        self._heart = heart
        self._stopped = stopped
        self._end = end

    def attend(self) -> Heard:
        """What was said since the last call. A pause lasts, the robot held, until it is over or a label ends it."""
        label, pausing, paused = None, False, False
        while True:
            for event in self._human.events():
                if event is Event.END:
                    log.info("the person ends it here")
                    self._end()
                elif event is Event.PAUSE:
                    pausing = not pausing
                elif event in LABELS:
                    label = event
            if not pausing or label is not None or self._stopped() or self._env.halted():
                break
            if not paused:
                paused = True
                self._env.hold()
                log.info("paused: the robot holds until pause is pressed again")
            self._heart.beat()
            time.sleep(_SLICE_S)
        if paused:
            log.info("the pause is over")
        return Heard(label, paused)

    def hear_out(self, patience_s: float) -> Event | None:
        """The label that the person gives within `patience_s`, the robot held meanwhile; None: they say nothing.

        For the claim of a reward model, which a person at the robot may contradict.
        """
        self._env.hold()
        deadline_s = time.monotonic() + patience_s
        while time.monotonic() < deadline_s and not self._stopped() and not self._env.halted():
            self._heart.beat()
            label = self.attend().label
            if label is not None:
                return label
            time.sleep(_SLICE_S)
        return None

    def look_again(self, before: Observation) -> Observation:
        """The senses after a pause; in a simulation, whose time stood still, those of before."""
        if isinstance(self._env, GymEnv) or self._env.ticker is None:
            return before
        self._env.ticker.begin()
        return self._env.look_again()


def labelled(step: Step, label: Event | None, after: Observation) -> Step:
    """The step as a person's label leaves it.

    Args:
        step: As the task judged it.
        label: What the person says of the episode; None: nothing.
        after: The observation after the step, which is the episode's last where a label ends it.
    """
    if label is None:
        return step
    final = step.final_observation if step.ended else after
    if label is Event.DISCARD:
        # Only a time limit claims nothing of the task.
        cut = not step.terminated
        return msgspec.structs.replace(step, truncated=cut, final_observation=final, discarded=True)
    done = label is Event.SUCCESS
    return msgspec.structs.replace(
        step,
        reward=float(done),
        terminated=True,
        truncated=False,
        success=done,
        final_observation=final,
        reward_by="",
    )
