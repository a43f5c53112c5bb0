"""The inner of three stops: no value reaches the robot unless it is finite, in the box, slow enough and smooth enough.

And none while the senses are stale or the tool presses too hard.

Not safety-rated: the robot's own limits and the hardware emergency stop stay the safety functions.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wire.types import Action

MAX_FORCE_N = 60.0
"""Default limit for robots; see GuardLimits."""
JOINTS = "joints"
"""Name of the joints among the ages of the senses."""


@dataclass(frozen=True, kw_only=True)
class GuardLimits:
    """What the guard enforces, in the order in which it does.

    A limit of None is off; 0.0 is a limit like any other (it allows no motion).
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    """Box of the action, per dimension, in action units."""
    hold: tuple[float | None, ...]
    """Action that holds the robot still, per dimension; None repeats the last executed value (a gripper stays shut)."""
    metres_per_unit: float | None = None
    """Tool motion in one control period per unit of the first three action dimensions; None where there are no such."""
    rate_hz: float = 10.0
    workspace_low_m: tuple[float, float, float] | None = None
    workspace_high_m: tuple[float, float, float] | None = None
    """Box of the tool centre point's target, base frame."""
    max_speed_m_s: float | None = 0.25
    """Fastest tool motion; 250 mm/s is the reduced speed of industrial robots."""
    max_acceleration_m_s2: float | None = 5.0
    """Largest change of tool velocity per second."""
    max_force_n: float | None = MAX_FORCE_N
    """Largest force of the tool on its surroundings; ISO/TS 15066 allows a face 65 N."""
    max_camera_age_s: float | None = 0.2
    """Oldest picture, or other view of the scene, that may be acted on."""
    max_joint_age_s: float | None = 0.05
    """Oldest report of the joints that may be acted on."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the limit, where the limits contradict each other or make no sense."""
        self._check_box()
        self._check_motion()

    def _check_box(self) -> None:
        if not len(self.low) == len(self.high) == len(self.hold):
            raise ValueError(f"low, high and hold must be equally long, got {self.low}, {self.high}, {self.hold}")
        if any(not low <= high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"low must not be above high in any dimension, got low {self.low}, high {self.high}")
        if any(hold is not None and not np.isfinite(hold) for hold in self.hold):
            raise ValueError(f"hold must be finite or None in every dimension, got {self.hold}")

    def _check_motion(self) -> None:
        if not self.rate_hz > 0:
            raise ValueError(f"rate_hz must be > 0, got {self.rate_hz}")
        if (self.workspace_low_m is None) != (self.workspace_high_m is None):
            raise ValueError("workspace_low_m and workspace_high_m go together: give both or neither")
        if self.workspace_low_m is not None and self.workspace_high_m is not None:
            pairs = zip(self.workspace_low_m, self.workspace_high_m, strict=True)
            if any(not low <= high for low, high in pairs):
                raise ValueError(f"workspace is empty: low {self.workspace_low_m}, high {self.workspace_high_m}")
        for name in ("max_speed_m_s", "max_acceleration_m_s2", "max_force_n", "max_camera_age_s", "max_joint_age_s"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be >= 0 or None, got {value}")
        if self.metres_per_unit is not None and not (self.metres_per_unit > 0 and len(self.low) >= 3):
            raise ValueError(
                f"metres_per_unit must be > 0, and the action must begin with x, y, z, or it must be None; got "
                f"{self.metres_per_unit} for {len(self.low)} dimensions"
            )


@dataclass(frozen=True)
class Vitals:
    """What may stop a robot whatever the action: the age of its senses, and what it feels."""

    ages_s: dict[str, float] = field(default_factory=dict)
    """Seconds since each sense was as it is given: `joints` by their newest report, every other observation as it was
    last observed, for that is what the policy acts on. Empty where time stands still between steps."""
    force_n: float | None = None
    """Force of the tool on its surroundings, newtons; None where nothing measures it."""
    problem: str = ""
    """Why a sense that is too old is so, where that is known; named beside its age."""


@dataclass(frozen=True)
class Verdict:
    """What the guard made of a wanted action."""

    action: Action
    """The action to execute, shape (n,), float32, always finite and within every limit."""
    held: bool = False
    """The wanted action was refused and the robot holds."""
    reason: str = ""
    """Why it was refused or changed; empty where it passed untouched."""


class Guard:
    """Fresh senses, no force -> finite -> box -> speed -> rate, else hold. Every command passes it, human ones too."""

    def __init__(self, limits: GuardLimits) -> None:
        self.limits = limits
        self._low = np.asarray(limits.low, np.float32)
        self._high = np.asarray(limits.high, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the last action: the robot stands still at the start of an episode."""
        self._last = np.clip(np.array([0.0 if h is None else h for h in self.limits.hold]), self._low, self._high)

    def apply(self, wanted: Any, position_m: np.ndarray | None = None, vitals: Vitals | None = None) -> Verdict:
        """Turn a wanted action into one that may reach the robot.

        Args:
            wanted: Whatever the policy or the person asked for; anything but a finite vector of the right shape holds.
            position_m: Commanded tool position, shape (3,), metres, base frame. Where there is a workspace box,
                anything but a finite position holds.
            vitals: Age of the senses and force, judged where given.
        """
        problem = self._problem(wanted) or self._position_problem(position_m) or self._vitals_problem(vitals)
        if problem:
            return self._settle(self._hold_action(), held=True, reason=problem)
        action = np.clip(np.asarray(wanted, np.float64), self._low, self._high)
        reasons = [] if np.array_equal(action, np.asarray(wanted, np.float64)) else ["clipped to the action box"]
        if self.limits.metres_per_unit is not None:
            action[:3], motion_reasons = self._bound_motion(action[:3], position_m)
            reasons += motion_reasons
        return self._settle(action, held=False, reason=", ".join(reasons))

    def _problem(self, wanted: Any) -> str | None:
        if wanted is None:
            return "there is no action"
        try:
            values = np.asarray(wanted)
        except (TypeError, ValueError):
            return f"action is no numeric vector but a {type(wanted).__name__}"
        # Else strings that look like numbers, and the real parts of complex ones, would move the robot.
        if values.dtype.kind not in "fiu" or values.dtype.itemsize > 8:
            return f"action is no numeric vector but of dtype {values.dtype}"
        if values.shape != self._low.shape:
            return f"action has shape {values.shape}, wanted {self._low.shape}"
        return None if np.isfinite(values).all() else "action holds a NaN or an infinity"

    def _position_problem(self, position_m: np.ndarray | None) -> str | None:
        if self.limits.metres_per_unit is None or self.limits.workspace_low_m is None:
            return None
        known = position_m is not None and np.shape(position_m) == (3,) and np.isfinite(position_m).all()
        return None if known else f"tool position is {position_m}, so the workspace cannot be kept"

    def stale(self, vitals: Vitals) -> str | None:
        """Which sense is too old to be acted on, or learned from, and by how much; None where none is."""
        for name, age_s in vitals.ages_s.items():
            oldest_s = self.limits.max_joint_age_s if name == JOINTS else self.limits.max_camera_age_s
            # Written so that a NaN, too, is too old.
            if oldest_s is not None and not age_s <= oldest_s:
                said = f"{name} was last heard of {1000 * age_s:.0f} ms ago, the limit is {1000 * oldest_s:.0f} ms"
                return f"{said}: {vitals.problem}" if vitals.problem else said
        return None

    def _vitals_problem(self, vitals: Vitals | None) -> str | None:
        if vitals is None:
            return None
        force_n, most_n = vitals.force_n, self.limits.max_force_n
        if force_n is not None and most_n is not None and not force_n <= most_n:
            return f"the tool presses with {force_n:.0f} N, the limit is {most_n:.0f} N"
        return self.stale(vitals)

    def still(self) -> Action:
        """The action that holds the robot still and leaves its gripper as it was, shape (n,), float32."""
        return self._hold_action().astype(np.float32)

    def _hold_action(self) -> np.ndarray:
        held = [last if hold is None else hold for last, hold in zip(self._last, self.limits.hold, strict=True)]
        return np.clip(np.array(held), self._low, self._high)

    def _bound_motion(self, units: np.ndarray, position_m: np.ndarray | None) -> tuple[np.ndarray, list[str]]:
        """Bound a translation by speed, change of velocity and workspace, in this order: the box has the last word."""
        limits, reasons = self.limits, []
        scale = 1.0 if limits.metres_per_unit is None else limits.metres_per_unit
        motion = units * scale
        if limits.max_speed_m_s is not None:
            motion, slowed = _shorten(motion, limits.max_speed_m_s / limits.rate_hz)
            reasons += ["slowed to max_speed_m_s"] if slowed else []
        if limits.max_acceleration_m_s2 is not None:
            last = self._last[:3] * scale
            change, smoothed = _shorten(motion - last, limits.max_acceleration_m_s2 / limits.rate_hz**2)
            motion = last + change
            reasons += ["smoothed to max_acceleration_m_s2"] if smoothed else []
        if position_m is not None and limits.workspace_low_m is not None and limits.workspace_high_m is not None:
            inside = np.clip(position_m + motion, limits.workspace_low_m, limits.workspace_high_m) - position_m
            # Adding and subtracting the position rounds; what passed untouched must not be called changed.
            if np.abs(inside - motion).max() > 1e-12:
                reasons.append("kept in the workspace")
                # Coming back from outside the box must not be a jump either.
                longest = np.inf if limits.max_speed_m_s is None else limits.max_speed_m_s / limits.rate_hz
                motion, _ = _shorten(inside, longest)
        return np.clip(motion / scale, self._low[:3], self._high[:3]), reasons

    def _settle(self, action: np.ndarray, *, held: bool, reason: str) -> Verdict:
        self._last = action
        return Verdict(action.astype(np.float32), held, reason)


def _shorten(vector: np.ndarray, longest: float) -> tuple[np.ndarray, bool]:
    length = float(np.linalg.norm(vector))
    # The tolerance keeps an action that sits on the limit from being called changed by a rounding error.
    return (vector * (longest / length), True) if length > longest * (1 + 1e-9) else (vector, False)
