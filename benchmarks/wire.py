"""The way of a step from the control loop to the learner: ours, what the peers do, and what the machine allows.

Every contender is two processes, an actor and a learner, on this machine. They run their repetitions in turns: first
as many steps as go through, then steps at a control rate, for what one costs the loop and how soon it is there.

    python benchmarks/wire.py --json wire.json --peers-python .venv-bench/bin/python
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import report

sys.path.append(str(Path(__file__).parent / "contenders"))
from traffic import STEP_BYTES

_HERE = Path(__file__).resolve().parent
_CONTENDERS = {
    "handrail": ("wire_ours.py", "null"),
    "handrail, CURVE": ("wire_ours.py", "curve"),
    "agentlace": ("wire_agentlace.py", "as it is"),
    "agentlace, without its log line": ("wire_agentlace.py", "quiet"),
    "lerobot": ("wire_lerobot.py", "torch"),
    "lerobot, uint8 and pickle": ("wire_lerobot.py", "pickle"),
    "limit: ZeroMQ": ("wire_limits.py", "null"),
    "limit: ZeroMQ, CURVE": ("wire_limits.py", "curve"),
    "limit: write and fdatasync": ("wire_limits.py", "disk"),
}
_PEERS = ("wire_agentlace.py", "wire_lerobot.py")
_PLACES = {"p50": 0.5, "p99": 0.99, "p100": 1.0}


class Role:
    """One process of a contender."""

    def __init__(self, name: str, python: str, core: str, **told: str) -> None:
        script, variant = _CONTENDERS[name]
        command = [python, str(_HERE / "contenders" / script), json.dumps({"variant": variant} | told)]
        self._process = subprocess.Popen(
            ["taskset", "--cpu-list", core, *command] if core else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # This folder is on no one's path: its learner.py would be taken for the package.
            env=os.environ | {"PYTHONPATH": str(_HERE.parent), "OMP_NUM_THREADS": "1"},
        )

    def ask(self, **run: Any) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(run) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What it says next, or what it lacks; ends the benchmark where it ended of anything else."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate()
            last = (errors.strip().splitlines() or ["it left no message"])[-1]
            if "ModuleNotFoundError" in last:
                return {"absent": last}
            raise SystemExit(f"{self._process.args} ended with {self._process.returncode}: {last}")
        return json.loads(line)

    def stop(self) -> None:
        """Let it go."""
        self._process.kill()
        self._process.communicate()


class Contender:
    """Both roles, and what came of their repetitions."""

    def __init__(self, name: str, python: str, cores: list[str], folder: Path, stack: contextlib.ExitStack) -> None:
        self.name, self.folder = name, str(folder / name)
        Path(self.folder).mkdir()
        self.flooded: list[dict[str, float]] = []
        self.paced: list[dict[str, dict[str, float]]] = []
        self._learner = Role(name, python, cores[-1], role="learner", folder=self.folder)
        stack.callback(self._learner.stop)
        answer = self._learner.answer()
        self.absent = answer.get("absent", "")
        if not self.absent:
            self._actor = Role(name, python, cores[0], role="actor", folder=self.folder, address=answer["address"])
            stack.callback(self._actor.stop)
            self._actor.answer()

    def flood(self, steps: int) -> None:
        """As many steps as go through."""
        actor, learner = self._run(steps, 0.0)
        seconds = max(actor["done_s"], learner["done_s"]) - actor["began_s"]
        rate = steps / seconds
        self.flooded.append(
            {
                "steps_per_s": rate,
                "mb_per_s": rate * STEP_BYTES / 1e6,
                "actor_cpu_ms": 1000 * actor["cpu_s"] / steps,
                "learner_cpu_ms": 1000 * learner["cpu_s"] / steps,
            }
        )

    def pace(self, steps: int, rate_hz: float) -> None:
        """So many steps at the rate of a control loop."""
        actor, learner = self._run(steps, rate_hz)
        found = {"call_ms": actor["call_s"], "in_training_ms": _since(actor["called_s"], learner["arrived_s"])}
        if "acked_s" in actor:
            found["acknowledged_ms"] = _since(actor["called_s"], actor["acked_s"])
        self.paced.append({name: percentiles(seconds) for name, seconds in found.items()})

    def row(self) -> dict[str, Any]:
        """The row of the report."""
        row: dict[str, Any] = {"contender": self.name}
        if self.absent:
            return row | {"absent": self.absent}
        row |= {key: report.spread(run[key] for run in self.flooded) for key in self.flooded[0]}
        if not self.name.startswith("limit"):
            for key in self.paced[0] if self.paced else ():
                row[key] = {place: report.spread(run[key][place] for run in self.paced) for place in _PLACES}
        return row

    def _run(self, steps: int, rate_hz: float) -> tuple[dict[str, Any], dict[str, Any]]:
        self._learner.ask(steps=steps)
        self._actor.ask(steps=steps, rate_hz=rate_hz)
        return self._actor.answer(), self._learner.answer()


def _since(earlier: list[float], later: list[float]) -> list[float]:
    return [then - first for first, then in zip(earlier, later, strict=True)]


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p99 and the worst, in milliseconds."""
    ordered = sorted(seconds)
    return {name: 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)] for name, share in _PLACES.items()}


