"""How long a killed learner or actor is missed: from the start of its process to its first step, with a full archive.

The run has an archive of 200,000 transitions from which the learner rebuilds its replay. Learner and actor are the
processes that the front door starts; each is killed with `kill -9` and started again.

    python benchmarks/restart.py --json restart.json
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import report

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from actor.uplink import Uplink
from envs.config import EnvConfig
from envs.make import make_env
from handrail.local import free_port, last_error, stop_on_sigterm, write_json
from learner.seal import is_sealed
from wire.parent import Door
from wire.specs import EnvSpec
from wire.store import StepStore
from wire.types import Observation, Source, Step

_ROOT = Path(__file__).resolve().parents[1]
_EPISODE_STEPS = 50
_PATIENCE_S = 300.0
_AWAY_S = 2.0
_BARS_S = {"first_record_s": 2.0, "first_gradient_step_s": 60.0, "first_step_s": 5.0}


class Room:
    """A room's process; a new one of the same name is a restart."""

    def __init__(self, name: str, told: dict[str, Any], folder: Path, door: Door) -> None:
        self._name, self._log = name, folder / f"{name}.log"
        self._words = [sys.executable, "-m", name, *(["act"] if name == "actor" else [])]
        self._words.append(str(write_json(folder / f"{name}.json", told)))
        self._env = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")} | door.environment()
        self._door = door
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; the monotonic time at which that was."""
        began_s = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words, stdout=log, stderr=log, env=self._env, pass_fds=(self._door.end,)
            )
        return began_s

    def kill(self) -> None:
        """`kill -9`, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def until(self, happened: Callable[[], object]) -> float:
        """Wait until something holds; the monotonic time at which it did."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while not happened():
            if time.monotonic() > deadline_s or self._process is None or self._process.poll() is not None:
                raise SystemExit(f"{self._name} is of no use: {last_error(self._log)}")
            time.sleep(0.002)
        return time.monotonic()


class Sets:
    """Counts the weight sets that come: a learner's first is what it started with, each other one an update later."""

    def __init__(self) -> None:
        self._lock, self._versions = threading.Lock(), set[int]()

    def take(self, data: bytes, version: int) -> bool:
        """As the uplink calls it."""
        with self._lock:
            self._versions.add(version)
        return True

    def count(self) -> int:
        """How many different ones there were."""
        with self._lock:
            return len(self._versions)


def fill(archive: Path, spec: EnvSpec, transitions: int) -> None:
    """An archive of so many transitions of nonsense, as a run would have left it."""
    rng = np.random.default_rng(0)
    with StepStore.open(archive, spec) as store:
        for number in range(transitions):
            store.insert("0" * 32, number + 1, nonsense(spec, number, rng))
            if number % 1000 == 999:
                store.commit()
        store.commit()


def nonsense(spec: EnvSpec, number: int, rng: np.random.Generator) -> Step:
    """A step of chance."""

    def look() -> Observation:
        return {name: rng.random(array.shape).astype(array.dtype) for name, array in spec.observation.items()}

    ended = number % _EPISODE_STEPS == _EPISODE_STEPS - 1
    return Step(
        episode=number // _EPISODE_STEPS,
        t=number % _EPISODE_STEPS,
        observation=look(),
        action=rng.uniform(-1, 1, spec.action.shape).astype(np.float32),
        policy_action=None,
        source=Source.POLICY,
        reward=0.0,
        terminated=False,
        truncated=ended,
        final_observation=look() if ended else None,
    )


