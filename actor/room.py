"""How much a robot may record while its learner is away, by arithmetic, and what happens when that is used up."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from actor.status import LinkStatus
from wire.specs import EnvSpec

log = logging.getLogger(__name__)

SHIFT_H = 8.0
"""A learner may be away for a working day without anybody having to look after the robot's disk."""
_POLL_S = 0.1


def shortage(spec: EnvSpec, *, cap_bytes: int, free_bytes: int, outbox: Path) -> str | None:
    """A sentence where the disk, or the cap, takes less than a shift of steps; None where there is room enough."""
    pace = spec.step_bytes() * spec.rate_hz
    hours = min(cap_bytes, free_bytes) / pace / 3600
    if hours >= SHIFT_H:
        return None
    what = f"{spec.rate_hz:g} Hz x {spec.step_bytes() / 1e3:.0f} kB"
    limit, cure = f"the disk of {outbox} has {free_bytes / 1e9:.1f} GB free", "make room or name another disk's outbox="
    if cap_bytes <= free_bytes:
        limit, cure = f"actor.outbox_cap_gb is {cap_bytes / 1e9:g}", "raise it"
    shift = f"{SHIFT_H:g} h take {SHIFT_H * 3600 * pace / 1e9:.1f} GB"
    return f"without a learner the steps of {hours:.1f} h ({what}) fit: {limit}, {shift}; {cure}"


def warn_of_shortage(spec: EnvSpec, *, cap_bytes: int, outbox: Path) -> None:
    """Say at the start what would otherwise be found out in the middle of the night."""
    text = shortage(spec, cap_bytes=cap_bytes, free_bytes=shutil.disk_usage(outbox.parent).free, outbox=outbox)
    if text is not None:
        log.warning("%s", text)


def wait_for_room(look: Callable[[], LinkStatus], hold: Callable[[], None], over: tuple[str, ...]) -> None:
    """Between episodes: while the outbox is nearly full, hold the robot and say so. Never a silent drop."""
    status = look()
    if not status.nearly_full:
        return
    hold()
    ended = "; the episode was ended before its time" if status.full else ""
    log.error("%s%s. The robot holds until there is room", status.room, ended)
    while (status := look()).nearly_full and status.state not in over:
        time.sleep(_POLL_S)
    if not status.nearly_full:
        log.warning("there is room in the outbox again; going on")
