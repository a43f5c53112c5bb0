"""Hours of the link on end: `python tests/soak/soak.py --minutes 60`. Memory, descriptors, threads, disk, log lines.

One learner and two actors at 20 Hz x 150 kB, sampled every second after a start-up that is left out. It prints a line
per figure and exits with 1 where one is not met.
"""

import argparse
import contextlib
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experience import make_spec
from rooms import Cell, cell, until

CAMERAS = make_spec(size=158)
SLOPE_MIB_PER_H = 1.0


class Sample(NamedTuple):
    """One room at one moment."""

    at_s: float
    rss_mib: float
    descriptors: int
    threads: int


def look(pid: int) -> Sample:
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    rss_mib = int(status["VmRSS"].split()[0]) / 1024
    return Sample(time.monotonic(), rss_mib, len(list((proc / "fd").iterdir())), int(status["Threads"]))


def soak(rooms: Cell, *, warm_up_s: float, seconds: float) -> dict[str, list[Sample]]:
    for name in ("learner", *rooms.actors):
        rooms.start(name)
    until(lambda: all(rooms.acked(name) > 0 for name in rooms.actors))
    time.sleep(warm_up_s)
    samples: dict[str, list[Sample]] = {name: [] for name in rooms.processes}
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for name, process in rooms.processes.items():
            assert process.pid is not None
            samples[name].append(look(process.pid))
        time.sleep(1.0)
    rooms.drain()
    return samples


def judge(rooms: Cell, samples: dict[str, list[Sample]]) -> list[str]:
    """Print every figure; returns those that are not met."""
    failed = []

    def figure(text: str, holds: bool) -> None:
        print(f"B3: {text}{'' if holds else '  NOT MET'}", flush=True)
        if not holds:
            failed.append(text)

    for name, taken in samples.items():
        at_h, rss = np.array([(sample.at_s / 3600, sample.rss_mib) for sample in taken]).T
        slope = float(np.polyfit(at_h - at_h[0], rss, 1)[0])
        # A slope over minutes is mostly noise of the allocator: a difference of the halves below 1 MiB is none.
        half = len(rss) // 2
        grown = float(np.median(rss[half:]) - np.median(rss[:half]))
        # By tenths one sees whether it creeps, or took a step when the machine was busy and then stayed.
        tenths = " ".join(f"{np.median(part):.0f}" for part in np.array_split(rss, 10))
        text = f"{name}: RSS by tenths {tenths} MiB, slope {slope:+.2f} MiB/h, halves {grown:+.2f} MiB"
        figure(text, slope <= SLOPE_MIB_PER_H or (grown < 1.0 and at_h[-1] - at_h[0] < 0.9))
        for what in ("descriptors", "threads"):
            seen = sorted({getattr(sample, what) for sample in taken})
            figure(f"{name}: {what} {seen}", seen[-1] - seen[0] <= (1 if what == "descriptors" else 0))
        words = [line for line in rooms.said(name).splitlines() if line]
        figure(f"{name}: {len(words)} warnings", not words)
    archived, lost, duplicated = rooms.check()
    figure(f"{archived} steps archived, {lost} lost, {duplicated} duplicated", lost == duplicated == 0)
    with contextlib.closing(sqlite3.connect(rooms.archive)) as db:
        bodies, pixels = "SELECT sum(length(body)) FROM steps", "SELECT sum(length(pixels)) FROM frames"
        appended = sum(db.execute(query).fetchone()[0] for query in (bodies, pixels))
    used = rooms.archive.stat().st_size
    # Two percent are what the last page of each frame leaves empty.
    figure(f"disk {used / 1e9:.3f} GB for {appended / 1e9:.3f} GB ({used / appended:.1%})", used < 1.03 * appended)
    left = sum(path.stat().st_size for name in rooms.actors for path in (rooms.folder / name).glob("outbox.sqlite*"))
    figure(f"outboxes {left / 1e6:.1f} MB when all is delivered", left < 100e6)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be tried; a temporary one by default")
    told = parser.parse_args()
    # Left to itself, glibc keeps what a backlog once took for the next one. So told, it gives back what is free, and
    # what grows is ours.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(128 << 10)
    with contextlib.ExitStack() as stack:
        folder = told.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True)
        rooms = stack.enter_context(cell(folder, CAMERAS, actors=2, rate_hz=20.0))
        seconds = 60 * told.minutes
        samples = soak(rooms, warm_up_s=min(600.0, seconds / 5), seconds=0.8 * seconds)
        return 1 if judge(rooms, samples) else 0


if __name__ == "__main__":
    sys.exit(main())
