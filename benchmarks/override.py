"""From a raw report of a SpaceMouse to the robot's command while a learner trains: how long does a person wait?

A finger in a process of its own reports at 100 Hz to the real driver of the real actor, which drives the simulated cell
in real time at 10 Hz; the learner trains on the same cores on what comes of it.

    python benchmarks/override.py --json override.json
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import report

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from handrail.local import Rooms, free_port, last_error, rooms, stop_on_sigterm, write_json

_ROOT = Path(__file__).resolve().parents[1]
BAR_MS = 50.0
_AGENTS = {"state": {"name": "rlpd", "utd": 20, "actor_period": 20, "batch_size": 256}, "pixels": {"name": "rlpd"}}
"""More than this machine can learn at 10 Hz, so that the learner never rests: RLPD's own block, or any from pixels."""
_FOREVER = 10**6
"""Steps that the learner would take: the person ends it long before."""


def measure(obs: str, task: str, touches: int, folder: Path) -> dict[str, Any]:
    """Take the robot over `touches` times with a learner at work, and say how long each took."""
    env = {"task": task, "obs": obs}
    address = f"tcp://127.0.0.1:{free_port()}"
    demos, log, figures = folder / "demos.sqlite", folder / "rooms.log", folder / "figures.json"
    recorder = {"out": str(demos), "env": env, "episodes": 5}
    learner = {"run": str(folder), "agent": _AGENTS[obs], "bind": address, "steps": _FOREVER, "demos": str(demos)}
    learner |= {"tensorboard": False, "checkpoint_period_s": 1e6}
    actor = {"env": env | {"realtime": True}, "learner": address, "outbox": str(folder / "outbox.sqlite")}
    actor |= {"human": "spacemouse"}
    with rooms() as started:
        started.start("recorder", ["actor", "record", str(write_json(folder / "record.json", recorder))], log=log)
        _end(started, "recorder", log)
        started.start("learner", ["learner", str(write_json(folder / "learner.json", learner))], log=log)
        told = write_json(folder / "actor.json", actor)
        words = ["benchmarks.touched_actor", str(told), str(touches), str(figures)]
        began_s = time.monotonic()
        started.start("actor", words, log=log)
        _end(started, "actor", log, timeout_s=120.0 + 4.0 * touches)
        cores = _cpu_s(started._processes["learner"].pid) / (time.monotonic() - began_s)
    row: dict[str, Any] = {"obs": obs, "task": task, "learner_cores": round(cores, 2)}
    summary = folder / "summary.json"
    row["gradient_steps"] = json.loads(summary.read_text())["gradient_steps"] if summary.exists() else None
    return row | waits(json.loads(figures.read_text()))


def _cpu_s(pid: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waits(noted: dict[str, Any]) -> dict[str, Any]:
    """From the first report of every touch within an episode to the first command that was the person's, milliseconds.

    A touch that was not answered while it lasted counts with the answer to a later one: it is not left out.
    """
    spans: dict[int, tuple[float, float]] = {}
    for step in noted["steps"]:
        first_s = spans.get(step["episode"], (step["began_s"],))[0]
        spans[step["episode"]] = first_s, step["ended_s"]
    commands_s = sorted(step["commanded_s"] for step in noted["steps"] if step["human"] and not step["held"])
    held_s = [step["commanded_s"] for step in noted["steps"] if step["human"] and step["held"]]
    waited_ms, unanswered, held = [], 0, 0
    for began_s, last_s in noted["touches"]:
        if any(first_s <= began_s and last_s <= over_s for first_s, over_s in spans.values()):
            answer_s = next((at_s for at_s in commands_s if at_s >= began_s), float("inf"))
            unanswered += answer_s > last_s
            waited_ms.append(1000 * (answer_s - began_s))
            held += waited_ms[-1] > BAR_MS and any(began_s <= at_s <= last_s for at_s in held_s)
    ordered = sorted(waited_ms)
    places = {"p50": 0.5, "p99": 0.99, "p100": 1.0}
    found = {name: ordered[min(int(share * len(ordered)), len(ordered) - 1)] for name, share in places.items()}
    mine = [step for step in noted["steps"] if step["human"]]
    return {
        "touches": len(ordered),
        "unanswered": unanswered,
        "wait_ms": {name: float(f"{value:.4g}") for name, value in found.items()},
        "late": sum(value > BAR_MS for value in ordered),
        "late_and_held": held,
        "human_steps": len(mine),
        "both_actions_recorded": sum(step["both"] for step in mine),
    }


def _end(started: Rooms, name: str, log: Path, timeout_s: float = 600.0) -> None:
    code = started.finish(name, timeout_s=timeout_s)
    if code != 0:
        raise SystemExit(f"{name} ended with {code}: {last_error(log)}")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--obs", default="state", help="which of state and pixels")
    parser.add_argument("--task", default="pick_cube")
    parser.add_argument("--touches", type=int, default=200, help="how often the person takes over")
    arguments = parser.parse_args()
    json_path = None if arguments.json is None else arguments.json.resolve()
    os.chdir(_ROOT)
    stop_on_sigterm()
    rows = []
    for obs in arguments.obs.split(","):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(obs, arguments.task, arguments.touches, Path(folder)))
        print(json.dumps(rows[-1], indent=2), file=sys.stderr)
    ratios = {f"{row['obs']}: p99 / {BAR_MS:.0f} ms": row["wait_ms"]["p99"] / BAR_MS for row in rows}
    report.write(json_path, "override", rows, ratios)


if __name__ == "__main__":
    main()
