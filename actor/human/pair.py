"""Two hands for two arms, each on an instrument of its own: either takes over, and both let go together."""

import time
from collections.abc import Callable

import msgspec
import numpy as np

from actor.human import Event, Override
from actor.human.hand import Hand
from actor.human.live import SILENT_S, Report
from actor.human.mapping import Rotation
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.types import Action, Source

SIDES = ("left", "right")


def halves(spec: EnvSpec) -> dict[str, tuple[EnvSpec, np.ndarray]]:
    """Each arm's part of an action whose names begin with left_ and right_.

    Returns:
        By side: the spec with that arm's action alone, named without the prefix, and its places in the whole action.

    Raises:
        UserError: Where a name belongs to neither arm, or an arm has none.
    """
    sides = [name.partition("_")[0] for name in spec.action_names]
    if set(sides) != set(SIDES):
        raise UserError(
            f"human=spacemice drives two arms whose action names begin with left_ and right_ (left_x, ..., "
            f"right_gripper); {spec.task} has {', '.join(spec.action_names)}; set human=spacemouse for one arm"
        )
    found = {}
    for side in SIDES:
        names = tuple(name.partition("_")[2] for name in spec.action_names if name.startswith(f"{side}_"))
        action = msgspec.structs.replace(spec.action, shape=(len(names),))
        half = msgspec.structs.replace(spec, action=action, action_names=names)
        found[side] = half, np.array([place for place, own in enumerate(sides) if own == side])
    return found


def tool_rotation_of(side: str, both: Rotation | None) -> Rotation | None:
    """How one arm's tool is turned, from a cell that gives both, shape (2, 3, 3), the left one first."""
    if both is None:
        return None

    def one() -> np.ndarray | None:
        rotations = both()
        return None if rotations is None or np.shape(rotations) != (2, 3, 3) else rotations[SIDES.index(side)]

    return one


class Pair:
    """Two hands as one device.

    Whoever pushes one instrument has control of both arms: the other stands still, its gripper as it is. A policy that
    went on with one arm beside a person would act on a state that it never met, and so would the person.
    """

    name = "pair of SpaceMice"

    def __init__(
        self, hands: dict[str, Hand], places: dict[str, np.ndarray], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Join the hands of both sides; `places` are those of each arm in the action."""
        self.hands = hands
        self._places = places
        self._size = sum(map(len, places.values()))
        self._clock = clock
        self._heard_s = dict.fromkeys(hands, float("-inf"))

    @property
    def trouble(self) -> str:
        """Which of them is away, and why; empty where both are well."""
        for side, hand in self.hands.items():
            if hand.trouble:
                return f"has lost its {side} one: the {hand.name} {hand.trouble}"
        for side, heard_s in self._heard_s.items():
            if not self._clock() - heard_s <= SILENT_S:
                return f"has lost its {side} one: the {self.hands[side].name} fell silent; check its cable"
        return ""

    def begin_episode(self, episode: int) -> None:
        """Tell both."""
        for hand in self.hands.values():
            hand.begin_episode(episode)

    def latest(self) -> Report | None:
        """What the two hands want now, as old as the older of them; None while one is away."""
        reports = {side: hand.latest() for side, hand in self.hands.items()}
        there = {side: report for side, report in reports.items() if report is not None}
        self._heard_s = {side: there[side].heard_s if side in there else float("-inf") for side in self.hands}
        if len(there) < len(reports):
            return None
        heard_s = min(self._heard_s.values())
        if all(report.override is None for report in there.values()):
            return Report(heard_s)
        action = np.zeros(self._size, np.float32)
        for side, report in there.items():
            own = self.hands[side].still() if report.override is None else report.override.action
            action[self._places[side]] = own
        return Report(heard_s, Override(action, Source.HUMAN))

    def events(self) -> list[Event]:
        """What was said by the buttons of either."""
        return [event for hand in self.hands.values() for event in hand.events()]

    def executed(self, action: Action, *, ours: bool) -> None:
        """Tell each what its arm was told."""
        for side, hand in self.hands.items():
            hand.executed(action[self._places[side]], ours=ours)
