"""Recorded episodes as lines: where the tool went, what the gripper was told, who drove."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wire.errors import UserError
from wire.quality import Recorded, gripper_dims, motion_dims
from wire.specs import EnvSpec
from wire.types import Source, Step

COLOURS = {Source.POLICY: "#2166ac", Source.HUMAN: "#d95f02", Source.DEMO: "#1b7837", Source.SCRIPT: "#7b3294"}
"""Who drove."""
NAMES = {Source.POLICY: "policy", Source.HUMAN: "human", Source.DEMO: "demonstration", Source.SCRIPT: "script"}
_PART = re.compile(r"(?P<name>.+?)(?: \[(?P<n>\d+)\])?$")
_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Path3:
    """Where the tool of an episode went."""

    points: np.ndarray
    """Shape (steps, 3)."""
    measured: bool
    """By the robot, in metres; else the sum of the actions, in their units, because no observation says."""


def tool_path(spec: EnvSpec, steps: Sequence[Step]) -> Path3 | None:
    """Where the tool went; None where neither an observation nor the action's names tell.

    An observation tells by its unit, which lists its parts: "joints rad [7], fingers m, tool m [3]".
    """
    for name, array in spec.observation.items():
        start = _find_tool(array.unit)
        if start is not None:
            points = np.stack([step.observation[name][start : start + 3] for step in steps])
            return Path3(points.astype(np.float64), measured=True)
    if not set(_AXES) <= set(spec.action_names):
        return None
    places = [spec.action_names.index(axis) for axis in _AXES]
    moves = np.stack([step.action[places] for step in steps]).astype(np.float64)
    return Path3(np.cumsum(moves, axis=0) - moves, measured=False)


def _find_tool(unit: str) -> int | None:
    """Where the tool's three coordinates begin in a vector whose unit lists its parts; None where they do not."""
    start = 0
    for part in unit.split(", "):
        found = _PART.match(part)
        if found is None:
            return None
        n = int(found["n"] or 1)
        if found["name"] == "tool m" and n == 3:
            return start
        start += n
    return None


def plot_episodes(spec: EnvSpec, episodes: Sequence[Recorded], path: Path, title: str) -> None:
    """Write the tool's paths from above and from the side, the gripper and the actions over time, as a PNG.

    Args:
        spec: Of the steps.
        episodes: At least one.
        path: The file.
        title: Above it all.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    figure, axes = _figure()
    paths = [tool_path(spec, episode.steps) for episode in episodes]
    for each, (a, b) in zip(axes[0], ((1, 0), (1, 2)), strict=True):
        _plot_paths(each, episodes, paths, a, b)
    axes[0, 0].set_title("tool path from above")
    axes[0, 1].set_title("tool path from the side")
    _plot_over_time(axes[1, 0], spec, episodes)
    _plot_speed(axes[1, 1], spec, episodes)
    driven = sorted({step.source for episode in episodes for step in episode.steps})
    handles = [_line(COLOURS[source], NAMES[source]) for source in driven]
    handles += [_mark("o", "start"), _mark("*", "success"), _mark("x", "no success")]
    figure.legend(handles=handles, loc="upper right", frameon=False, ncols=len(handles), fontsize=9)
    figure.suptitle(title, x=0.015, ha="left", fontsize=11)
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, format="png")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; name another file") from error


def _plot_paths(axes: Any, episodes: Sequence[Recorded], paths: Sequence[Path3 | None], a: int, b: int) -> None:
    known = [(episode, found) for episode, found in zip(episodes, paths, strict=True) if found is not None]
    if not known:
        axes.text(0.5, 0.5, "neither observations nor actions tell", transform=axes.transAxes, ha="center", color="0.5")
        return
    for episode, found in known:
        points = found.points[:, [a, b]]
        _plot_line(axes, points, [step.source for step in episode.steps])
        axes.plot(*points[0], "o", color="0.3", markersize=3)
        success = episode.steps[-1].success
        axes.plot(*points[-1], "*" if success else "x", color="black", markersize=7 if success else 5, zorder=3)
    unit = "m, base frame" if known[0][1].measured else "sum of actions"
    axes.set(xlabel=f"{_AXES[a]} ({unit})", ylabel=f"{_AXES[b]} ({unit})")
    axes.set_aspect("equal", adjustable="datalim")
    if a == 1:
        # As somebody at the robot's foot sees it: y is to its left.
        axes.invert_xaxis()


def _plot_over_time(axes: Any, spec: EnvSpec, episodes: Sequence[Recorded]) -> None:
    gripper = next(iter(gripper_dims(spec)), None)
    axes.set_title("gripper command" if gripper is not None else "reward")
    for number, episode in enumerate(episodes):
        values = [float(s.reward if gripper is None else s.action[gripper]) for s in episode.steps]
        # A little apart, or a set of equal commands would look like one.
        apart = 0.0 if gripper is None else 0.12 * (number / max(1, len(episodes) - 1) - 0.5)
        times = np.arange(len(values)) / spec.rate_hz
        _plot_line(axes, np.column_stack([times, np.array(values) + apart]), [s.source for s in episode.steps])
    axes.autoscale()
    axes.set(xlabel="seconds")
    if gripper is not None:
        axes.set(ylim=(-1.25, 1.25), yticks=(-1, 1), yticklabels=("shut", "open"))


def _plot_speed(axes: Any, spec: EnvSpec, episodes: Sequence[Recorded]) -> None:
    places = motion_dims(spec)
    axes.set_title("size of the motion asked for (1: the most in one direction)")
    for episode in episodes:
        size = np.array([float(np.linalg.norm(step.action[places])) for step in episode.steps])
        times = np.arange(len(size)) / spec.rate_hz
        sources = [step.source for step in episode.steps]
        _plot_line(axes, np.column_stack([times, size / (spec.action.high or 1.0)]), sources)
    axes.autoscale()
    axes.set(xlabel="seconds", ylim=(0, None))


def _plot_line(axes: Any, points: np.ndarray, sources: Sequence[Source]) -> None:
    """A line whose every piece has the colour of who drove it."""
    from matplotlib.collections import LineCollection

    pieces = np.stack([points[:-1], points[1:]], axis=1)
    colours = [COLOURS[source] for source in sources[:-1]]
    axes.add_collection(LineCollection(list(pieces), colors=colours, linewidths=1.3, alpha=0.6))


def _line(colour: str, name: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, linewidth=2, label=name)


def _mark(marker: str, name: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color="black", linewidth=0, marker=marker, markersize=6, label=name)


def _figure() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("plots need matplotlib, which is not installed; pip install 'handrail[pictures]'") from error
    figure = Figure(figsize=(11, 8))
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2, height_ratios=(3, 2))
    for each in axes.flat:
        each.grid(alpha=0.25)
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes
