"""How wrong may the one be who says what a success is? True success after training on a corrupted signal.

    python benchmarks/tolerance.py --fp 0 0.01 0.05 0.1 --fn 0 0.5 0.8 --seeds 0 1 2 --json tolerance.json --plot t.png

pick_cube from states without resets (docs/tasks.md), with demonstrations that are rightly judged. In training a share
of the frames without success passes for one, and ends the attempt with reward 1; a share of the successes does not. The
policy is judged by the task, on 100 fresh episodes of lifting. Finished runs in --runs are read.
"""

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import commands
import report

_ENV = "env=gym env.id=handrail_corrupted:Corrupted-v0"
_HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run what is asked for, draw it and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--plot", type=Path, help="picture to draw")
    parser.add_argument("--fp", nargs="+", type=float, default=[0.0, 0.01, 0.05, 0.1])
    parser.add_argument("--fn", nargs="+", type=float, default=[0.0, 0.5, 0.8])
    parser.add_argument("--errors", nargs="+", choices=("frames", "places"), default=["frames"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--demos", type=int, default=40)
    parser.add_argument("--episodes", type=int, default=100, help="of every evaluation")
    parser.add_argument("--reset-every", type=int, default=25)
    parser.add_argument("--more", default="agent.hidden=[128,128] agent.critics=2", help="words for every run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--runs", type=Path, default=Path("runs/tolerance"))
    told = parser.parse_args()
    told.runs = told.runs.resolve()
    for seed in told.seeds:
        record(told, seed)
    cells = [(kind, fp, fn, seed) for kind in told.errors for fn in told.fn for fp in told.fp for seed in told.seeds]
    found = dict(zip(cells, commands.each(told.jobs, [partial(train, told, *cell) for cell in cells]), strict=True))
    rows = []
    for kind, fp, fn in dict.fromkeys(cell[:3] for cell in cells):
        runs = [found[kind, fp, fn, seed] for seed in told.seeds]
        rows.append(
            {"errors": kind, "fp": fp, "fn": fn, "true_success": median(run["rate"] for run in runs), "runs": runs}
        )
        print(f"{kind} fp={fp:g} fn={fn:g}: {[run['rate'] for run in runs]}", file=sys.stderr)
    best = max(row["true_success"] for row in rows)
    ratios = {
        f"true success, {row['errors']} fp={row['fp']:g} fn={row['fn']:g} / the best": row["true_success"]
        / max(best, 1e-9)
        for row in rows
    }
    report.write(told.json, "tolerance", rows, ratios, steps=told.steps, seeds=told.seeds)
    if told.plot is not None:
        draw(told.plot, rows)


def train(told: argparse.Namespace, kind: str, fp: float, fn: float, seed: int) -> dict[str, Any]:
    """One run, and what its policy is truly worth."""
    run = told.runs / f"{kind}-fp{fp:g}-fn{fn:g}-s{seed}"
    result = run / "true.json"
    if not result.exists():
        words = f"sim {_ENV} run={run} seed={seed} steps={told.steps} demos={_demos(told, seed)} human=none"
        rates = {"HANDRAIL_FP": f"{fp}", "HANDRAIL_FN": f"{fn}", "HANDRAIL_ERRORS": kind, "HANDRAIL_SEED": f"{seed}"}
        again = "resume=true" if (run / "config.json").exists() else ""
        call(
            f"{words} learner.tensorboard=false eval_episodes=1 {told.more} {again}",
            log=run.with_suffix(".log"),
            **rates,
            HANDRAIL_RESET_EVERY=f"{told.reset_every}",
        )
        call(f"eval {_ENV} run={run} episodes={told.episodes}", log=run.with_suffix(".eval.log"))
        facts = json.loads((run / "eval.json").read_text())
        summary = json.loads((run / "summary.json").read_text())
        facts |= {"seed": seed, "attempts": summary["episodes"], "wall_s": summary["wall_s"]}
        result.write_text(json.dumps(facts) + "\n")
    return json.loads(result.read_text())


def record(told: argparse.Namespace, seed: int) -> None:
    """Demonstrations of both ways, each pair from a reset, rightly judged."""
    path = _demos(told, seed)
    if not path.exists():
        words = f"demos record --script {_ENV} out={path} episodes={told.demos} seed={seed}"
        call(words, log=path.with_suffix(".log"), HANDRAIL_RESET_EVERY="2")


def call(words: str, *, log: Path, **variables: str) -> None:
    """Carry out one command of the front door, with these variables for its environment."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # Of this folder's folder, not this one, whose learner.py and wire.py would be taken for packages.
    path = os.pathsep.join([str(_HERE / "tolerance"), str(_HERE.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "handrail.cli", *words.split()]
    with log.open("w") as file:
        done = subprocess.run(
            command, stdout=file, stderr=file, check=False, env={**os.environ, **variables, "PYTHONPATH": path}
        )
    if done.returncode:
        raise SystemExit(f"handrail {words} ended with {done.returncode}: {log.read_text()[-600:]}")


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """True success over the share of false successes: every run, and the medians for every share of missed ones."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = list(dict.fromkeys(row["errors"] for row in rows))
    figure, grid = pyplot.subplots(1, len(kinds), figsize=(5 * len(kinds), 3.6), squeeze=False, sharey=True)
    for axes, kind in zip(grid[0], kinds, strict=True):
        for fn in dict.fromkeys(row["fn"] for row in rows):
            line = [row for row in rows if row["errors"] == kind and row["fn"] == fn]
            shares = [100 * row["fp"] for row in line]
            (drawn,) = axes.plot(
                shares, [100 * row["true_success"] for row in line], label=f"{fn:.0%} of successes missed"
            )
            for share, row in zip(shares, line, strict=True):
                rates = [100 * run["rate"] for run in row["runs"]]
                axes.plot([share] * len(rates), rates, "o", markersize=4, color=drawn.get_color())
        axes.set(xlabel=f"false successes, % of {kind}", ylim=(-3, 103))
        axes.legend(fontsize=8)
    grid[0][0].set_ylabel("true success after training, %")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _demos(told: argparse.Namespace, seed: int) -> Path:
    return told.runs / f"demos-{seed}.sqlite"


if __name__ == "__main__":
    main()
