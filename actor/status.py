"""What the rest of the actor may know of its uplink."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class LinkStatus:
    """One moment of the uplink, safe to keep."""

    state: Literal["connecting", "connected", "away", "refused", "finished", "failed"]
    unacked: int
    """Steps that the learner has not yet confirmed to be on its disk."""
    waiting: int
    """Of these, how many are not yet in the outbox either: a crash would take them."""
    pending_bytes: int
    backlog: int
    """How many archived steps, of all actors, training has yet to consume."""
    acked_seq: int
    appended: int
    """How many steps this stream has ever taken, earlier processes included."""
    refused: int
    """Steps that could not be encoded, were damaged on our disk or were rejected; `detail` and the log name them."""
    nearly_full: bool
    """The outbox is at 90 % of its cap, or its disk is almost full or does not sync: pause after the episode."""
    full: bool
    """There is room only for the steps on their way: hold the robot and end the episode."""
    room: str
    """How much is used of what there is, in words."""
    detail: str
