"""What a reward service costs a robot's loop: a step that asks and does not wait, while it serves and after a kill -9.

    python benchmarks/reward_service.py --json reward_service.json

The service is a process of its own with an untrained network of the default size and two cameras of 64 pixels; the
caller judges at 10 Hz, as an actor in real time does. `answer` is how long a lone question takes there and back.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import report

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import numpy as np

from handrail.local import free_port
from rewards.client import Scorer, ServiceJudge
from wire.types import UNSCORED

_ROOT = Path(__file__).resolve().parents[1]
_PERIOD_S = 0.1
_CAMERAS = ("front", "wrist")


def save_model(folder: Path) -> None:
    """An untrained classifier; in a process of its own, for this one stays without torch, as a robot's does."""
    code = f"""
from pathlib import Path
from rewards.calibration import Platt
from rewards.network import Architecture, Network
from rewards.success import SuccessClassifier
from wire.scoring import Rule
names = {_CAMERAS!r}
inputs = dict.fromkeys(names, (64, 64, 3))
SuccessClassifier(Network(Architecture(names)), inputs, Platt(), Rule(0.999)).save(Path({str(folder)!r}), {{}})
"""
    subprocess.run([sys.executable, "-c", code], cwd=_ROOT, check=True)


def measure(steps: int, folder: Path) -> dict[str, list[float]]:
    """Milliseconds, by what was measured."""
    save_model(folder / "model")
    address = f"tcp://127.0.0.1:{free_port()}"
    config = folder / "serve.json"
    config.write_text(json.dumps({"model": str(folder / "model"), "bind": address}))
    service = subprocess.Popen([sys.executable, "-m", "rewards", "serve", str(config)], cwd=_ROOT)
    scorer = Scorer(address)
    scorer.start()
    try:
        while scorer.status.serving is None:
            time.sleep(0.05)
        found = {"answer": [_answer_ms(scorer) for _ in range(steps)]}
        judge = ServiceJudge(scorer, wait_s=0.0, lag=2)
        found["judge, serving"] = _judge_ms(judge, steps)
        os.kill(service.pid, signal.SIGKILL)
        found["judge, killed"] = _judge_ms(judge, steps)
        return found
    finally:
        scorer.close()
        service.kill()
        service.wait()


def _look() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (64, 64, 3), np.uint8) for name in _CAMERAS}


def _answer_ms(scorer: Scorer) -> float:
    began_s = time.monotonic()
    number = scorer.ask(_look())
    assert number is not None
    assert scorer.answer(number, 10.0) is not None
    return 1000 * (time.monotonic() - began_s)


def _judge_ms(judge: ServiceJudge, steps: int) -> list[float]:
    """Each call at the rate of a control loop."""
    found, judgements = [], []
    for _ in range(steps):
        observation = _look()
        began_s = time.monotonic()
        judgements.append(judge.judge(observation))
        found.append(1000 * (time.monotonic() - began_s))
        time.sleep(_PERIOD_S)
    print(f"unscored {sum(each.by == UNSCORED for each in judgements)} of {steps}", file=sys.stderr)
    return found


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--steps", type=int, default=200, help="of each")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(told.steps, Path(folder))
    rows: list[dict[str, Any]] = [
        {"what": name, "ms": report.spread(values), "p99_ms": float(np.percentile(values, 99))}
        for name, values in found.items()
    ]
    ratios = {f"{row['what']}, median ms": row["ms"]["median"] for row in rows}
    ratios |= {f"{row['what']}, p99 ms": row["p99_ms"] for row in rows}
    report.write(told.json, "reward_service", rows, ratios, steps=told.steps)


if __name__ == "__main__":
    main()
