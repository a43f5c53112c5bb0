"""Repeat the learning results of docs/experiments.md: each row is one `handrail sim` command, run for each seed.

    python benchmarks/experiments.py --rows plain state --seeds 0 1 2 --runs runs/experiments --json experiments.json

Rows that a finished run folder already holds are read, not run again, so a long table can be made in several sittings,
or in several processes at once.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from learner.progress import WINDOW
from wire.store import StepStore

ROWS = {
    # What `make sim` runs.
    "plain": "scene=plain obs=pixels steps=3000",
    "plain_bc": "scene=plain obs=pixels steps=3000 agent=bc",
    "varied": "scene=varied obs=pixels steps=5000",
    "varied_bc": "scene=varied obs=pixels steps=5000 agent=bc",
    "varied_no_images": "scene=varied obs=proprio steps=5000",
    "state": "obs=state steps=2000",
    # Ablations, all from state with the same budget.
    "hil": "obs=state steps=1000",
    "rlpd": "obs=state steps=1000 human=none",
    "sac": "obs=state steps=1000 human=none demos=none",
    "no_layer_norm": "obs=state steps=1000 agent.layer_norm=false",
    "two_critics": "obs=state steps=1000 agent.critics=2",
    "utd_1": "obs=state steps=1000 agent.utd=1 agent.actor_period=1",
    "utd_8": "obs=state steps=1000 agent.utd=8",
    "no_imitation": "obs=state steps=1000 agent.bc_weight=0",
    "no_averaging": "obs=state steps=1000 agent.policy_polyak=1",
    "bc": "obs=state steps=1000 agent=bc",
    # A task that is not ours; see benchmarks/gym_hil/README.md for its environment.
    "gym_hil": "env=gym env.id=handrail_gym_hil:handrail_gym_hil/PickCube-v0 human=script demos=script:20 steps=5000",
}


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="draw success and human share over steps, a panel per row")
    options = parser.parse_args()
    rows = []
    for name in options.rows:
        results = [_result(name, seed, options.runs / f"{name}-{seed}") for seed in options.seeds]
        rows.append({"name": name, "command": f"handrail sim {ROWS[name]} seed=<seed>", "seeds": results})
        print(_line(name, results), flush=True)
    if options.json is not None:
        document = {"name": "experiments", "machine": _machine(), "rows": rows, "ratios": {}}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    if options.plot is not None:
        _plot(options.rows, options.seeds, options.runs, options.plot)


def _result(name: str, seed: int, run: Path) -> dict:
    if not (run / "eval.json").exists():
        run.parent.mkdir(parents=True, exist_ok=True)
        words = [*ROWS[name].split(), f"seed={seed}", f"run={run}"]
        with run.with_suffix(".log").open("w") as log:
            subprocess.run([sys.executable, "-m", "handrail.cli", "sim", *words], stdout=log, stderr=log, check=True)
    summary = json.loads((run / "summary.json").read_text())
    keys = (
        "env_steps",
        "human_steps",
        "gradient_steps",
        "wall_s",
        "steps_to_80",
        "steps_to_95",
        "mean_steps",
        "success",
    )
    return {"seed": seed, **{key: summary[key] for key in keys}, "link": summary["link"]}


def _line(name: str, results: list[dict]) -> str:
    def median(key: str) -> str:
        values = [result[key] for result in results]
        return "never" if None in values else f"{statistics.median(values):.1f}".removesuffix(".0")

    success = " ".join(f"{result['success']['rate']:.2f}" for result in results)
    minutes = " ".join(f"{result['wall_s'] / 60:.1f}" for result in results)
    keys = ("env_steps", "human_steps", "steps_to_80", "steps_to_95", "mean_steps")
    return f"| {name} | {success} | {' | '.join(median(key) for key in keys)} | {minutes} |"


def _plot(names: list[str], seeds: list[int], runs: Path, path: Path) -> None:
    """Success without help (solid) and share of human steps (dotted) over the last 20 episodes, a colour per seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure, grid = pyplot.subplots(lines, columns, figsize=(4 * columns, 2.6 * lines), squeeze=False, sharey=True)
    for axes, name in zip(grid.flat, names, strict=False):
        for seed, colour in zip(seeds, ("#1b7837", "#2166ac", "#d95f02", "#762a83"), strict=False):
            steps, success, human = _curve(runs / f"{name}-{seed}" / "steps.sqlite")
            axes.plot(steps, success, color=colour, label=f"seed {seed}")
            axes.plot(steps, human, color=colour, linestyle=":", linewidth=1)
        axes.set(title=name, ylim=(-0.03, 1.03), xlim=(0, None))
        axes.grid(alpha=0.25)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    grid[0][0].legend(frameon=False, loc="center right")
    figure.supxlabel("environment steps")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _curve(archive: Path) -> tuple[list[int], list[float], list[float]]:
    with StepStore.read(archive) as store:
        episodes = store.episodes()
    steps = list(itertools.accumulate(episode.length for episode in episodes))
    windows = [episodes[max(0, end - WINDOW) : end] for end in range(1, len(episodes) + 1)]
    success = [sum(e.success and not e.human_steps for e in window) / len(window) for window in windows]
    human = [sum(e.human_steps for e in window) / sum(e.length for e in window) for window in windows]
    return steps, success, human


def _machine() -> dict:
    return {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}


if __name__ == "__main__":
    main()
