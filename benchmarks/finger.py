"""A finger on a SpaceMouse: `python -m benchmarks.finger <descriptor of its cable> <file for the moments>`.

A process of its own, as a device is: raw HID reports of a Compact at 100 Hz while it pushes, three at zero when it lets
go, nothing while it rests. It pushes at random moments until its cable is cut, and then writes when it did.
"""

import json
import random
import socket
import struct
import sys
import time
from pathlib import Path

REPORT_S = 0.01
HELD_S = 0.15
FREE_S = (0.3, 0.6)
"""Longer than a control period: a touch while the person still has control takes nothing over."""
PUSH_LEFT = -192
"""Counts, of 350 at full deflection."""


def report(left: int) -> bytes:
    """Report 1: x to the right, y towards the person, z down."""
    return struct.pack("<Bhhh", 1, -left, 0, 0)


def push(cable: socket.socket, seed: int = 1) -> list[tuple[float, float]]:
    """Push until the cable is cut; the monotonic times of the first and the last report of every touch."""
    rng, touches = random.Random(seed), list[tuple[float, float]]()
    try:
        # At rest once, so that the axes are known to live.
        cable.send(report(0))
        cable.send(struct.pack("<Bhhh", 2, 0, 0, 0))
        while True:
            time.sleep(rng.uniform(*FREE_S))
            began_s = last_s = time.monotonic()
            touches.append((began_s, last_s))
            while last_s - began_s < HELD_S:
                cable.send(report(PUSH_LEFT))
                time.sleep(REPORT_S)
                last_s = time.monotonic()
            touches[-1] = began_s, last_s
            for _ in range(3):
                cable.send(report(0))
    except OSError:
        return touches


def main() -> int:
    """Push, then leave the moments."""
    with socket.socket(fileno=int(sys.argv[1])) as cable:
        touches = push(cable)
    Path(sys.argv[2]).write_text(json.dumps(touches))
    return 0


if __name__ == "__main__":
    sys.exit(main())
