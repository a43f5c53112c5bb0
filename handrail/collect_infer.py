"""Collect and infer, in rounds: train candidates on everything there is, judge them, collect with the best, again.

After Lampe et al. 2023, "Mastering Stacking of Diverse Shapes with Large-Scale Iterative Reinforcement Learning on Real
Robots" (arXiv 2312.11374): the robot collects whole batches of episodes, and what is tried is tried offline, on all of
them.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from handrail import settings, values
from handrail.local import run_room, write_json
from wire.errors import UserError

_KEPT = ("policy.weights", "steps.sqlite")


def collect_infer(config: DictConfig, words: list[str]) -> int:
    """Go through the rounds; what each found is in rounds.json, the best policy in the run itself."""
    run = _new_run(config)
    write_json(run / "config.json", {"verb": "collect-infer", "words": [w for w in words if not w.startswith("run=")]})
    code = _record_demonstrations(config, run)
    rounds: list[dict[str, Any]] = []
    best: dict[str, Any] | None = None
    for number in range(1, config.rounds + 1):
        if best is not None:
            code = code or _collect(config, run, number, best)
        for index in range(config.candidates):
            code = code or _train(config, run, number, index) or _judge(config, run, number, index)
        if code:
            return code
        candidates = [_verdict(_candidate(run, number, index)) for index in range(config.candidates)]
        # All were judged on the same fresh episodes, those of earlier rounds too; the first of equals stays.
        best = max([*([] if best is None else [best]), *candidates], key=lambda found: found["rate"])
        rounds.append({"round": number, "candidates": candidates, "promoted": best["run"]})
        write_json(run / "rounds.json", rounds)
        sys.stdout.write(f"round {number}: {_headline(best)}\n")
        for name in _KEPT:
            shutil.copy(Path(best["run"]) / name, run / name)
    sys.stdout.write(f"rounds: {run / 'rounds.json'}\njudge it: handrail eval run={run}\n")
    return 0


def _new_run(config: DictConfig) -> Path:
    """The folder of the run; raises UserError where these rounds cannot be."""
    for key in ("rounds", "candidates"):
        if config[key] < 1:
            raise UserError(f"{key} must be >= 1, got {config[key]}")
    if config.demos == "none" and not config.archive:
        raise UserError("there is nothing to begin with; set demos=script:20, demos=<file> or archive=<folder of runs>")
    run = values.new_run(config)
    if (run / "round-1").exists():
        raise UserError(f"{run} holds rounds already, and they are not gone on with; name another folder with run=")
    return run


def _headline(best: dict[str, Any]) -> str:
    low, high = best["ci95"]
    share = f"success {best['rate']:.0%} of {best['episodes']} episodes (95 % interval {low:.0%} to {high:.0%})"
    return f"best is {best['run']}, {share}"


def _candidate(run: Path, number: int, index: int) -> Path:
    return run / f"round-{number}" / f"candidate-{index + 1}"


def _data(config: DictConfig, run: Path) -> list[str]:
    collected = [str(run / "collected")] if (run / "collected").exists() else []
    path = None if values.scripted_episodes(config.demos) is not None else values.demos_path(config.demos)
    return [*values.archive_paths(config.archive), *([] if path is None else [str(path)]), *collected]


def _record_demonstrations(config: DictConfig, run: Path) -> int:
    if values.scripted_episodes(config.demos) is None:
        return 0
    out = run / "collected" / "demonstrations" / "steps.sqlite"
    out.parent.mkdir(parents=True, exist_ok=True)
    told = settings.script_settings(config, settings.env_config(config), out)
    return run_room(["actor", "record", str(write_json(run / "record_config.json", settings.plain(told)))])


def _collect(config: DictConfig, run: Path, number: int, best: dict[str, Any]) -> int:
    told = settings.collect_settings(
        config,
        policy=Path(best["run"]),
        out=run / "collected" / f"round-{number}" / "steps.sqlite",
        seed=config.seed + 10_000 * number,
    )
    return run_room(["actor", "collect", str(write_json(run / "collect_config.json", settings.plain(told)))])


def _train(config: DictConfig, run: Path, number: int, index: int) -> int:
    """A candidate: new networks, another seed, all data."""
    folder = _candidate(run, number, index)
    told = settings.offline_settings(
        config, run=folder, archive=_data(config, run), seed=config.seed + 100 * number + index
    )
    return run_room(["learner", str(write_json(folder / "learner_config.json", settings.plain(told)))])


def _judge(config: DictConfig, run: Path, number: int, index: int) -> int:
    folder = _candidate(run, number, index)
    told = settings.candidate_evaluation(config, folder)
    return run_room(["actor", "eval", str(write_json(folder / "eval_config.json", settings.plain(told)))])


def _verdict(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "eval.json").read_text())
    return {"run": str(folder), **{key: found[key] for key in ("episodes", "successes", "rate", "ci95")}}
