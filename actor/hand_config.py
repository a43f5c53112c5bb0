"""Settings of a person's instrument; nothing heavy is imported here, because the command line reads this file too."""

import math
from dataclasses import dataclass

from envs.config import one_of

HANDS = ("spacemouse", "spacemice", "gamepad", "keyboard", "joy", "twist", "leader")
"""Persons with an instrument in their hand."""
FRAMES = ("base", "tool")
GRIPPERS = ("toggle", "hold")


@dataclass(frozen=True, kw_only=True)
class HandConfig:
    """A person with an instrument: which one, and what its axes and buttons mean. See docs/human.md.

    The defaults are those of a SpaceMouse that lies, its cable away from its person, on the table in front of a person
    who faces the robot.
    """

    kind: str = "spacemouse"
    device: str | None = None
    """Serial number or path of the device, where several are connected; with joy, twist and leader, the topic."""
    left: str | None = None
    """With spacemice: serial number or path of the one for the left arm."""
    right: str | None = None
    """With spacemice: of the one for the right arm."""
    joy: str | None = None
    """With leader: the topic of its buttons; null: /leader/joy."""
    clutch_button: int | None = None
    """With leader: the robot follows only while this button is down; null: while the leader moves."""
    radians_per_unit: float = 0.1
    """With leader and an action that turns: how far the robot turns in a control period, per unit of the action."""
    dead_zone: float = 0.1
    """Deflection, of 1, that counts as none."""
    scale: float = 1.0
    """Of moves: at 1 a full deflection is a full action."""
    turn_scale: float = 1.0
    """Of turns."""
    axes: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Which axis of the device is forward, left, up, and the turns about them."""
    signs: tuple[int, ...] = (1, 1, 1, 1, 1, 1)
    """Of these, -1 where one goes the wrong way."""
    frame: str = "base"
    """base: forward is forward in the room, as seen by the person; tool: x, y, z of the tool."""
    view_deg: float = 180.0
    """Of frame=base: how far the person's forward is turned to the left from the robot's x; 180: face to face, 0: the
    person stands behind the robot and looks the same way."""
    gripper: str = "toggle"
    """toggle: a press opens or closes it; hold: it is closed while the button is down."""
    gripper_button: int | None = 0
    success_button: int | None = 1
    failure_button: int | None = None
    discard_button: int | None = None
    pause_button: int | None = None
    end_button: int | None = None
    undo_button: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        one_of("human", self.kind, HANDS)
        one_of("human.frame", self.frame, FRAMES)
        one_of("human.gripper", self.gripper, GRIPPERS)
        if self.kind == "keyboard" and self.gripper == "hold":
            raise ValueError(
                "human.gripper must be toggle with human=keyboard: a terminal never says that a key went up"
            )
        if not 0 <= self.dead_zone <= 0.9:
            raise ValueError(f"human.dead_zone must be in 0..0.9, got {self.dead_zone}")
        for key in ("scale", "turn_scale"):
            if not 0 < getattr(self, key) <= 1:
                raise ValueError(f"human.{key} must be in 0..1 (0 excluded), got {getattr(self, key)}")
        if sorted(self.axes) != list(range(6)):
            raise ValueError(f"human.axes must hold each of 0 to 5 once, got {list(self.axes)}")
        if len(self.signs) != 6 or not set(self.signs) <= {1, -1}:
            raise ValueError(f"human.signs must be six of 1 and -1, got {list(self.signs)}")
        if not -360 <= self.view_deg <= 360:
            raise ValueError(f"human.view_deg must be in -360..360 degrees, got {self.view_deg}")
        if not (math.isfinite(self.radians_per_unit) and self.radians_per_unit > 0):
            raise ValueError(f"human.radians_per_unit must be > 0, got {self.radians_per_unit}")
        self._check_kind()
        self._check_buttons()

    def _check_kind(self) -> None:
        only = {"left": "spacemice", "right": "spacemice", "joy": "leader", "clutch_button": "leader"}
        for key, kind in only.items():
            if getattr(self, key) is not None and self.kind != kind:
                raise ValueError(f"human.{key} goes with human={kind}, got human={self.kind}; drop it")
        if self.kind == "spacemice" and self.device is not None:
            raise ValueError("human=spacemice takes two devices: set human.left and human.right, drop human.device")
        if self.left is not None and self.left == self.right:
            raise ValueError(f"human.left and human.right are both {self.left}: one SpaceMouse drives one arm")

    def _check_buttons(self) -> None:
        numbers: dict[int, str] = {}
        for name, number in self.buttons().items():
            if number < 0:
                raise ValueError(f"human.{name}_button must be >= 0, or null for none, got {number}")
            if number in numbers:
                raise ValueError(f"human.{numbers[number]}_button and human.{name}_button are both {number}")
            numbers[number] = name

    def buttons(self) -> dict[str, int]:
        """What a button is for -> its number, of those that are for something."""
        names = ("gripper", "success", "failure", "discard", "pause", "end", "clutch", "undo")
        numbers = {name: getattr(self, f"{name}_button") for name in names}
        return {name: number for name, number in numbers.items() if number is not None}


HAND = {
    "spacemouse": HandConfig(),
    "spacemice": HandConfig(kind="spacemice"),
    "joy": HandConfig(kind="joy"),
    "leader": HandConfig(
        kind="leader", dead_zone=0.0, view_deg=0.0, clutch_button=0, gripper_button=1, success_button=2
    ),
    "twist": HandConfig(kind="twist", gripper_button=None, success_button=None),
    "gamepad": HandConfig(
        kind="gamepad",
        dead_zone=0.15,
        success_button=3,
        failure_button=2,
        discard_button=1,
        pause_button=6,
        end_button=4,
    ),
    "keyboard": HandConfig(
        kind="keyboard",
        dead_zone=0.0,
        scale=0.4,
        turn_scale=0.4,
        failure_button=2,
        discard_button=3,
        pause_button=4,
        end_button=5,
        undo_button=6,
    ),
}
"""The defaults of each kind."""
