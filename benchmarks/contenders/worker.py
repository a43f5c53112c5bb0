"""One contender in a process of its own: it runs one repetition for every line that it is sent."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blocks import Block, from_json


def resident_bytes() -> int:
    """Memory that this process has touched."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def serve(prepare: Callable[[Block, str], Callable[[], dict[str, Any] | None]]) -> None:
    """Answer with {"cpu_ms", "wall_ms"} and whatever the repetition itself reports.

    Args:
        prepare: Builds everything for a block and a variant, warms it up, and gives what one repetition runs.
    """
    told = json.loads(sys.argv[1])
    if told["core"] is not None:
        os.sched_setaffinity(0, {told["core"]})
    # Nobody else may write into the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    try:
        run = prepare(from_json(told["block"]), told["variant"])
    except ImportError as error:
        print(json.dumps({"absent": str(error)}), file=answers, flush=True)
        return
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for _ in sys.stdin:
        wall_s, cpu_s, extra = time.perf_counter(), time.process_time(), {}
        for _ in range(told["calls"]):
            extra = run() or {}
        cpu_ms = 1000 * (time.process_time() - cpu_s) / told["calls"]
        wall_ms = 1000 * (time.perf_counter() - wall_s) / told["calls"]
        print(json.dumps({"cpu_ms": cpu_ms, "wall_ms": wall_ms} | extra), file=answers, flush=True)
