"""Whether the machine itself stood still: what a shared host does to its guests is no fault of the code under test."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LATE_S = 0.020
_WATCH = f"""
import os, sys, time
os.sched_setaffinity(0, {{int(sys.argv[1])}})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_max(os.SCHED_FIFO)))
before_ns = time.monotonic_ns()
while True:
    time.sleep(0.002)
    now_ns = time.monotonic_ns()
    if now_ns - before_ns > {LATE_S * 1e9}:
        print(now_ns, flush=True)
    before_ns = now_ns
"""


class Stalls:
    """When a processor kept even its first in line waiting."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files

    def since(self, began_ns: int) -> bool:
        """Whether any processor stood still after this moment of the monotonic clock."""
        return any(int(end_ns) > began_ns for file in self._files for end_ns in file.read_text().split())


@contextlib.contextmanager
def stalls(folder: Path) -> Iterator[Stalls]:
    """Watch each processor, at the highest priority there is; without the right to it, no stall is ever seen."""
    files, watchers = [], []
    for number in sorted(os.sched_getaffinity(0)):
        files.append(folder / f"processor{number}")
        with files[-1].open("w") as out:
            words = [sys.executable, "-c", _WATCH, str(number)]
            watchers.append(subprocess.Popen(words, stdout=out, stderr=subprocess.DEVNULL))
    try:
        yield Stalls(files)
    finally:
        for watcher in watchers:
            watcher.kill()
            watcher.wait()
