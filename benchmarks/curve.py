"""What encryption and authentication cost training: a learner and an actor beside it, with keys and without, in turns.

They are the processes that the front door starts; the actor runs as fast as learning lets it.

    python benchmarks/curve.py --json curve.json
"""

import argparse
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import report

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from handrail.local import free_port, last_error, rooms, stop_on_sigterm, write_json
from wire.allowed import ALLOWED, AllowList
from wire.keys import LEARNER, make_pair
from wire.store import StepStore

_ROOT = Path(__file__).resolve().parents[1]
_WARM = 0.2
"""Share of the steps before the clock starts: what is compiled is compiled by then."""
_PATIENCE_S = 1800.0


def measure(told: argparse.Namespace, steps: int, keyed: bool, folder: Path) -> dict[str, float]:
    """Train once; steps of training a second, and processor time of both rooms a step, their start included."""
    link = {"keys": str(_keys(folder / "keys"))} if keyed else {}
    env = {"task": told.task, "obs": told.obs}
    address = f"tcp://127.0.0.1:{free_port()}"
    agent = {"name": "rlpd"} | ({"hidden": [16], "critics": 2} if told.tiny else {})
    learner = {"run": str(folder), "agent": agent, "bind": address, "steps": steps, "tensorboard": False}
    learner["min_online"] = min(100, steps // 4)
    actor = {"env": env, "learner": address, "outbox": str(folder / "outbox.sqlite")}
    before_s = _children_s()
    with rooms() as started:
        for name, words, config in (("learner", ["learner"], learner), ("actor", ["actor", "act"], actor)):
            path = write_json(folder / f"{name}.json", config | link)
            started.start(name, [*words, str(path)], log=folder / f"{name}.log")
        for name in ("learner", "actor"):
            code = started.finish(name, timeout_s=_PATIENCE_S)
            if code != 0:
                raise SystemExit(f"{name} ended with {code}: {last_error(folder / f'{name}.log')}")
    with StepStore.read(folder / "steps.sqlite") as store:
        at_s = [row.step.stamps["monotonic"] for row in store.rows()][:steps]
    first = int(_WARM * len(at_s))
    rate = (len(at_s) - 1 - first) / (at_s[-1] - at_s[first])
    return {"steps_per_s": rate, "cpu_ms": 1000 * (_children_s() - before_s) / len(at_s)}


def _keys(folder: Path) -> Path:
    make_pair(folder, LEARNER)
    AllowList(folder / ALLOWED).add("robot-1", make_pair(folder, "robot-1").public)
    return folder


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--repetitions", type=int, default=3, help="of each, in turns")
    parser.add_argument("--steps", type=int, default=3000, help="of a repetition")
    parser.add_argument("--task", default="pick_cube")
    parser.add_argument("--obs", default="state", help="state or pixels")
    parser.add_argument("--tiny", action="store_true", help="a small network, only to show that everything runs")
    arguments = parser.parse_args()
    json_path = None if arguments.json is None else arguments.json.resolve()
    os.chdir(_ROOT)
    stop_on_sigterm()
    found: dict[str, list[dict[str, float]]] = {"without keys": [], "CURVE": []}
    if not arguments.tiny:
        # Compiles what the others then find in the cache.
        with tempfile.TemporaryDirectory() as folder:
            measure(arguments, arguments.steps // 10, False, Path(folder))
    for _ in range(arguments.repetitions):
        for name, runs in found.items():
            with tempfile.TemporaryDirectory() as folder:
                runs.append(measure(arguments, arguments.steps, name == "CURVE", Path(folder)))
            print(f"{name}: {runs[-1]}", file=sys.stderr)
    rows: list[dict[str, Any]] = [
        {"link": name} | {key: report.spread(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    ]
    plain, curve = rows
    ratios = {
        f"{arguments.obs}: {what} of training, CURVE / without keys": curve[key]["median"] / plain[key]["median"]
        for key, what in (("steps_per_s", "steps/s"), ("cpu_ms", "CPU a step"))
    }
    report.write(json_path, "curve", rows, ratios, steps=arguments.steps)


if __name__ == "__main__":
    main()
