"""A leader's pose as a hand: the robot moves as the leader moves, from the moment on in which the person engages.

**Nothing jumps.** What counts is how far the leader has come since it was engaged, in the robot's frame by rotation
alone, less what the robot was told since. Where the robot cannot follow (its guard, its speed, the edge of its
workspace) it is never more than two full actions behind: the rest is forgotten, so it stops when the leader stops.

**Who is not heard is not followed.** A leader that was silent, that leapt as no hand does (tracking was lost and found
again), or whose button was down from the first message on must be engaged anew: the button has to come up first.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from actor.config import HandConfig
from actor.human.instrument import Controls, Pose
from actor.human.live import SILENT_S
from actor.human.mapping import Mapping
from wire.types import Action

log = logging.getLogger(__name__)

BEHIND = 2.0
"""How many full actions the robot may be behind its leader."""
LEAP_M, LEAP_M_S = 0.05, 3.0
"""A hand that leads moves at 1 m/s at most, and messages that pile up may add a few centimetres."""
MOVED_M, MOVED_RAD = 0.005, 0.05
"""Without a button: the leader moves when it has come so far within REST_S, and is let go when it has not."""
REST_S = 0.5


@dataclass
class _Start:
    """The moment of engagement, and what became of it."""

    leader: Pose
    base_from_hand: np.ndarray
    """From the person's axes into the robot's base frame at that moment, shape (3, 3)."""
    done_units: np.ndarray
    """How far the robot was told to move since, base frame, shape (3,), units of the action."""
    done: Rotation
    """How far it was told to turn."""


class Following:
    """From the poses of a leader to actions."""

    def __init__(
        self,
        mapping: Mapping,
        config: HandConfig,
        metres_per_unit: float,
        *,
        name: str = "leader",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `metres_per_unit` is how far one unit of the action moves the robot in a control period."""
        self._mapping = mapping
        self._name = name
        self._clock = clock
        self._metres, self._radians = metres_per_unit, config.radians_per_unit
        self._clutch = Clutch(config.clutch_button)
        self._last: tuple[Pose, float] | None = None
        self._start: _Start | None = None

    def motion(self, controls: Controls) -> Action | None:
        """The action for the pose, float32, shape (n,), its gripper at zero; None while the leader is not engaged."""
        pose = controls.pose
        if pose is None or not self._clock() - controls.heard_s <= SILENT_S:
            self.release()
            return None
        if self._start is not None and self._leapt(pose, controls.heard_s):
            log.warning("the %s leapt as no hand does, so it has let go of the robot; engage it anew", self._name)
            self.release()
        self._last = pose, controls.heard_s
        if not self._clutch.engaged(pose, controls):
            self._start = None
            return None
        if self._start is None:
            self._start = _Start(pose, self._mapping.base_from_hand(), np.zeros(3), Rotation.identity())
        return self._toward(self._start, pose)

    def executed(self, action: Action) -> None:
        """Take into account what the robot was told while it followed."""
        if self._start is not None:
            twist = self._mapping.take(action)
            base_from_action = self._mapping.action_from_base().T
            self._start.done_units = self._start.done_units + base_from_action @ twist[:3]
            turn = Rotation.from_rotvec(self._radians * (base_from_action @ twist[3:]))
            self._start.done = turn * self._start.done

    def begin_episode(self) -> None:
        """Begin anew from where leader and robot are: the robot was brought home meanwhile."""
        self._start = None

    def release(self) -> None:
        """Let go, until the person engages anew."""
        self._clutch.release()
        self._start, self._last = None, None

    def _leapt(self, pose: Pose, heard_s: float) -> bool:
        if self._last is None:
            return False
        before, before_s = self._last
        moved_m = float(np.linalg.norm(pose.position_m - before.position_m))
        return moved_m > LEAP_M + LEAP_M_S * (heard_s - before_s)

    def _toward(self, start: _Start, pose: Pose) -> Action:
        """The action that brings the robot to where the leader has come, as far as one action can."""
        moved, turned = self._come(start.leader, pose) @ start.base_from_hand.T
        wanted_units, wanted = moved / self._metres, Rotation.from_rotvec(turned)
        ahead = _shortened(wanted_units - start.done_units, BEHIND)
        turn = _shortened((wanted * start.done.inv()).as_rotvec() / self._radians, BEHIND)
        # What is further ahead is forgotten, as if it had been done.
        start.done_units = wanted_units - ahead
        start.done = Rotation.from_rotvec(-self._radians * turn) * wanted
        action_from_base = self._mapping.action_from_base()
        return self._mapping.put(np.concatenate([_within(action_from_base @ part) for part in (ahead, turn)]))

    def _come(self, leader: Pose, pose: Pose) -> np.ndarray:
        """How far the leader has come, metres and radians, shape (2, 3): along its base's axes, or its tool's then."""
        turned = Rotation.from_matrix(pose.rotation @ leader.rotation.T).as_rotvec()
        six = np.array([pose.position_m - leader.position_m, turned])
        if self._mapping.frame == "tool":
            six = six @ leader.rotation
        return (self._mapping.arranged(six.ravel()) * self._mapping.scale).reshape(2, 3)


class Clutch:
    """Whether the leader leads: while its button is down, or, without one, while it moves."""

    def __init__(self, button: int | None) -> None:
        self._button = button
        self._armed = False
        self._rest: tuple[Pose, float] | None = None
        self._moved_s = -np.inf

    def engaged(self, pose: Pose, controls: Controls) -> bool:
        """Whether the robot is to follow; asked for every message."""
        if self._button is not None:
            down = self._button in controls.down
            # One that was down from the first message on may be stuck.
            self._armed = self._armed or not down
            return self._armed and down
        now_s = controls.heard_s
        if self._rest is None:
            self._rest = pose, now_s
        before, since_s = self._rest
        if _apart(pose, before):
            self._moved_s, self._rest = now_s, (pose, now_s)
        elif now_s - since_s > REST_S:
            self._rest = pose, now_s
        return now_s - self._moved_s <= REST_S

    def release(self) -> None:
        """Forget that it was engaged."""
        self._armed, self._rest, self._moved_s = False, None, -np.inf


def _apart(pose: Pose, other: Pose) -> bool:
    turned = Rotation.from_matrix(pose.rotation @ other.rotation.T).magnitude()
    return float(np.linalg.norm(pose.position_m - other.position_m)) > MOVED_M or turned > MOVED_RAD


def _shortened(vector: np.ndarray, most: float) -> np.ndarray:
    """The vector, no longer than `most`."""
    return vector * min(1.0, most / max(float(np.linalg.norm(vector)), 1e-12))


def _within(units: np.ndarray) -> np.ndarray:
    """The vector, in the action's box and in its own direction."""
    return units / max(1.0, float(np.abs(units).max()))
