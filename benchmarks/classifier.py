"""The success classifier on rendered pick_cube frames, judged on looks that training did not see.

    python benchmarks/classifier.py --json classifier.json

Training episodes have no table of a held-out range of hues, no light from a held-out side and no distractor of a
held-out range of hues; every test episode has all three. A clumsy script drives; the simulation knows what is true.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import report

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import colorsys

import numpy as np

from envs.config import EnvConfig
from envs.make import make_env
from envs.sim.scene import DISTRACTORS, KEY_LIGHT
from rewards.audit import audit
from rewards.collect import collect_from
from rewards.config import AuditConfig, CollectConfig, TrainConfig
from rewards.train import train

_TABLE_HUES, _DISTRACTOR_HUES = (0.60, 0.85), (0.30, 0.45)
_LIGHT_FROM = 0.3
"""Held out: a horizontal part of the light's direction, before it is of unit length, above this."""
GATE = "proprio[10]>0.1"
"""The tool is some 12 cm up where the cube has been lifted by 10."""


def look(model: Any) -> tuple[bool, bool, bool]:
    """Whether table, light and one of the distractors are of the held-out kind."""
    table = colorsys.rgb_to_hsv(*model.geom("table").rgba[:3])[0]
    direction = model.light(KEY_LIGHT).dir
    hues = [colorsys.rgb_to_hsv(*model.geom(name).rgba[:3])[0] for name in DISTRACTORS]
    return (
        _TABLE_HUES[0] <= table <= _TABLE_HUES[1],
        -direction[0] / direction[2] > _LIGHT_FROM,
        any(_DISTRACTOR_HUES[0] <= hue <= _DISTRACTOR_HUES[1] for hue in hues),
    )


def seeds_with(wanted: Callable[[tuple[bool, bool, bool]], bool], first: int) -> Callable[[int], int]:
    """The n-th seed from `first` on whose episode looks as wanted."""
    env: Any = make_env(EnvConfig(obs="state", scene="varied"))
    found: list[int] = []
    next_ = first

    def seed(number: int) -> int:
        nonlocal next_
        while len(found) <= number:
            env.reset(seed=next_)
            if wanted(look(env.cell.model)):
                found.append(next_)
            next_ += 1
        return found[number]

    return seed


def gather(path: Path, positives: int, seed: int, wanted: Callable[[tuple[bool, bool, bool]], bool]) -> dict[str, int]:
    """Record frames of episodes that look as wanted."""
    config = CollectConfig(out=str(path), env=EnvConfig(obs="pixels", scene="varied"), positives=positives, seed=seed)
    env: Any = make_env(config.env)
    try:
        return collect_from(env, config, path, seeds=seeds_with(wanted, 1_000_000 * seed))
    finally:
        env.close()


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--positives", type=int, default=200, help="frames of success to train on, and to test on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of training")
    parser.add_argument("--iterations", type=int, default=TrainConfig.iterations)
    parser.add_argument("--data", type=Path, help="folder that keeps the frames and the models between two calls")
    parser.add_argument("--collect", action="store_true", help="only record the frames")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = told.data or Path(folder)
        data.mkdir(parents=True, exist_ok=True)
        for name, seed, wanted in (("train", 1, lambda held: not any(held)), ("test", 2, all)):
            if not (data / f"{name}.sqlite").exists():
                found = gather(data / f"{name}.sqlite", told.positives, seed, wanted)
                print(f"{name}: {found}", file=sys.stderr)
        if not told.collect:
            measure(told, data)


def measure(told: argparse.Namespace, data: Path) -> None:
    """Train with and without the pose gate, and audit on the looks that were held out."""
    rows: list[dict[str, Any]] = []
    for gate in (None, GATE):
        runs = [_one(data, seed, gate, told.iterations) for seed in told.seeds]
        rows.append({"gate": gate or "none"} | {key: report.spread(run[key] for run in runs) for key in runs[0]})
    ratios = {f"{key}, gate {row['gate']}": row[key]["median"] for row in rows for key in row if key != "gate"}
    report.write(told.json, "classifier", rows, ratios, positives=told.positives, iterations=told.iterations)


def _one(data: Path, seed: int, gate: str | None, iterations: int) -> dict[str, float]:
    out = data / f"model-{'gate' if gate else 'plain'}-{seed}-{iterations}-{time.time_ns()}"
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    train(TrainConfig(runs=[str(data / "train.sqlite")], out=str(out), gate=gate, seed=seed, iterations=iterations))
    seconds, cpu_seconds = time.monotonic() - began_s, time.process_time() - began_cpu_s
    found: dict[str, float] = {"seconds": seconds, "cpu_seconds": cpu_seconds}
    for margin in (2, 0):
        figures = audit(
            AuditConfig(
                model=str(out), runs=[str(data / "test.sqlite")], margin=margin, report=str(out / f"test-{margin}")
            )
        )
        suffix = "" if margin else ", all frames"
        for key in ("accuracy", "false_positive_rate", "false_negative_rate", "auc"):
            found[key + suffix] = float(figures[key])
    episodes = figures["episodes"]
    found["episodes with a false success"] = episodes["false"] / max(1, episodes["without_success"])
    found["episodes ended early"] = episodes["early"] / max(1, episodes["with_success"])
    found["episodes whose success is missed"] = episodes["missed"] / max(1, episodes["with_success"])
    print(f"{out.name}: {found}", file=sys.stderr)
    return {key: value for key, value in found.items() if not np.isnan(value)}


if __name__ == "__main__":
    main()
