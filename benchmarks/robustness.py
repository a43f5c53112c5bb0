"""How much of its success does a policy that sees keep in other light, under a moved camera, beside other things?

    python benchmarks/robustness.py --runs plain=runs/a varied=runs/b --json robustness.json --plot robustness.png

Every run's final policy is judged on the same fresh episodes, alone, under each change by itself and under all of them.
The unchanged world is the plain scene's; the changes go further than those of scene=varied in training.
"""

import argparse
import colorsys
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# This folder's learner.py and wire.py would be taken for the packages.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import mujoco
import numpy as np
import report
from rich.console import Console
from rich.progress import track

from actor.evaluate import run_alone
from actor.runs import load_run
from envs.sim import scene
from envs.sim.cell import SimCell
from envs.tabletop import upright
from envs.tasks import build
from envs.workcell import WorkcellEnv
from handrail.rendering import rendering_env
from wire.statistics import wilson_interval
from wire.store import StepStore

_SHIFT_M, _TURN_DEG = 0.02, 3.0
_PARKED_M = ((-0.2, -0.5), (-0.2, 0.5))

Look = dict[str, np.ndarray]
"""Names of a model's arrays -> what they held when it was compiled."""
_ARRAYS = ("geom_rgba", "light_dir", "light_diffuse", "cam_pos", "cam_quat")


def light(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    """The key light up to 50 degrees off the vertical along each axis (training: 35); half to 1.5 times as bright."""
    key = model.light(scene.KEY_LIGHT).id
    direction = np.array([*rng.uniform(-1.2, 1.2, 2), -1.0])
    model.light_dir[key] = direction / np.linalg.norm(direction)
    model.light_diffuse[:] *= rng.uniform(0.5, 1.5)


def knock(model: mujoco.MjModel, rng: np.random.Generator, name: str) -> None:
    """2 cm in any direction (training: up to 1 cm along each axis) and 3 degrees about any axis (training: none)."""
    scene.knock_camera(model, name, rng, shift_m=_SHIFT_M, turn_rad=np.radians(_TURN_DEG))


def front_camera(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    """The camera before the robot, knocked."""
    knock(model, rng, scene.CAMERAS["front"])


def both_cameras(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    """That one and the one on the wrist, which training never moves."""
    for name in scene.CAMERAS.values():
        knock(model, rng, name)


def table(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    """A table of any colour."""
    model.geom_rgba[model.geom("table").id, :3] = rng.uniform(0.1, 0.9, 3)


def distractors(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    """Two boxes beside the task's own things, of any hue but theirs; where they stand the cell draws."""
    for name in scene.DISTRACTORS:
        shade = rng.uniform(0.14, 0.72), rng.uniform(0.5, 1.0), rng.uniform(0.4, 0.9)
        model.geom(name).rgba[:] = [*colorsys.hsv_to_rgb(*shade), 1.0]


def everything(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    """All of it at once."""
    for change in (light, both_cameras, table, distractors):
        change(model, rng)


CHANGES: dict[str, Callable[[mujoco.MjModel, np.random.Generator], None]] = {
    "nothing": lambda model, rng: None,
    "light": light,
    "front camera": front_camera,
    "both cameras": both_cameras,
    "table": table,
    "distractors": distractors,
    "everything": everything,
}


class ChangedCell(SimCell):
    """The simulated cell, in which a change of ours stands where the varied scene's would."""

    def __init__(self, task: Any, change: str, *, image_size: int) -> None:
        self._change, self._compiled = change, {}
        super().__init__(task, obs="pixels", scene_name="varied", image_size=image_size)

    def change_look(self, rng: np.random.Generator, taken_m: list[np.ndarray]) -> None:
        """As compiled, without distractors, but for the change."""
        for name in _ARRAYS:
            array = getattr(self.model, name)
            array[:] = self._compiled.setdefault(name, array.copy())
        for name in scene.DISTRACTORS:
            self.model.geom(name).rgba[3] = 0.0
        CHANGES[self._change](self.model, rng)
        stand = self._change in ("distractors", "everything")
        places = scene.scatter(rng, len(scene.DISTRACTORS), taken_m) if stand else [np.array(p) for p in _PARKED_M]
        for name, xy in zip(scene.DISTRACTORS, places, strict=True):
            self._place(name, upright(xy, scene.DISTRACTOR_HALF_M, rng.uniform(0.0, np.pi / 2)))


def judge(run: Path, change: str, episodes: int, console: Console) -> dict[str, Any]:
    """Success of a run's policy under a change."""
    with StepStore.read(run / "steps.sqlite") as store:
        spec = store.spec
    task = build(spec.task)
    cell = ChangedCell(task, change, image_size=spec.observation["front"].shape[0])
    env = WorkcellEnv(cell, task)
    try:
        policy = load_run(run, env, explores=False)
        seeds = track(range(10_000, 10_000 + episodes), f"{run.name}: {change}", console=console, transient=True)
        won = sum(run_alone(env, policy, seed=seed).success for seed in seeds)
    finally:
        env.close()
    return {"rate": won / episodes, "ci95": list(wilson_interval(won, episodes)), "episodes": episodes}


def draw(path: Path, rows: list[dict[str, Any]], names: list[str]) -> None:
    """A group of bars per change, a bar per run, with its interval."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 3.6))
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        shown = [row for row in rows if row["run"] == name]
        rates = np.array([row["rate"] for row in shown])
        low, high = np.array([row["ci95"] for row in shown]).T
        at = np.arange(len(shown)) + (i - (len(names) - 1) / 2) * width
        axes.bar(at, rates, width, label=name, yerr=[rates - low, high - rates], error_kw={"linewidth": 0.8})
    axes.set_xticks(range(len(CHANGES)), list(CHANGES))
    axes.set(ylabel="success", ylim=(0, 1.05))
    axes.legend(frameon=False, fontsize=8, ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def main() -> None:
    """Judge what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME=FOLDER", help="finished runs from pixels")
    parser.add_argument("--changes", nargs="+", choices=list(CHANGES), default=list(CHANGES))
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--plot", type=Path, help="picture to draw")
    told = parser.parse_args()
    console, rows = Console(stderr=True), []
    named = dict(pair.split("=", 1) for pair in told.runs)
    for name, folder in named.items():
        for change in told.changes:
            rows.append({"run": name, "change": change, **judge(Path(folder), change, told.episodes, console)})
            print(f"{name:12} {change:14} {rows[-1]['rate']:.2f}", flush=True)
    kept = {row["run"]: row["rate"] for row in rows if row["change"] == "nothing"}
    ratios = {
        f"{row['run']}: success under {row['change']} / nothing": row["rate"] / kept[row["run"]]
        for row in rows
        if row["change"] != "nothing" and kept.get(row["run"])
    }
    report.write(told.json, "robustness", rows, ratios)
    if told.plot is not None:
        draw(told.plot, rows, list(named))


if __name__ == "__main__":
    if os.environ != (wanted := os.environ | rendering_env()):
        # The loader reads where the libraries lie only when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], wanted)
    main()
