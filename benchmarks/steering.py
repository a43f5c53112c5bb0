"""A policy that is served elsewhere, steered by critics that learned from other data (V-GPS): what do they add?

    python benchmarks/steering.py --seeds 0 1 2 --jobs 2 --json steering.json

For every seed a policy cloned from few demonstrations, noise on its proposals, and critics of other runs, online and
offline. Finished runs and evaluations in --runs are read, not made again.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from statistics import median

import commands
import report

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from handrail.local import free_port

COMMON = "task={task} obs=state learner.tensorboard=false seed={seed} {more}"
POLICY = f"sim {COMMON} agent=bc human=none demos=script:10 steps={{policy_steps}} eval_episodes=1"
ONLINE = f"sim {COMMON} steps={{steps}} eval_episodes=1"
OFFLINE = f"learner mode=offline {COMMON} learner.evaluate_period=0"
CRITICS = {
    "rlpd": ONLINE,
    "batch_norm": f"{ONLINE} agent.batch_norm=true",
    "categorical": f"{ONLINE} agent.categorical=true",
    "iql": f"{OFFLINE} agent=iql archive={{rlpd}} steps={{offline_steps}}",
}
ROWS = {
    "alone": (None, ""),
    "one of ten, drawn blindly": ("rlpd", "external.candidates=10 external.temperature=1000000"),
    "rlpd, best of 10": ("rlpd", "external.candidates=10"),
    "rlpd, best of 50": ("rlpd", "external.candidates=50"),
    "batch_norm, best of 10": ("batch_norm", "external.candidates=10"),
    "categorical, best of 10": ("categorical", "external.candidates=10"),
    "iql, best of 10": ("iql", "external.candidates=10"),
    "iql, best of 50": ("iql", "external.candidates=50"),
}


def main() -> None:
    """Run what is asked for, print the table and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="seeds at once")
    parser.add_argument("--task", default="pick_cube")
    parser.add_argument("--steps", type=int, default=2000, help="of the critics' online runs")
    parser.add_argument("--offline-steps", type=int, default=5000, help="gradient steps of the offline critics")
    parser.add_argument("--policy-steps", type=int, default=300, help="of the policy's run")
    parser.add_argument("--noise", type=float, default=0.5, help="on every proposal, in action units")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--more", default="", help="words for every run, e.g. agent.hidden=[16]")
    parser.add_argument("--runs", type=Path, default=Path("runs/steering"))
    told = parser.parse_args()
    found = commands.each(told.jobs, [partial(rates_of, told, seed) for seed in told.seeds])
    rows = [{"name": name, "success": [rates[name] for rates in found]} for name in told.rows]
    for row in rows:
        print(json.dumps(row), flush=True)
    ratios = {f"success: {row['name']}": median(row["success"]) for row in rows}
    report.write(told.json, "steering", rows, ratios, task=told.task, noise=told.noise, seeds=told.seeds)


def rates_of(told: argparse.Namespace, seed: int) -> dict[str, float]:
    """Row -> success of one seed."""
    sizes = {key: getattr(told, key) for key in ("task", "more", "steps", "policy_steps", "offline_steps")}
    folders = {name: told.runs / f"{name}-{seed}" for name in ("bc", *CRITICS)}

    def run(name: str, words: str) -> None:
        commands.finished(folders[name], *words.format(seed=seed, rlpd=folders["rlpd"], **sizes).split())

    run("bc", POLICY)
    needed = {ROWS[name][0] for name in told.rows}
    # What IQL learns from.
    needed |= {"rlpd"} if "iql" in needed else set()
    for critics, words in CRITICS.items():
        if critics in needed:
            run(critics, words)
    address = f"tcp://127.0.0.1:{free_port()}"
    served = f"policy serve run={folders['bc']} noise={told.noise} seed={seed} bind={address} candidates=50"
    with commands.beside(*served.split(), log=told.runs / f"served-{seed}.log"):
        return {name: _judged(told, seed, name, address, folders) for name in told.rows}


def _judged(told: argparse.Namespace, seed: int, name: str, address: str, folders: dict[str, Path]) -> float:
    critics, how = ROWS[name]
    out = told.runs / f"{name.replace(', ', '-').replace(' ', '_')}-{seed}.json"
    if not out.exists():
        asked = f"eval policy=external policy_address={address} task={told.task} obs=state episodes={told.episodes}"
        steered = "" if critics is None else f"steer={folders[critics]} {how}"
        commands.handrail(*asked.split(), *steered.split(), f"json={out}", log=out.with_suffix(".log"))
    return json.loads(out.read_text())["rate"]


if __name__ == "__main__":
    main()
