"""The report as text and as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from learner.archive.pool import Pool
from learner.archive.views import share


def pool_table(pool: dict[str, Any]) -> Table:
    """The whole pool, a line for each fact."""
    table = Table(box=None, pad_edge=False, show_header=False)
    steps = pool["steps"]
    drivers = ", ".join(f"{name} {share(count / steps)}" for name, count in pool["drivers"].items() if count)
    saturated = ", ".join(f"{name} {share(value)}" for name, value in pool["saturated"].items() if value)
    facts = {
        "steps": f"{steps} in {pool['episodes']} episodes of {pool['runs']} runs",
        "successes": f"{pool['successes']}, {share(pool['successes'] / pool['episodes'])}",
        "return, length": f"{pool['mean_return']:.3f}, {pool['length']['mean']:.1f} steps on average",
        "trajectory quality (TQ)": "not known" if pool["tq"] is None else f"{pool['tq']:.2f}",
        "coverage (SACo)": f"{pool['saco']:.2f}, {pool['different_pairs']} different state-action pairs",
        "driven by": drivers,
        "duplicates": f"{pool['duplicate_steps']} steps, {pool['duplicate_episodes']} whole episodes",
        "idle": f"{pool['idle_steps']} steps, {share(pool['idle_steps'] / steps)}",
        "held": f"{pool['held_steps']} steps, never trained on",
        "saturated actions": saturated or "none",
    }
    for name, text in facts.items():
        table.add_row(name, text)
    return table


def runs_table(runs: Sequence[dict[str, Any]]) -> Table:
    """One line for each run."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold")
    for name in ("steps", "episodes", "success", "TQ", "SACo", "human", "idle", "saturated"):
        table.add_column(name, justify="right")
    for run in runs:
        quality = "" if run["tq"] is None else f"{run['tq']:.2f}"
        numbers = (str(run["steps"]), str(run["episodes"]), share(run["successes"] / run["episodes"]), quality)
        shares = (share(run["human_share"]), share(run["idle"]), share(run["saturated"]))
        table.add_row(run["name"], *numbers, f"{run['saco']:.2f}", *shares)
    return table


def advice_lines(document: dict[str, Any]) -> list[str]:
    """The recommendations, each with its reason."""
    advice, scale = document["advice"], document["scale"]
    shares = ", ".join(f"{name} {share(value)}" for name, value in advice["mixing"].items() if value)
    return [
        f"TQ: 0 is {scale['random_return']:g} ({scale['random_from']}), 1 is {scale['best_return']:g} "
        f"({scale['best_from']}). SACo: {scale['bins']} bins a dimension, against "
        f"{scale['reference'] if isinstance(scale['reference'], str) else ', '.join(scale['reference'])}.",
        "",
        f"Mix: {shares}. {_sentence(advice['mixing_why'])}",
        f"Old data for fine-tuning: {advice['fine_tuning']['what']}. {_sentence(advice['fine_tuning']['why'])}",
        f"Offline: {advice['algorithm']['what']}. {_sentence(advice['algorithm']['why'])}",
    ]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def draw_report(document: dict[str, Any], pools: Sequence[Pool], path: Path) -> None:
    """Write a PNG: returns, lengths, quality against coverage, and who drove each run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    _returns(grid[0, 0], pools)
    length = document["pool"]["length"]
    grid[0, 1].stairs(length["counts"], length["edges"], fill=True, color="#2166ac", alpha=0.6)
    grid[0, 1].set(xlabel="steps per episode", ylabel="episodes", title="length")
    _map(grid[1, 0], document["runs"])
    _shares(grid[1, 1], document["runs"])
    for axes in grid.ravel():
        axes.spines[["top", "right"]].set_visible(False)
    pool = document["pool"]
    figure.suptitle(f"{pool['steps']} steps in {pool['episodes']} episodes of {pool['runs']} runs", fontsize=11)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _returns(axes: Any, pools: Sequence[Pool]) -> None:
    episodes = [episode for pool in pools for episode in pool.episodes]
    parts = [[each.episode_return for each in episodes if each.success is wanted] for wanted in (True, False)]
    axes.hist(parts, bins=20, stacked=True, color=["#1b7837", "#999999"], label=["success", "no success"])
    axes.set(xlabel="return of an episode", ylabel="episodes", title="return")
    axes.legend(frameon=False, fontsize=8)


def _map(axes: Any, runs: Sequence[dict[str, Any]]) -> None:
    known = [run for run in runs if run["tq"] is not None]
    sizes = [20 + 200 * run["steps"] / max(each["steps"] for each in runs) for run in known]
    axes.scatter([run["saco"] for run in known], [run["tq"] for run in known], s=sizes, color="#d95f02", alpha=0.6)
    for run in known[:12]:
        axes.annotate(Path(run["name"]).name, (run["saco"], run["tq"]), fontsize=7)
    axes.set(xlabel="coverage (SACo)", ylabel="quality (TQ)", title="each run: how varied, how good")
    axes.set(xlim=(0, None), ylim=(min(0.0, *(run["tq"] for run in known), 0.0) - 0.03, 1.08))
    axes.grid(alpha=0.25)


def _shares(axes: Any, runs: Sequence[dict[str, Any]]) -> None:
    shown = runs[-12:]
    places = np.arange(len(shown))
    for offset, (key, colour) in enumerate((("human_share", "#d95f02"), ("idle", "#999999"), ("saturated", "#7570b3"))):
        values = [run[key] for run in shown]
        axes.barh(places + 0.27 * (offset - 1), values, 0.25, color=colour, label=key.removesuffix("_share"))
    axes.set_yticks(places, [Path(run["name"]).name[-24:] for run in shown], fontsize=7)
    axes.set(xlim=(0, 1), xlabel="share of the steps", title="driven by others, idle, at a bound")
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.14))
