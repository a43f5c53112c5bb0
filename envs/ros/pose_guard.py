"""What may become a robot's target: finite -> box -> speed -> rate, fresh, from one commander; else the robot holds.

The outer twin of `envs.guard`, in poses and at the robot's own tick, without ROS: the guard's node gives it what it
hears and publishes what it answers. Not safety-rated: the robot's own limits and the hardware emergency stop stay the
safety functions.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from envs.ros.config import LimitsConfig

WAITING, HOLDING, FOLLOWING, HALTED, STOPPED = "waiting", "holding", "following", "halted", "stopped"
"""No pose of the robot is known yet; it stays; it goes where it is asked to; requests are refused until the next begin,
which has to be a person's where a person asked for it; they are refused until somebody releases the emergency stop."""

_UNKNOWN = "the robot's pose is not known yet"
_SETTLE_TICKS = 3
MOVED_M = 0.03
"""A holding robot this far from its target was moved by somebody else."""


@dataclass(frozen=True)
class Pose:
    """Position, shape (3,), metres, base frame, and orientation."""

    position_m: np.ndarray
    rotation: Rotation

    def sound(self) -> bool:
        """Whether every number in it is finite."""
        return bool(np.isfinite(self.position_m).all() and np.isfinite(self.rotation.as_quat()).all())


@dataclass(frozen=True)
class Request:
    """Where a commander wants the tool to be one control period from now."""

    pose: Pose
    heard_ns: int


@dataclass(frozen=True)
class Felt:
    """What the robot reports."""

    pose: Pose | None
    ages_s: dict[str, float] = field(default_factory=dict)
    """Topic -> seconds since it was heard."""
    force_n: float | None = None
    problem: str = ""
    """Of the newest message that was refused."""
    conflict: str = ""
    """Why nothing may move: a second publisher of the targets, say."""


