"""Speed of one update block: Handrail against eager PyTorch, Stable-Baselines3 and LeRobot, one core, in turns.

Every contender lives in a process of its own, pinned to the same core; they run their repetitions in turns, so that
whatever else the machine does falls on all of them alike. Judge by process CPU time.

    python benchmarks/learner.py --json learner.json --torch-python .venv-bench/bin/python

The block `trunk` learns behind a frozen ResNet-10: ours from features that the replay keeps, and from recomputed ones.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import report
from contender import Contender

sys.path.append(str(Path(__file__).parent / "contenders"))
from blocks import BLOCKS, Block, shrunk, to_json

_CONTENDERS = {
    "peak numpy": ("peak.py", "numpy"),
    "peak jax": ("peak.py", "jax"),
    "handrail": ("ours.py", ""),
    "handrail, features recomputed": ("ours.py", "recomputed"),
    "torch eager, critics in a loop": ("torch_twin.py", "loop"),
    "torch eager, critics stacked": ("torch_twin.py", "stacked"),
    "stable-baselines3": ("sb3.py", ""),
    "lerobot": ("lerobot_sac.py", ""),
}
_TORCH = ("torch_twin.py", "sb3.py")


def fits(name: str, block: Block) -> bool:
    """Whether a contender has such a block: peaks and twins know no trunk, SB3 no pictures, LeRobot both."""
    if block.trunk:
        return name.startswith(("handrail", "lerobot"))
    wants_cameras = {"lerobot": True, "stable-baselines3": False}.get(name, bool(block.cameras))
    return wants_cameras == bool(block.cameras) and name != "handrail, features recomputed"


def measure(block: Block, arguments: argparse.Namespace) -> list[Contender]:
    """All contenders' repetitions of one block, taken in turns."""
    contenders = []
    pythons = dict.fromkeys(_TORCH, arguments.torch_python) | {"lerobot_sac.py": arguments.lerobot_python}
    for name in (name for name in _CONTENDERS if fits(name, block)):
        script, variant = _CONTENDERS[name]
        # A learner runs its blocks back to back: short ones are repeated, else they would find the others' cache.
        calls = 10 if block == BLOCKS["small"] and script != "peak.py" else 1
        told = {"block": to_json(block), "variant": variant, "core": arguments.core, "calls": calls}
        contender = Contender(name, script, told, pythons.get(script, sys.executable))
        contenders.append(contender)
        # One after the other: compilers at work would disturb nobody but themselves.
        contender.wait_ready()
        print(f"{block.name}: {name} {contender.absent and 'is absent: '}{contender.absent}", file=sys.stderr)
    for _ in range(arguments.repetitions):
        for contender in contenders:
            if not contender.absent:
                contender.repeat()
    for contender in contenders:
        contender.stop()
    return contenders


def rows_of(block: Block, contenders: list[Contender]) -> list[dict[str, Any]]:
    """One row per contender; peaks have a rate, updates have times and their share of the best peak."""
    rows: list[dict[str, Any]] = []
    peak = max((r["gflop_per_s"] for c in contenders for r in c.results if "gflop_per_s" in r), default=0.0)
    for contender in contenders:
        row: dict[str, Any] = {"block": block.name, "contender": contender.name}
        if contender.absent:
            row["absent"] = contender.absent
        elif "gflop_per_s" in contender.results[0]:
            row["gflop_per_s"] = report.spread(result["gflop_per_s"] for result in contender.results)
        else:
            row["cpu_ms"] = report.spread(result["cpu_ms"] for result in contender.results)
            row["wall_ms"] = report.spread(result["wall_ms"] for result in contender.results)
            if contender.name not in ("stable-baselines3", "lerobot") and not block.trunk:
                rate = 1000 * block.gflop() / row["cpu_ms"]["median"]
                row |= {"gflop": round(block.gflop(), 3), "gflop_per_s": round(rate, 1)}
                row["share_of_peak"] = round(rate / peak, 3)
        rows.append(row)
    return rows


def ratios_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times as long the others take by median CPU time, and ours as a share of the peak."""
    ratios: dict[str, float] = {}
    for block in dict.fromkeys(row["block"] for row in rows):
        timed = {row["contender"]: row for row in rows if row["block"] == block and "cpu_ms" in row}
        if "handrail" not in timed:
            continue
        if "share_of_peak" in timed["handrail"]:
            ratios[f"{block}: handrail's share of the sgemm peak"] = timed["handrail"]["share_of_peak"]
        for name, row in timed.items():
            if name != "handrail":
                ratios[f"{block}: {name} / handrail"] = row["cpu_ms"]["median"] / timed["handrail"]["cpu_ms"]["median"]
    return ratios


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--blocks", default=",".join(BLOCKS), help=f"which of {', '.join(BLOCKS)}")
    parser.add_argument("--repetitions", type=int, default=21)
    parser.add_argument("--core", type=int, default=None, help="core to pin all contenders to; default: the last one")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter that has torch and SB3")
    parser.add_argument("--lerobot-python", default=sys.executable, help="interpreter that has lerobot")
    parser.add_argument("--tiny", action="store_true", help="only show that everything runs")
    arguments = parser.parse_args()
    if arguments.core is None and hasattr(os, "sched_getaffinity"):
        arguments.core = max(os.sched_getaffinity(0))
    rows = []
    for name in arguments.blocks.split(","):
        block = shrunk(BLOCKS[name]) if arguments.tiny else BLOCKS[name]
        rows += rows_of(block, measure(block, arguments))
    for row in rows:
        if "cpu_ms" in row:
            print(f"{row['cpu_ms']['median']:10.4g} ms  {row['block']}: {row['contender']}")
    report.write(arguments.json, "learner", rows, ratios_of(rows), core=arguments.core)


if __name__ == "__main__":
    main()
