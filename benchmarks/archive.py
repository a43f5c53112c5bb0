"""What it costs to list an archive of a thousand runs: seconds, and bytes read against bytes stored.

One run of nonsense with two cameras is made and copied, each copy with a name and a seed of its own. A fresh process
then lists them: without a catalogue and with the page cache emptied of these files, without a catalogue, with one, and
with one after a single run has changed. Bytes are those of /proc/self/io: what was asked for, and what came from disk.

    python benchmarks/archive.py --json archive.json
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import report

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from learner.archive.catalogue import CATALOGUE, list_runs
from wire.specs import ArraySpec, EnvSpec
from wire.store import StepStore
from wire.types import Observation, Source, Step

_EPISODE_STEPS = 50
_SIZE = 16


def spec() -> EnvSpec:
    """Two small cameras, a vector and an arm."""
    frame = ArraySpec(shape=(_SIZE, _SIZE, 3), dtype="uint8")
    names = ("x", "y", "z", "gripper")
    return EnvSpec(
        env="sim",
        task="pick_cube",
        robot="panda",
        observation={"front": frame, "wrist": frame, "proprio": ArraySpec(shape=(18,), dtype="float32")},
        action=ArraySpec(shape=(4,), dtype="float32", low=-1.0, high=1.0),
        action_names=names,
        action_frame="base",
        rate_hz=10.0,
        max_episode_steps=_EPISODE_STEPS,
        reward="sparse-1",
        return_bounds=(0.0, 1.0),
    )


def fill(path: Path, steps: int) -> None:
    """A run of so many steps of chance."""
    rng, wanted = np.random.default_rng(0), spec()

    def look() -> Observation:
        return {
            name: rng.integers(0, 255, array.shape, np.uint8) if array.is_frame else rng.random(array.shape, np.float32)
            for name, array in wanted.observation.items()
        }

    with StepStore.open(path, wanted, {"agent": "rlpd"}) as store:
        for number in range(steps):
            last = number % _EPISODE_STEPS == _EPISODE_STEPS - 1
            step = Step(
                episode=number // _EPISODE_STEPS,
                t=number % _EPISODE_STEPS,
                observation=look(),
                action=rng.uniform(-1, 1, 4).astype(np.float32),
                source=Source.POLICY,
                reward=float(last),
                terminated=last,
                truncated=False,
                success=last,
                final_observation=look() if last else None,
            )
            store.insert("0" * 32, number + 1, step)
        store.commit()


def build(root: Path, runs: int, steps: int) -> int:
    """The archive; bytes of all its files."""
    first = root / "run-0000" / "steps.sqlite"
    fill(first, steps)
    for number in range(1, runs):
        path = root / f"run-{number:04d}" / "steps.sqlite"
        path.parent.mkdir()
        shutil.copyfile(first, path)
        set_seed(path, number)
    return sum(path.stat().st_size for path in root.rglob("steps.sqlite"))


def set_seed(path: Path, seed: int) -> None:
    """Make a copy differ from the others."""
    db = sqlite3.connect(path)
    with db:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('seed', ?)", (str(seed),))
    db.close()


def forget(root: Path) -> None:
    """Let the page cache forget these files."""
    for path in root.rglob("*.sqlite"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def listed(root: Path) -> dict[str, Any]:
    """List the archive in this process: seconds, runs, steps, and bytes by /proc/self/io."""
    before, began_s = _io(), time.perf_counter()
    runs = list_runs([root])
    seconds, after = time.perf_counter() - began_s, _io()
    return {
        "seconds": seconds,
        "runs": len(runs),
        "steps": sum(run.steps for run in runs),
        "read_mb": (after["rchar"] - before["rchar"]) / 1e6,
        "from_disk_mb": (after["read_bytes"] - before["read_bytes"]) / 1e6,
    }


def _io() -> dict[str, int]:
    lines = Path("/proc/self/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def fresh(root: Path) -> dict[str, Any]:
    """The same in a new process."""
    words = [sys.executable, __file__, "--list", str(root)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def measure(root: Path, stored: int, repeat: int) -> list[dict[str, Any]]:
    """A row for each state in which the archive may be found."""
    found: dict[str, list[dict[str, Any]]] = {}
    for turn in range(repeat):
        (root / CATALOGUE).unlink(missing_ok=True)
        forget(root)
        found.setdefault("no catalogue, files not in memory", []).append(fresh(root))
        (root / CATALOGUE).unlink()
        found.setdefault("no catalogue", []).append(fresh(root))
        found.setdefault("catalogue", []).append(fresh(root))
        set_seed(root / "run-0000" / "steps.sqlite", 10_000 + turn)
        found.setdefault("catalogue, one run changed", []).append(fresh(root))
    return [
        {
            "archive": name,
            "seconds": report.spread(each["seconds"] for each in each_time),
            "read_mb": report.spread(each["read_mb"] for each in each_time),
            "from_disk_mb": report.spread(each["from_disk_mb"] for each in each_time),
            "runs": each_time[0]["runs"],
            "steps": each_time[0]["steps"],
            "stored_mb": round(stored / 1e6, 1),
        }
        for name, each_time in found.items()
    ]


def main() -> None:
    """Build, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1000, help="of each run")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the archive is built, and removed again")
    parser.add_argument("--list", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.list is not None:
        print(json.dumps(listed(told.list)))
        return
    with tempfile.TemporaryDirectory(dir=told.folder) as folder:
        root = Path(folder) / "runs"
        began_s = time.perf_counter()
        stored = build(root, told.runs, told.steps)
        built_s = time.perf_counter() - began_s
        rows = measure(root, stored, told.repeat)
    ratios = {f"bytes read of bytes stored: {row['archive']}": row["read_mb"]["median"] * 1e6 / stored for row in rows}
    ratios |= {f"seconds: {row['archive']}": row["seconds"]["median"] for row in rows}
    report.write(told.json, "archive", rows, ratios, built_s=round(built_s, 1))


if __name__ == "__main__":
    main()
