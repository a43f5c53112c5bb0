"""Repeat the learning results of docs/experiments.md: each row is one `handrail sim` command, run for each seed.

    python benchmarks/experiments.py --rows plain state --seeds 0 1 2 --runs runs/experiments --json experiments.json

Rows that a finished run folder already holds are read, not run again, so a long table can be made in several sittings,
or in several processes at once. `--jobs N` runs N at a time, each on a core of its own.
"""

import argparse
import itertools
import json
import os
import platform
import queue
import statistics
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from learner.progress import WINDOW
from wire.store import StepStore

ROWS = {
    # What `make sim` runs.
    "plain": "scene=plain obs=pixels steps=3000",
    "plain_bc": "scene=plain obs=pixels steps=3000 agent=hg_dagger",
    "varied": "scene=varied obs=pixels steps=5000",
    "varied_bc": "scene=varied obs=pixels steps=5000 agent=hg_dagger",
    "varied_no_images": "scene=varied obs=proprio steps=5000",
    "state": "obs=state steps=2000",
    # Ablations, all from state with the same budget.
    "hil": "obs=state steps=1000",
    "rlpd": "obs=state steps=1000 human=none",
    "sac": "obs=state steps=1000 human=none demos=none",
    "no_layer_norm": "obs=state steps=1000 agent.layer_norm=false",
    "batch_norm": "obs=state steps=2000 agent.hidden=[128,128] agent.batch_norm=true",
    "categorical": "obs=state steps=2000 agent.hidden=[128,128] agent.categorical=true",
    "hyperspherical": "obs=state steps=2000 agent.hidden=[128,128] agent.hyperspherical=true",
    "hyperspherical_categorical": (
        "obs=state steps=2000 agent.hidden=[128,128] agent.hyperspherical=true agent.categorical=true"
    ),
    "small": "obs=state steps=2000 agent.hidden=[128,128]",
    "gqn": "obs=state steps=2000 agent.hidden=[128,128] agent=gqn",
    "gqn_nine": "obs=state steps=2000 agent.hidden=[128,128] agent=gqn agent.first_bins=9",
    "two_critics": "obs=state steps=1000 agent.critics=2",
    "utd_1": "obs=state steps=1000 agent.utd=1 agent.actor_period=1",
    "utd_8": "obs=state steps=1000 agent.utd=8",
    "no_imitation": "obs=state steps=1000 agent.bc_weight=0",
    "no_averaging": "obs=state steps=1000 agent.policy_polyak=1",
    "bc": "obs=state steps=1000 agent=bc",
    "hg_dagger": "obs=state steps=1000 agent=hg_dagger",
    "discrete": "obs=state steps=1000 agent.gripper=discrete",
    # A task that is not ours; see benchmarks/gym_hil/README.md for its environment.
    "gym_hil": "env=gym env.id=handrail_gym_hil:handrail_gym_hil/PickCube-v0 human=script demos=script:20 steps=5000",
}

TASKS = {"pick_cube": "steps=2000", "peg_insert": "steps=4000"}
"""What every run of the task is told; what else suits the peg goes with its name."""
SKILLS = ("expert", "noisy", "lazy")
SCHEMES = {
    "plain": "",
    "lagrange": "learner.interventions=lagrange",
    "takeover": "learner.interventions=takeover",
    "hg_dagger": "agent=hg_dagger",
    "discrete": "agent.gripper=discrete",
    "ahead": "learner.head_start=1000",
    "both": "learner.interventions=lagrange agent.multiplier=10 agent.gripper=discrete agent.toggle_penalty=0.01",
}
"""What is made of corrections, each against `plain`; the gripper against the continuous one, and both together; and
updates on demonstrations before the first step."""
ALONE = {"alone": "human=none", "bc": "human=none agent=bc"}
"""Demonstrations and nobody at the robot."""


def _intervention_rows() -> dict[str, str]:
    """Every task with every human under every scheme: pick_cube-lagrange-noisy and so on."""
    rows = {}
    for task, budget in TASKS.items():
        # The peg is in the hand from the start: there is no gripper to decide on.
        schemes = {
            name: words for name, words in SCHEMES.items() if task != "peg_insert" or name not in ("discrete", "both")
        }
        named = dict(ALONE)
        for scheme, skill in itertools.product(schemes, SKILLS):
            human = "human=script" if skill == "expert" else f"human=script human.skill={skill}"
            named[f"{scheme}-{skill}"] = f"{human} {schemes[scheme]}".strip()
        for name, words in named.items():
            rows[f"{task}-{name}"] = f"task={task} obs=state {budget} {words}".strip()
    return rows


ROWS |= _intervention_rows()

