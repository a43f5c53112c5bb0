"""Minibatches a second from a replay of pictures, and what a transition costs in memory: ours, a naive one, LeRobot's.

Two cameras of 128 x 128, and vectors as long as the features that stand in their place behind a frozen trunk; batches
of 256, one core. What does not fit into the memory that is free is left out and says so. Contenders that fit in
together run in turns, others one after the other; judge by process CPU time.

    python benchmarks/replay.py --json replay.json --lerobot-python .venv-lerobot/bin/python
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import report
from contender import Contender

sys.path.append(str(Path(__file__).parent / "contenders"))
from blocks import CONV, Block, to_json

PICTURES = replace(CONV, name="pictures", image=128)
FEATURES = replace(CONV, name="features", cameras=0, vector=CONV.vector + 2 * 64)
_CONTENDERS = {
    "handrail": ("replay_ours.py", "", 1.0),
    "naive": ("replay_naive.py", "", 2.0),
    "lerobot": ("replay_lerobot.py", "", 4.0),
    "lerobot, without its shift": ("replay_lerobot.py", "plain", 4.0),
    "limit: copied in one piece": ("replay_naive.py", "limit", 2.0),
}
"""Script, variant, and memory of a transition in sets of frames."""
_SPARE = 0.85
"""Share of the free memory that may be filled."""


def frames_bytes(block: Block) -> int:
    """What one observation's frames hold, or, without any, its vector."""
    return block.cameras * 3 * block.image**2 or 4 * block.vector


def free_bytes() -> int:
    """Memory that this machine could give now."""
    facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return 1024 * int(facts["MemAvailable"].split()[0])


def measure(block: Block, count: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each contender that has such pictures, at one size."""
    needs = {name: share * frames_bytes(block) * count for name, (_, _, share) in _CONTENDERS.items()}
    names = [name for name in _CONTENDERS if block.cameras or name != "lerobot, without its shift"]
    rows, lone = [], sum(needs[name] for name in names) >= _SPARE * free_bytes()
    for group in [[name] for name in names] if lone else [names]:
        running = []
        for name in group:
            if needs[name] > _SPARE * free_bytes():
                absent = f"needs {needs[name] / 1e9:.1f} GB of memory, and {free_bytes() / 1e9:.1f} are free"
                rows.append(titled(name, block, count) | {"absent": absent})
                print(brief(rows[-1]), flush=True)
            else:
                running.append(started(name, block, count, arguments))
        for _ in range(arguments.repetitions):
            for contender in running:
                if not contender.absent:
                    contender.repeat()
        for contender in running:
            contender.stop()
            rows.append(row_of(contender, block, count))
            print(brief(rows[-1]), flush=True)
    return rows


def titled(name: str, block: Block, count: int) -> dict[str, Any]:
    """The beginning of a row."""
    return {"kept": block.name, "transitions": count, "contender": name}


def started(name: str, block: Block, count: int, arguments: argparse.Namespace) -> Contender:
    """A contender, filled; absent where it cannot run here."""
    script, variant, _ = _CONTENDERS[name]
    calls = 1 if block.cameras else 20
    told = {"block": to_json(block), "variant": f"{count} {variant}", "core": arguments.core, "calls": calls}
    python = arguments.lerobot_python if script == "replay_lerobot.py" else sys.executable
    contender = Contender(name, script, told, python)
    contender.wait_ready()
    return contender


def row_of(contender: Contender, block: Block, count: int) -> dict[str, Any]:
    """What came of it."""
    row = titled(contender.name, block, count)
    if contender.absent:
        return row | {"absent": contender.absent}
    row |= {key: report.spread(result[key] for result in contender.results) for key in ("cpu_ms", "wall_ms")}
    row["batches_per_cpu_s"] = round(1000 / row["cpu_ms"]["median"], 1)
    if size := contender.results[-1].get("bytes_per_step"):
        row |= {"bytes_per_step": round(size), "of_one_observation": round(size / frames_bytes(block), 3)}
    return row


def ratios_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times as long the others take, at each size, and ours at each size against its smallest."""
    ours = {
        (row["kept"], row["transitions"]): row for row in rows if row["contender"] == "handrail" and "cpu_ms" in row
    }
    ratios = {}
    for row in rows:
        own = ours.get((row["kept"], row["transitions"]))
        if own is None or "cpu_ms" not in row:
            continue
        label, time = f"{row['transitions']:,} {row['kept']}", row["cpu_ms"]["median"]
        if row is not own:
            ratios[f"{label}: {row['contender']} / handrail"] = time / own["cpu_ms"]["median"]
            continue
        smallest = min(count for kept, count in ours if kept == row["kept"])
        if smallest != row["transitions"]:
            ratios[f"{label}: handrail / at {smallest:,}"] = time / ours[row["kept"], smallest]["cpu_ms"]["median"]
    return ratios


def brief(row: dict[str, Any]) -> str:
    """A row in one line."""
    told = row.get("absent") or (
        f"{row['batches_per_cpu_s']:9.1f} batches/s of a core  {row.get('bytes_per_step', 0):7d} bytes a transition"
    )
    return f"{row['transitions']:9,d} {row['kept']:9} {row['contender']:28} {told}"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--pictures", nargs="*", type=int, default=[10_000, 50_000, 100_000], help="transitions")
    parser.add_argument("--features", nargs="*", type=int, default=[10_000, 100_000, 1_000_000], help="transitions")
    parser.add_argument("--repetitions", type=int, default=21)
    parser.add_argument("--core", type=int, default=None, help="core to pin all contenders to; default: the last one")
    parser.add_argument("--lerobot-python", default=sys.executable, help="interpreter that has lerobot")
    arguments = parser.parse_args()
    if arguments.core is None and hasattr(os, "sched_getaffinity"):
        arguments.core = max(os.sched_getaffinity(0))
    rows = []
    for block, counts in ((PICTURES, arguments.pictures), (FEATURES, arguments.features)):
        for count in counts:
            rows += measure(block, count, arguments)
    report.write(arguments.json, "replay", rows, ratios_of(rows), core=arguments.core)


if __name__ == "__main__":
    main()
