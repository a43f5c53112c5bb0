"""The 10 Hz control loop while the learner trains on the same machine: is every period kept, and what do we add to it?

Learner and actor are the processes that the front door starts; the actor runs under a stopwatch (timed_actor.py).

    python benchmarks/loop.py --json loop.json
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import report

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from handrail.local import Rooms, free_port, last_error, rooms, stop_on_sigterm, write_json

_ROOT = Path(__file__).resolve().parents[1]
_STAGES = ("act_s", "guard_s")
_AGENTS = {"state": {"name": "rlpd"}, "pixels": {"name": "rlpd", "utd": 2, "hidden": [256, 256]}}


def measure(obs: str, task: str, steps: int, folder: Path) -> dict[str, Any]:
    """Run `steps` control periods with a learner at work and say how they went."""
    env = {"task": task, "obs": obs}
    address = f"tcp://127.0.0.1:{free_port()}"
    demos = folder / "demos.sqlite"
    recorder = {"out": str(demos), "env": env, "episodes": 5}
    learner = {"run": str(folder), "agent": _AGENTS[obs], "bind": address, "steps": steps, "demos": str(demos)}
    actor = {"env": env, "learner": address, "outbox": str(folder / "outbox.sqlite"), "pace": "clock"}
    log, figures = folder / "rooms.log", folder / "figures.json"
    with rooms() as started:
        _start(started, "recorder", ["actor", "record"], recorder, log)
        _end(started, "recorder", log)
        _start(started, "learner", ["learner"], learner | {"tensorboard": False, "checkpoint_period_s": 1e6}, log)
        told = write_json(folder / "actor.json", actor)
        started.start("actor", ["benchmarks.timed_actor", str(told), str(figures)], log=log)
        _end(started, "actor", log)
        _end(started, "learner", log)
    summary = json.loads((folder / "summary.json").read_text())
    row = {"obs": obs, "task": task, "gradient_steps": summary["gradient_steps"]}
    return row | _figures(json.loads(figures.read_text())) | _stages(folder / "steps.sqlite")


def _start(started: Rooms, name: str, words: list[str], told: dict[str, Any], log: Path) -> None:
    started.start(name, [*words, str(write_json(log.parent / f"{name}.json", told))], log=log)


def _end(started: Rooms, name: str, log: Path) -> None:
    code = started.finish(name, timeout_s=600.0)
    if code != 0:
        raise SystemExit(f"{name} ended with {code}: {last_error(log)}")


def _figures(watched: dict[str, Any]) -> dict[str, Any]:
    """Percentiles of the period and of what the loop adds to the environment's own time, milliseconds."""
    periods = watched["periods"]
    row: dict[str, Any] = {"periods": len(periods), "overruns": watched["overruns"]}
    for name in ("period_s", "added_s", "env_s"):
        row[name.replace("_s", "_ms")] = percentiles([period[name] for period in periods])
    return row


def _stages(archive: Path) -> dict[str, Any]:
    """Percentiles of the stages that every archived step is stamped with."""
    from wire.store import StepStore

    with StepStore.read(archive) as store:
        stamps = [row.step.stamps for row in store.rows()]
    return {stage.replace("_s", "_ms"): percentiles([each[stage] for each in stamps]) for stage in _STAGES}


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p99 and the worst, in milliseconds."""
    ordered = sorted(seconds)
    places = {"p50": 0.5, "p99": 0.99, "p100": 1.0}
    found = {name: ordered[min(int(share * len(ordered)), len(ordered) - 1)] for name, share in places.items()}
    return {name: float(f"{1000 * value:.4g}") for name, value in found.items()}


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--obs", default="state,pixels", help="which of state and pixels")
    parser.add_argument("--task", default="pick_cube")
    parser.add_argument("--steps", type=int, default=600, help="control periods, at 10 Hz")
    arguments = parser.parse_args()
    json_path = None if arguments.json is None else arguments.json.resolve()
    os.chdir(_ROOT)
    stop_on_sigterm()
    rows = []
    for obs in arguments.obs.split(","):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(obs, arguments.task, arguments.steps, Path(folder)))
        print(json.dumps(rows[-1], indent=2), file=sys.stderr)
    ratios = {}
    for row in rows:
        ratios[f"{row['obs']}: p99 of what the loop adds, ms"] = row["added_ms"]["p99"]
        ratios[f"{row['obs']}: p99 of the period / its median"] = row["period_ms"]["p99"] / row["period_ms"]["p50"]
        ratios[f"{row['obs']}: overruns / periods"] = row["overruns"] / row["periods"]
    report.write(json_path, "loop", rows, ratios)


if __name__ == "__main__":
    main()