@contextlib.contextmanager
def contenders(arguments: argparse.Namespace) -> Iterator[list[Contender]]:
    """All that were asked for, ready."""
    cores = arguments.cores.split(",")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, contextlib.ExitStack() as stack:
        found = []
        for name, (script, _) in _CONTENDERS.items():
            if name == "handrail, CURVE" and not arguments.curve:
                continue
            python = arguments.peers_python if script in _PEERS else sys.executable
            found.append(Contender(name, python, cores, Path(folder), stack))
            print(f"{name} {found[-1].absent and 'is absent: '}{found[-1].absent}", file=sys.stderr)
            if name == "handrail" and found[-1].absent:
                end_without_us(found[-1].absent)
        yield found


def end_without_us(absent: str) -> NoReturn:
    """There is nothing to compare the others with."""
    sys.stderr.write(
        f"error: {sys.executable} cannot run Handrail itself ({absent}): start this with the interpreter that Handrail "
        "is installed in, e.g. .venv/bin/python, and name the peers' with --peers-python\n"
    )
    raise SystemExit(2)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every contender's repetitions, taken in turns; the first one of each only warms it up."""
    with contenders(arguments) as found:
        present = [contender for contender in found if not contender.absent]
        for repetition in range(arguments.repetitions + 1):
            for contender in present:
                contender.flood(arguments.steps)
                if repetition == 0:
                    contender.flooded.clear()
                    continue
                print(f"{contender.flooded[-1]['steps_per_s']:8.0f} steps/s  {contender.name}", file=sys.stderr)
                if repetition <= arguments.paced and not contender.name.startswith("limit"):
                    contender.pace(arguments.paced_steps, arguments.rate_hz)
        return [contender.row() for contender in found]


def ratios_of(rows: list[dict[str, Any]], rate_hz: float) -> dict[str, float]:
    """How many times as many steps go through ours, ours as a share of the limits, and what encryption costs."""
    timed = {row["contender"]: row for row in rows if "steps_per_s" in row}
    rate = {name: row["steps_per_s"]["median"] for name, row in timed.items()}
    ratios: dict[str, float] = {}
    for ours in ("handrail", "handrail, CURVE"):
        for name in timed if ours in timed else ():
            if not name.startswith(("handrail", "limit: ZeroMQ, CURVE")):
                ratios[f"steps/s: {ours} / {name}"] = rate[ours] / rate[name]
    for name in ("agentlace", "lerobot"):
        if name in timed and "call_ms" in timed[name]:
            worst = {key: timed[key]["call_ms"]["p100"]["median"] for key in ("handrail", name)}
            ratios[f"longest call in the loop: {name} / handrail"] = worst[name] / worst["handrail"]
    for plain in ("handrail", "limit: ZeroMQ"):
        if f"{plain}, CURVE" in timed:
            ratios[f"steps/s: {plain}, CURVE / plain"] = rate[f"{plain}, CURVE"] / rate[plain]
            added_ms = _cpu(timed[f"{plain}, CURVE"]) - _cpu(timed[plain])
            ratios[f"{plain}: share of one core that CURVE takes at {rate_hz:g} Hz"] = added_ms * rate_hz / 1000
    return ratios


def _cpu(row: dict[str, Any]) -> float:
    return row["actor_cpu_ms"]["median"] + row["learner_cpu_ms"]["median"]


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--steps", type=int, default=500, help="of a repetition at full speed; 100 are an episode")
    parser.add_argument("--paced", type=int, default=2, help="repetitions at the control rate")
    parser.add_argument("--paced-steps", type=int, default=200)
    parser.add_argument("--rate-hz", type=float, default=20.0)
    parser.add_argument("--curve", action="store_true", help="ours encrypted and authenticated, too")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk that is to be measured")
    parser.add_argument("--cores", default="", help="two cores, of the actors and the learners; default: any")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter that has lz4, grpcio and torch")
    arguments = parser.parse_args()
    if shutil.which(arguments.peers_python) is None:
        parser.error(f"--peers-python is {arguments.peers_python}, which does not run; see benchmarks/README.md")
    rows = measure(arguments)
    for row in rows:
        if "steps_per_s" in row:
            rate, speed = row["steps_per_s"]["median"], row["mb_per_s"]["median"]
            print(f"{rate:10.4g} steps/s {speed:8.4g} MB/s  {row['contender']}")
    report.write(arguments.json, "wire", rows, ratios_of(rows, arguments.rate_hz), pinned=arguments.cores)


if __name__ == "__main__":
    main()
