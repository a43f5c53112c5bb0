"""Replay Across Experiments: how many environment steps a second run saves by the archive of the first.

    python benchmarks/rae.py --seeds 0 1 2 --jobs 2 --json rae.json

For every seed a first run, then second ones with another seed and new networks: without the archive (scratch), with it,
and with pools that the paper warns of. Finished runs in --runs are read, not made again.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import commands
import report
import success

BASE = "sim task={task} obs=state steps={steps} eval_episodes=100 learner.tensorboard=false {more}"
ROWS = {
    "scratch": "",
    # What its updates give without the archive: from demonstrations alone.
    "scratch, head start": "learner.head_start=1000",
    # A head start, then 50 % online, 25 % demonstrations and corrections, 25 % the first run.
    "archive": "archive={first}",
    "archive, no head start": "archive={first} learner.head_start=0",
    "archive, 75 % online": "archive={first} agent.prior_share=0.25",
    "archive, return-weighted": "archive={first} learner.weighting=return",
    # Nobody helps the second run: all that it has besides its own steps is the pool.
    "alone, archive": "archive={first} demos=none human=none",
    "alone, archive, 75 % online": "archive={first} demos=none human=none agent.prior_share=0.25",
    "alone, experts": "archive={experts} demos=none human=none",
    "alone, experts, 75 % online": "archive={experts} demos=none human=none agent.prior_share=0.25",
}
_SECOND = 1000
"""Added to a seed for the second runs."""


def main() -> None:
    """Run what is asked for, print the table and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--plot", type=Path, help="picture to draw")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--task", default="pick_cube")
    parser.add_argument("--steps", type=int, default=2000, help="of every run")
    parser.add_argument("--more", default="", help="words for every run, e.g. agent.hidden=[16]")
    parser.add_argument("--runs", type=Path, default=Path("runs/rae"))
    told = parser.parse_args()
    words = BASE.format(task=told.task, steps=told.steps, more=told.more).split()

    def first_of(seed: int) -> dict[str, Any]:
        experts = told.runs / f"experts-{seed}.sqlite"
        if not experts.exists():
            shown = f"demos record --script task={told.task} obs=state episodes=20 noise=0 seed={seed} out={experts}"
            commands.handrail(*shown.split(), log=told.runs / f"experts-{seed}.log")
        return commands.finished(told.runs / f"first-{seed}", *words, f"seed={seed}")

    def folder_of(name: str, seed: int) -> Path:
        return told.runs / f"{name.replace(' ', '_').replace(',', '').replace('%', '')}-{seed}"

    def second(name: str, seed: int) -> dict[str, Any]:
        pools = {"first": told.runs / f"first-{seed}", "experts": told.runs / f"experts-{seed}.sqlite"}
        own = ROWS[name].format(**pools).split()
        return commands.finished(folder_of(name, seed), *words, f"seed={seed + _SECOND}", *own)

    commands.each(told.jobs, [partial(first_of, seed) for seed in told.seeds])
    found = commands.each(told.jobs, [partial(second, name, seed) for name in told.rows for seed in told.seeds])
    rows = []
    for i, name in enumerate(told.rows):
        results = found[i * len(told.seeds) : (i + 1) * len(told.seeds)]
        rows.append(_row(name, told.seeds, results))
        print(json.dumps(rows[-1]), flush=True)
    steps = {row["name"]: [each["steps_to_80"] or told.steps for each in row["seeds"]] for row in rows}
    scratch = steps.get("scratch", [told.steps])
    ratios = {f"steps to 80 %: {name} / scratch": median(found) / median(scratch) for name, found in steps.items()}
    if told.plot is not None:
        curves = {name: [success.curve_of(folder_of(name, seed)) for seed in told.seeds] for name in told.rows}
        success.draw(told.plot, curves)
    report.write(told.json, "rae", rows, ratios, steps=told.steps, task=told.task)


def _row(name: str, seeds: list[int], results: list[dict[str, Any]]) -> dict[str, Any]:
    keys = ("steps_to_80", "steps_to_95", "env_steps", "human_steps")
    figures = [
        {"seed": seed, **{key: result[key] for key in keys}, "success": result["eval"]["rate"]}
        for seed, result in zip(seeds, results, strict=True)
    ]
    return {"name": name, "words": ROWS[name], "seeds": figures}


if __name__ == "__main__":
    main()