COLUMNS = {
    "env_steps": "steps",
    "human_steps": "of them human",
    "steps_to_80": "to 80 %",
    "steps_to_95": "to 95 %",
    "human_steps_to_95": "human steps to 95 %",
    "gripper_toggles_per_episode": "toggles an episode",
    "mean_steps": "steps a success",
}
"""Keys of a run's summary, as the table calls them."""


def main() -> None:
    """Run what is asked for and print the table."""
    options = _options()
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= options.jobs <= len(cores):
        sys.exit(f"error: --jobs must be 1 to {len(cores)}, the cores that this process may use, got {options.jobs}")
    free: queue.SimpleQueue[int] = queue.SimpleQueue()
    for core in cores[: options.jobs]:
        free.put(core)
    print(f"| | success of 100 | {' | '.join(COLUMNS.values())} | minutes |\n|{'---|' * (len(COLUMNS) + 3)}")
    rows, failures = [], []
    # What a thread is pinned to, the processes that it starts inherit.
    with ThreadPoolExecutor(options.jobs, initializer=lambda: _pin(free) if options.jobs > 1 else None) as pool:
        runs = {
            name: [
                pool.submit(_result, name, seed, options.runs / f"{name}-{seed}", options.words)
                for seed in options.seeds
            ]
            for name in options.rows
        }
        for name, futures in runs.items():
            results = _finished(futures, failures)
            command = " ".join(["handrail sim", ROWS[name], *options.words, "seed=<seed>"])
            rows.append({"name": name, "command": command, "seeds": results})
            if results:
                print(_line(name, results), flush=True)
    if options.json is not None:
        document = {"name": "experiments", "machine": _machine(), "rows": rows, "ratios": _ratios(rows)}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    if failures:
        sys.exit("\n".join(f"error: {failure}" for failure in failures))
    if options.plot is not None:
        _plot(options.rows, options.seeds, options.runs, options.plot)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--words", nargs="*", default=[], help="more key=value words for every row, e.g. agent.utd=4")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on a core of its own")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="draw success and human share over steps, a panel per row")
    return parser.parse_args()


def _pin(free: "queue.SimpleQueue[int]") -> None:
    os.sched_setaffinity(0, {free.get()})


def _finished(futures: list[Future[dict]], failures: list[str]) -> list[dict]:
    """The results of the runs that ended well; what ended otherwise is added to `failures`."""
    results = []
    for future in futures:
        try:
            results.append(future.result())
        except RuntimeError as error:
            failures.append(str(error))
    return results


def _result(name: str, seed: int, run: Path, more: list[str]) -> dict:
    if not (run / "eval.json").exists():
        run.parent.mkdir(parents=True, exist_ok=True)
        words = [*ROWS[name].split(), *more, f"seed={seed}", f"run={run}"]
        log_path = run.with_suffix(".log")
        with log_path.open("w") as log:
            command = [sys.executable, "-m", "handrail.cli", "sim", *words]
            code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        if code != 0:
            raise RuntimeError(f"handrail sim {' '.join(words)} ended with {code}; its output: {log_path}")
    summary = json.loads((run / "summary.json").read_text())
    # A run of an earlier version has not counted everything.
    kept = {key: summary.get(key) for key in (*COLUMNS, "gradient_steps", "wall_s", "success", "link")}
    return {"seed": seed, **kept}


def _line(name: str, results: list[dict]) -> str:
    success = " ".join(f"{result['success']['rate']:.2f}" for result in results)
    minutes = " ".join(f"{result['wall_s'] / 60:.1f}" for result in results)
    return f"| {name} | {success} | {' | '.join(_median(key, results) for key in COLUMNS)} | {minutes} |"


def _median(key: str, results: list[dict]) -> str:
    """Of the seeds; `never`, or a dash where nobody counted, as soon as one of them has no number."""
    values = [result[key] for result in results]
    if None in values:
        return "never" if "_to_" in key else "-"
    return f"{statistics.median(values):.1f}".removesuffix(".0")


def _ratios(rows: list[dict]) -> dict[str, float]:
    """Human steps to 95 % under each scheme against plain, with the same human at the same task."""
    medians = {}
    for row in rows:
        counts = [result["human_steps_to_95"] for result in row["seeds"]]
        if counts and None not in counts:
            medians[row["name"]] = statistics.median(counts)
    ratios = {}
    for name, count in medians.items():
        task, _, rest = name.partition("-")
        plain = f"{task}-plain-{rest.partition('-')[2]}"
        if name != plain and medians.get(plain):
            ratios[f"human steps to 95 %: {name} / {plain}"] = round(count / medians[plain], 3)
    return ratios


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