class PoseGuard:
    """Answers, tick by tick, which target the robot gets."""

    def __init__(self, limits: LimitsConfig, *, tick_s: float, period_s: float) -> None:
        """Start without a target.

        Args:
            limits: What it enforces.
            tick_s: Between two calls of `tick`.
            period_s: The commander's control period, over which the way to a request is spread.
        """
        self._limits = limits
        self._tick_s, self._ticks = tick_s, max(1, round(period_s / tick_s))
        self._low, self._high = np.array(limits.workspace_low_m), np.array(limits.workspace_high_m)
        self.mode, self.reason = WAITING, _UNKNOWN
        self.target: Pose | None = None
        self._request: Request | None = None
        self._left = 0
        self._velocity = np.zeros(3)
        self._goal: Pose | None = None
        self._settling = 0
        self._conflict = ""
        """The newest that was felt: whether the reason tells of it."""
        self._latched = True
        """Whether the target is where the robot was when it last began to hold."""
        self._waits_for_person = False
        """Whether somebody asked for the halt: no program may lift it."""

    @property
    def ready(self) -> bool:
        """Whether it holds the robot where that is, so that the next request starts from there."""
        return self.target is not None and self._latched

    def begin(self, *, by_person: bool = False) -> str:
        """Lift a halt, for a new episode and whoever commands next; why not, or an empty string."""
        if self.mode == STOPPED:
            return f"the emergency stop is in force: {self.reason}; release it first"
        if self._waits_for_person and not by_person:
            return f"{self.reason}; call guard/begin once the robot may move again"
        self._waits_for_person = False
        if self.target is None:
            self.mode, self.reason = WAITING, _UNKNOWN
        else:
            # The robot may stand elsewhere by now: its last target is of another episode.
            self._stay(HOLDING, "a new episode")
            self._request, self._latched, self._settling = None, False, _SETTLE_TICKS
        return ""

    def halt(self, reason: str, *, by_person: bool = False) -> None:
        """Hold, and refuse every request until the next `begin`, of a person where a person wants it."""
        self._waits_for_person = self._waits_for_person or by_person
        if self.mode not in (HALTED, STOPPED) or (by_person and self.mode == HALTED):
            self._stay(HALTED, reason)

    def stop(self, reason: str) -> None:
        """Hold, and refuse every request until `release`, and then a person's `begin`."""
        self._waits_for_person = True
        self._stay(STOPPED, reason)

    def release(self) -> None:
        """Lift the emergency stop; requests after the next `begin` of a person may move the robot."""
        if self.mode == STOPPED:
            self.mode, self.reason = HALTED, "the emergency stop was released"

    def request(self, request: Request) -> None:
        """Take a commander's wish; what is outside the workspace is brought to its edge."""
        if self.mode in (HALTED, STOPPED):
            return
        if not request.pose.sound():
            self.halt("a request holds a NaN or an infinity")
            return
        inside = np.clip(request.pose.position_m, self._low, self._high)
        self._request, self._goal, self._left = request, Pose(inside, request.pose.rotation), self._ticks

    def tick(self, now_ns: int, felt: Felt) -> Pose | None:
        """The target of the coming tick; None while the robot's pose is not known."""
        if self.target is None:
            self._meet(felt)
        if self.target is None:
            return None
        if felt.conflict:
            self._refuse(felt.conflict)
        if self._settling:
            # A pose from before the begin may still be on its way here.
            self._settling -= 1
            return self.target
        why = self._why_hold(now_ns, felt)
        if self.mode in (HALTED, STOPPED) or why:
            if self.mode == FOLLOWING:
                self._stay(HOLDING, why)
            elif self.mode == HOLDING:
                self.reason = why
            self._latch(felt)
            return self.target
        if self._goal is not None and self._request is not None:
            if not self._latched:
                # The first target of an episode is where the robot is.
                self._latch(felt)
                return self.target
            self.mode, self.reason = FOLLOWING, ""
            self.target = self._towards(self.target, self._goal)
        return self.target

    def _meet(self, felt: Felt) -> None:
        """Take the robot as soon as it says where it is; what was stopped before that stays so."""
        self.target = felt.pose
        if self.mode == WAITING and felt.pose is None:
            self.reason = felt.problem or _UNKNOWN
        elif self.mode == WAITING:
            self.mode, self.reason = HOLDING, "nothing was requested yet"

    def _why_hold(self, now_ns: int, felt: Felt) -> str:
        limits = self._limits
        for topic, age_s in felt.ages_s.items():
            if not age_s <= limits.max_joint_age_s:
                said = f" ({felt.problem})" if felt.problem else ""
                return f"{topic} was last heard {age_s:.2f} s ago, the limit is {limits.max_joint_age_s:g} s{said}"
        if limits.max_force_n is not None and felt.force_n is not None and not felt.force_n <= limits.max_force_n:
            return f"the tool presses with {felt.force_n:.0f} N, the limit is {limits.max_force_n:.0f} N"
        if self._request is None:
            return "nothing is requested"
        silent_s = (now_ns - self._request.heard_ns) / 1e9
        if silent_s > limits.command_timeout_s:
            return f"no request for {silent_s:.2f} s, the limit is {limits.command_timeout_s:g} s"
        return ""

    def _refuse(self, conflict: str) -> None:
        if self.mode == HALTED and self.reason == self._conflict:
            # A rival is discovered a moment before its name is.
            self.reason = conflict
        self.halt(conflict)
        self._conflict = conflict

    def _stay(self, mode: str, reason: str) -> None:
        """Stop moving; where the robot is, the next tick will tell."""
        if self.mode == FOLLOWING or self._goal is not None:
            self._latched = False
        self.mode, self.reason = mode, reason
        self._goal, self._velocity = None, np.zeros(3)

    def _latch(self, felt: Felt) -> None:
        """Once for each hold: taking the measured pose again and again would let the arm creep.

        Again where somebody else has moved the robot, by hand or with another controller: it shall not jump back.
        """
        if felt.pose is None or self.target is None:
            return
        moved = float(np.linalg.norm(felt.pose.position_m - self.target.position_m)) > MOVED_M
        if moved or not self._latched:
            self.target, self._latched = felt.pose, True

    def _towards(self, at: Pose, goal: Pose) -> Pose:
        """One tick of the way, so that it ends with the period, as fast and as suddenly as the limits permit."""
        limits, left = self._limits, max(1, self._left)
        self._left = left - 1
        velocity = _shorten((goal.position_m - at.position_m) / (left * self._tick_s), limits.max_speed_m_s)
        change = _shorten(velocity - self._velocity, limits.max_acceleration_m_s2 * self._tick_s)
        self._velocity = self._velocity + change
        # One that begins outside the box comes back at its speed, and goes no further out.
        low_m, high_m = np.minimum(self._low, at.position_m), np.maximum(self._high, at.position_m)
        position_m = np.clip(at.position_m + self._velocity * self._tick_s, low_m, high_m)
        turn = (goal.rotation * at.rotation.inv()).as_rotvec() / left
        turn = _shorten(turn, limits.max_turn_rad_s * self._tick_s)
        rotation = at.rotation if not turn.any() else Rotation.from_rotvec(turn) * at.rotation
        return Pose(position_m, rotation)


def _shorten(vector: np.ndarray, longest: float) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector * (longest / length) if length > longest else vector
