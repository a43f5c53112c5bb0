"""A reward learned from noisy preferences: how it ranks states, and what an agent makes of it on a random pool.

    python benchmarks/preferences.py --seeds 0 1 2 --json preferences.json

A script answers in a vision-language model's place, as wrongly and as seldom as was published of one (RL-VLM-F, Wang
et al. 2024, figure on label accuracy): `drawer` and `soccer` are shares of right answers, for pairs from the least to
the most apart.
The pool is what a wandering arm experienced; its recorded rewards and ends are not looked at, but by the arm `task`.
Finished commands in --runs are not repeated.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import commands
import report

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

LABELLERS = {
    "drawer": "accuracy=[0.42,0.80] abstain=0.3",
    "soccer": "accuracy=[0.45,1.0] abstain=0.3",
    "true": "accuracy=[1,1] abstain=0",
}
ARMS = ("learned", "average", "task")
"""With the learned reward; with its mean for every step, which tells nothing apart; with the task's own."""


def main() -> None:
    """Run what is asked for, print the table and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--tasks", nargs="+", default=["reach"], choices=("reach", "pick_cube"))
    parser.add_argument("--labellers", nargs="+", choices=list(LABELLERS), default=["drawer", "soccer"])
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS), help="of the first labeller, on reach")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--episodes", type=int, default=150, help="of the pool")
    parser.add_argument("--steps", type=int, default=3000, help="gradient steps of the agent")
    parser.add_argument("--agent", default="agent=iql", help="words of the agent that learns offline")
    parser.add_argument("--fit", default="", help="words for rewards train, e.g. iterations=200")
    parser.add_argument("--runs", type=Path, default=Path("runs/preferences"))
    told = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for task in told.tasks:
        for labeller in told.labellers:
            found = [rank(told, task, labeller, seed) for seed in told.seeds]
            row = {"task": task, "labeller": labeller, "pairs": told.pairs, "seeds": found}
            rows.append(row | {"spearman": report.spread(each["spearman"] for each in found)})
            print(json.dumps(rows[-1]), flush=True)
    for arm in told.arms if "reach" in told.tasks else ():
        rates = [learn(told, arm, seed) for seed in told.seeds]
        rows.append(
            {"arm": arm, "agent": told.agent, "labeller": told.labellers[0], "success": rates, "mean": mean(rates)}
        )
        print(json.dumps(rows[-1]), flush=True)
    ratios = {f"Spearman, {row['task']}, {row['labeller']}": row["spearman"]["median"] for row in rows if "task" in row}
    ratios |= {f"success, {row['agent']}, {row['arm']}": row["mean"] for row in rows if "arm" in row}
    report.write(told.json, "preferences", rows, ratios, pairs=told.pairs, episodes=told.episodes, steps=told.steps)


def pool(told: argparse.Namespace, task: str, seed: int, episodes: int) -> Path:
    """Frames, poses and true progress of a wandering arm, or, of a cube, of a clumsy script."""
    path = told.runs / f"{task}-{seed}" / "steps.sqlite"
    driver = "random" if task == "reach" else "clumsy"
    words = f"rewards collect task={task} driver={driver} episodes={episodes} objects=true seed={seed} out={path}"
    _once(path, words)
    return path


def model(told: argparse.Namespace, task: str, labeller: str, seed: int) -> Path:
    """A reward that was learned from a labeller's answers about a pool."""
    runs, folder = pool(told, task, seed, told.episodes), told.runs / f"model-{task}-{labeller}-{told.pairs}-{seed}"
    answers = folder.with_suffix(".sqlite")
    ask = f"rewards prefer runs=[{runs}] out={answers} answerer=script pairs={told.pairs} seed={seed}"
    _once(answers, f"{ask} {LABELLERS[labeller]}")
    fit = f"rewards train kind=preference runs=[{runs}] preferences={answers} out={folder} seed={seed} {told.fit}"
    _once(folder / "model.json", fit)
    return folder


def rank(told: argparse.Namespace, task: str, labeller: str, seed: int) -> dict[str, Any]:
    """How a learned reward ranks the states of episodes that it has not seen, against their true progress."""
    folder, unseen = model(told, task, labeller, seed), pool(told, task, 1000 + seed, max(10, told.episodes // 5))
    _once(folder / "audit.json", f"rewards audit model={folder} runs=[{unseen}] json={folder / 'audit.json'}")
    figures = json.loads((folder / "audit.json").read_text())
    facts = json.loads((folder / "model.json").read_text())["facts"]
    return {"seed": seed, **{key: figures[key] for key in ("spearman", "spearman_within_episodes", "n")}} | {
        "answers": facts["answers"],
        "agreement": facts["figures"]["agreement"],
        "seconds": facts["seconds"],
    }


def learn(told: argparse.Namespace, arm: str, seed: int) -> float:
    """Success of the agent on the pool with one arm's rewards, in 100 fresh episodes."""
    labeller = told.labellers[0]
    folder, archive = model(told, "reach", labeller, seed), pool(told, "reach", seed, told.episodes)
    _once(folder / "relabelled", f"rewards relabel model={folder} runs=[{archive}]", touch=True)
    reward = {"task": "task", "learned": f"preference:{folder}"}.get(arm) or f"preference:{average(folder, archive)}"
    words = (
        f"learner mode=offline {told.agent} task=reach obs=state learner.tensorboard=false learner.evaluate_period=0"
    )
    # A folder's name is a word of the front door, too.
    name = re.sub(r"[^\w.]+", "-", told.agent.replace("agent.", "").replace("agent=", "")).strip("-")
    run = told.runs / f"{name}-{arm}-{labeller}-{told.pairs}-{told.steps}-{seed}"
    more = (f"archive={archive.parent}", f"steps={told.steps}", f"seed={seed}", f"reward={reward}")
    return float(commands.finished(run, *words.split(), *more)["eval"]["rate"])


def average(folder: Path, archive: Path) -> Path:
    """What gives every step the mean of a learned reward, as a model that never was."""
    from wire.labels import REWARD, append_labels, labels_since

    version = json.loads((folder / "model.json").read_text())["version"]
    out = folder.with_name(f"{folder.name}-average")
    if not (out / "model.json").exists():
        labels = [each for each in labels_since(archive)[0] if each.kind == REWARD and each.version == version]
        value = mean(label.value for label in labels)
        append_labels(archive, [label._replace(value=value, version=f"average-{version}") for label in labels])
        out.mkdir(parents=True, exist_ok=True)
        (out / "model.json").write_text(json.dumps({"kind": "preference", "version": f"average-{version}"}))
    return out


def _once(made: Path, words: str, *, touch: bool = False) -> None:
    """Carry out a command unless what it makes is there."""
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        commands.handrail(*words.split(), log=made.with_name(f"{made.name}.log"))
        if touch:
            made.touch()


if __name__ == "__main__":
    main()
