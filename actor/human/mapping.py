"""From the axes of an instrument to the action: dead zone, order, signs, scale, and the frame they are meant in.

    hand   forward, left, up, as the person sees them
    base   the robot's own frame: x away from its foot, y to its left, z up
    tool   the frame of the tool: z out of the hand

A turn and a move of the tool centre point change frames by the same rotation. The offset between the frames' origins
does not enter: it is the motion of one point, told along other axes, not that of another point of the same body. (The
adjoint, which does take it in, is what went wrong in others' corrections.)
"""

from collections.abc import Callable

import numpy as np

from actor.config import HandConfig
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.types import Action

_MOTION = ("x", "y", "z", "rx", "ry", "rz")
_GRIPPER = "gripper"
Rotation = Callable[[], np.ndarray | None]
"""Gives a rotation matrix, shape (3, 3): the tool's axes as columns in the base frame, now; None: it is not known."""


class Mapping:
    """What the axes mean for one robot. It holds no state: the same axes always give the same motion."""

    def __init__(self, config: HandConfig, spec: EnvSpec, tool_rotation: Rotation | None = None) -> None:
        """Prepare.

        Args:
            config: Dead zone, order, signs, scale and frame.
            spec: Names the action's dimensions (x, y, z, perhaps rx, ry, rz and gripper) and their frame.
            tool_rotation: How the tool is turned; needed where the hand or the action is in the tool's frame.

        Raises:
            UserError: Where this robot cannot be driven so.
        """
        names = spec.action_names
        unknown = [name for name in names if name not in (*_MOTION, _GRIPPER)]
        if unknown or not {"x", "y", "z"} <= set(names):
            raise UserError(
                f"human={config.kind} drives robots whose action has x, y, z (and rx, ry, rz, gripper); {spec.task} "
                f"has {', '.join(names)}; set human=none or human=script"
            )
        if spec.action_frame not in ("base", "tool"):
            raise UserError(f"human={config.kind} needs actions in frame base or tool, got {spec.action_frame}")
        if "tool" in (config.frame, spec.action_frame) and (tool_rotation is None or tool_rotation() is None):
            raise UserError("this cell does not say how its tool is turned; set human.frame=base")
        self.size = len(names)
        self.gripper = names.index(_GRIPPER) if _GRIPPER in names else None
        """Which dimension of the action is the gripper's; None where there is none."""
        self._dead_zone = config.dead_zone
        self._order, self._signs = np.array(config.axes), np.array(config.signs, np.float64)
        self.scale = np.repeat([config.scale, config.turn_scale], 3)
        self._places = [(names.index(name), axis) for axis, name in enumerate(_MOTION) if name in names]
        self._view = _about_up(np.deg2rad(config.view_deg))
        self.frame, self._action_frame = config.frame, spec.action_frame
        self._tool_rotation = tool_rotation

    def deflection(self, axes: tuple[float, ...]) -> np.ndarray:
        """How far the hand pushes and turns, shape (6,), in [-1, 1]: ordered, signed, zero within the dead zone.

        Beyond it the deflection begins at zero again, so that nothing jumps at its edge.
        """
        pushed = self.arranged(np.clip(np.asarray(axes, np.float64), -1.0, 1.0))
        return np.sign(pushed) * np.maximum(0.0, np.abs(pushed) - self._dead_zone) / (1.0 - self._dead_zone)

    def arranged(self, six: np.ndarray) -> np.ndarray:
        """Six numbers along and about the device's axes, in the order and with the signs that the person set."""
        return six[self._order] * self._signs

    def motion(self, axes: tuple[float, ...]) -> Action | None:
        """The action for these axes, float32, shape (n,), its gripper at zero; None where the hand is off."""
        deflection = self.deflection(axes)
        if not deflection[[axis for _, axis in self._places]].any():
            return None
        # In one frame, whatever it is, nothing turns.
        both_tool = self.frame == self._action_frame == "tool"
        rotation = np.eye(3) if both_tool else self.action_from_base() @ self.base_from_hand()
        scaled = deflection * self.scale
        return self.put(np.concatenate([rotation @ scaled[:3], rotation @ scaled[3:]]))

    def still(self) -> Action:
        """The action that moves nothing, its gripper at zero."""
        return np.zeros(self.size, np.float32)

    def put(self, twist: np.ndarray) -> Action:
        """The action of a motion along and about the axes of the action's frame, shape (6,), its gripper at zero."""
        action = self.still()
        for place, axis in self._places:
            action[place] = twist[axis]
        return action

    def take(self, action: Action) -> np.ndarray:
        """The motion of an action, along and about the axes of its frame, shape (6,); zero where it has no such."""
        twist = np.zeros(len(_MOTION))
        for place, axis in self._places:
            twist[axis] = action[place]
        return twist

    def base_from_hand(self) -> np.ndarray:
        """Rotation matrix, shape (3, 3), from the person's forward, left and up into the robot's base frame, now."""
        return self._view if self.frame == "base" else self._tool()

    def action_from_base(self) -> np.ndarray:
        """Rotation matrix, shape (3, 3), from the robot's base frame into the action's, now."""
        return np.eye(3) if self._action_frame == "base" else self._tool().T

    def _tool(self) -> np.ndarray:
        assert self._tool_rotation is not None
        return np.asarray(self._tool_rotation(), np.float64)


def _about_up(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    # A view of 180 degrees shall turn x into exactly -x.
    return np.round(np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]), 15)