def start_learner(room: Room, spec: EnvSpec, address: str, folder: Path) -> dict[str, float]:
    """Start the learner and be its actor until it has learned from its first batch; seconds to each of its marks."""
    with contextlib.ExitStack() as stack:
        sets = Sets()
        outbox = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder))) / "outbox.sqlite"
        uplink = Uplink(address, outbox, spec, on_weights=sets.take)
        uplink.start()
        stack.callback(uplink.close, 0.0)
        uplink.append(nonsense(spec, 0, np.random.default_rng(1)))
        # By now it has been without a learner for long enough to be as patient as it ever gets.
        time.sleep(_AWAY_S + random.random())
        began_s = room.start()
        marks = {
            "connected_s": room.until(lambda: uplink.status.state == "connected"),
            "first_record_s": room.until(lambda: uplink.status.acked_seq > 0),
            "first_gradient_step_s": room.until(lambda: sets.count() > 1),
        }
    return {name: at_s - began_s for name, at_s in marks.items()}


def sealed(run: Path) -> bool:
    """Whether there is a whole checkpoint; the folders come and go meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return any(is_sealed(folder) for folder in (run / "checkpoints").iterdir())
    return False


def start_actor(room: Room, archive: Path) -> dict[str, float]:
    """Start the actor; seconds until its first new step is on the learner's disk."""
    with StepStore.read(archive) as store:
        before = store.last_row()
        began_s = room.start()
        return {"first_step_s": room.until(lambda: store.last_row() > before) - began_s}


def measure(told: argparse.Namespace, folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Every start, one after the other: which one it was, and its figures."""
    env = {"task": told.task, "obs": "state"}
    made = make_env(EnvConfig(**env))
    spec = made.wire_spec
    made.close()
    run = folder / "run"
    fill(run / "steps.sqlite", spec, told.transitions)
    address = f"tcp://127.0.0.1:{free_port()}"
    agent = {"name": "rlpd"} | ({"hidden": [16], "critics": 2} if told.tiny else {})
    config = {"run": str(run), "agent": agent, "bind": address, "steps": 10**9, "resume": True, "env": env}
    # Every update is published, for that is how we see the first; and whoever is killed has left a checkpoint.
    config |= {"tensorboard": False, "publish_period": 1, "checkpoint_period_s": 1.0}
    door = Door()
    learner = Room("learner", config, folder, door)
    config = {"env": env, "learner": address, "outbox": str(folder / "outbox.sqlite"), "pace": "clock"}
    actor = Room("actor", config, folder, door)
    with contextlib.ExitStack() as stack:
        stack.callback(door.close)
        stack.callback(learner.kill)
        stack.callback(actor.kill)
        for repetition in range(told.repetitions + 1):
            found = start_learner(learner, spec, address, folder)
            yield "learner, never compiled" if repetition == 0 else "learner", found
            if repetition < told.repetitions:
                learner.until(lambda: sealed(run))
                learner.kill()
        for repetition in range(told.repetitions + 1):
            found = start_actor(actor, run / "steps.sqlite")
            actor.kill()
            yield "actor, the first time" if repetition == 0 else "actor", found


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--transitions", type=int, default=200_000)
    parser.add_argument("--repetitions", type=int, default=5, help="restarts of each")
    parser.add_argument("--task", default="pick_cube")
    parser.add_argument("--tiny", action="store_true", help="a small network, only to show that everything runs")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk that is to be measured")
    arguments = parser.parse_args()
    json_path = None if arguments.json is None else arguments.json.resolve()
    folder = arguments.folder.resolve()
    os.chdir(_ROOT)
    stop_on_sigterm()
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        for name, figures in measure(arguments, Path(work)):
            print(f"{name}: {', '.join(f'{mark} {s:.2f}' for mark, s in figures.items())}", file=sys.stderr)
            found.setdefault(name, []).append(figures)
    rows: list[dict[str, Any]] = [
        {"start": name} | {mark: report.spread(figures[mark] for figures in each) for mark in each[0]}
        for name, each in found.items()
    ]
    ratios = {}
    for row in rows:
        for mark, bar_s in _BARS_S.items():
            if mark in row:
                ratios[f"{row['start']}: {mark} / the bar of {bar_s:g} s"] = row[mark]["median"] / bar_s
    report.write(json_path, "restart", rows, ratios, transitions=arguments.transitions)


if __name__ == "__main__":
    main()
