"""Offline algorithms on pools of different quality, and what fine-tuning does to what they learned.

    python benchmarks/offline.py --seeds 0 1 2 --jobs 2 --json offline.json

Pools: `random` (an untrained policy), `mixed` (that and a twentieth as many steps of the expert), `medium` (a training
run with nobody's help, up to where it has begun to succeed) and `expert` (noisy scripted experts, successes only).
Finished runs in --runs are read.
"""

import argparse
import json
import shutil
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import commands
import report
import success

POOLS = ("random", "mixed", "medium", "expert")
AGENTS = {
    "bc": "agent=bc",
    "bc, RW": "agent=bc learner.weighting=return",
    "iql": "agent=iql",
    "iql, RW": "agent=iql learner.weighting=return",
    "iql, AW": "agent=iql learner.weighting=advantage",
    "td3bc": "agent=td3bc",
    "td3bc, RW": "agent=td3bc learner.weighting=return",
    "prdc": "agent=td3bc agent.neighbours=true",
    "cql": "agent=cql",
    "calql": "agent=calql",
    "calql, RW": "agent=calql learner.weighting=return",
}
TUNED = ("cql", "calql")
"""What goes on online, to see whether success dips."""
COMMON = "task={task} obs=state steps={steps} learner.tensorboard=false {more}"
OFFLINE = f"learner mode=offline {COMMON} learner.evaluate_period=0"
ONLINE = f"sim {COMMON} human=none demos=none eval_episodes=100"


def main() -> None:
    """Run what is asked for, print the table and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--pools", nargs="+", choices=POOLS, default=list(POOLS))
    parser.add_argument("--agents", nargs="+", choices=list(AGENTS), default=list(AGENTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--task", default="pick_cube")
    parser.add_argument("--steps", type=int, default=5000, help="gradient steps of every offline run")
    parser.add_argument("--pool-steps", type=int, default=2000, help="of the pools random and medium")
    parser.add_argument("--tune-steps", type=int, default=0, help="environment steps of fine-tuning; 0 is none")
    parser.add_argument("--more", default="", help="words for every offline run, e.g. agent.hidden=[16]")
    parser.add_argument("--runs", type=Path, default=Path("runs/offline"))
    told = parser.parse_args()
    for seed in told.seeds:
        make_pools(told, seed)
    cells = [(pool, agent, seed) for pool in told.pools for agent in told.agents for seed in told.seeds]
    found = dict(zip(cells, commands.each(told.jobs, [partial(train, told, *cell) for cell in cells]), strict=True))
    rows = []
    for pool in told.pools:
        for agent in told.agents:
            rates = [found[pool, agent, seed]["eval"]["rate"] for seed in told.seeds]
            seeds = [{"seed": seed, "success": rate} for seed, rate in zip(told.seeds, rates, strict=True)]
            rows.append(
                {"pool": pool, "agent": agent, "words": AGENTS[agent], "success": median(rates), "seeds": seeds}
            )
            print(json.dumps(rows[-1]), flush=True)
    if told.tune_steps:
        tuned = [(agent, seed) for agent in TUNED if agent in told.agents for seed in told.seeds]
        curves = commands.each(told.jobs, [partial(tune, told, *each) for each in tuned])
        rows += [
            {"fine-tuned": agent, "seed": seed, **curve} for (agent, seed), curve in zip(tuned, curves, strict=True)
        ]
    ratios = {f"success, {row['pool']}: {row['agent']}": float(row["success"]) for row in rows if "pool" in row}
    report.write(told.json, "offline", rows, ratios, steps=told.steps, task=told.task)


def make_pools(told: argparse.Namespace, seed: int) -> None:
    """The pools of a seed, unless they are there."""
    folder = told.runs / f"pools-{seed}"
    common = f"task={told.task} obs=state seed={seed}"
    online = f"sim {common} steps={told.pool_steps} human=none eval_episodes=1 learner.tensorboard=false"
    # Random: nothing is ever learned from, so the first weights act to the end.
    makers = {
        "random": f"{online} demos=none agent=sac learner.min_online=200000 run={folder}/random",
        "medium": f"{online} run={folder}/medium",
        "expert": f"demos record --script {common} episodes=60 noise=0.3 out={folder}/expert/steps.sqlite",
        "pinch": f"demos record --script {common} episodes={max(1, told.pool_steps // 400)} noise=0.3 "
        f"out={folder}/pinch.sqlite",
    }
    needed = {part for pool in told.pools for part in (("random", "pinch") if pool == "mixed" else (pool,))}
    for name in sorted(needed):
        words = makers[name]
        target = folder / (f"{name}.sqlite" if name == "pinch" else f"{name}/steps.sqlite")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            commands.handrail(*words.split(), log=folder / f"{name}.log")
    sources = {"random": folder / "random" / "steps.sqlite", "pinch": folder / "pinch.sqlite"}
    for name, source in sources.items() if "mixed" in told.pools else ():
        copy = folder / "mixed" / name / "steps.sqlite"
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)


def train(told: argparse.Namespace, pool: str, agent: str, seed: int) -> dict[str, Any]:
    """One offline run and its evaluation over 100 episodes."""
    words = OFFLINE.format(task=told.task, steps=told.steps, more=told.more).split()
    archive = f"archive={told.runs}/pools-{seed}/{pool}"
    return commands.finished(_folder(told, pool, agent, seed), *words, *AGENTS[agent].split(), archive, f"seed={seed}")


def tune(told: argparse.Namespace, agent: str, seed: int) -> dict[str, Any]:
    """Go on online from what was learned on the pool `medium`: success before, at its worst, and at the end."""
    start = _folder(told, "medium", agent, seed)
    words = ONLINE.format(task=told.task, steps=told.tune_steps, more=told.more).split()
    archive = f"archive={told.runs}/pools-{seed}/medium"
    run = told.runs / f"tuned-{agent}-{seed}"
    end = commands.finished(run, *words, *AGENTS[agent].split(), archive, f"init={start}", f"seed={seed}")
    curve = success.curve_of(run)
    before = json.loads((start / "eval.json").read_text())["rate"]
    return {
        "offline": before,
        "lowest_of_20": min((rate for _, rate in curve), default=None),
        "final": end["eval"]["rate"],
        "curve": curve[:: max(1, len(curve) // 20)],
    }


def _folder(told: argparse.Namespace, pool: str, agent: str, seed: int) -> Path:
    return told.runs / f"{pool}-{agent.replace(', ', '_')}-{seed}"


if __name__ == "__main__":
    main()
