"""The pictures of a run: how success, help and speed went."""

import json
import textwrap
from pathlib import Path
from typing import Any

from learner.coach import LONG, STOP_AT, advise, alone, drove_it, find_phases, human_share
from learner.progress import WINDOW, Progress

_ALONE, _HUMAN, _DRIVEN, _LENGTH = "#1b7837", "#d95f02", "#7f2704", "#2166ac"


def plot_run(progress: Progress, path: Path, title: str) -> None:
    """Write success, share of human steps and episode length over environment steps as a PNG."""
    steps = [episode.at_step for episode in progress.episodes]
    by_itself = [float(episode.alone) for episode in progress.episodes]
    human = [episode.human_steps / episode.length for episode in progress.episodes]
    length = [float(episode.length) for episode in progress.episodes]
    figure, (top, bottom) = _figure(2, (7, 5.5), (3, 2))
    top.plot(steps, _running_mean(by_itself), color=_ALONE, linewidth=2, label="success without help")
    top.plot(steps, _running_mean(human), color=_HUMAN, linewidth=2, label="steps driven by the human")
    top.scatter(steps, by_itself, s=8, color=_ALONE, alpha=0.25, linewidths=0)
    top.set(ylim=(-0.03, 1.03), ylabel=f"share, last {WINDOW} episodes", title=title)
    top.legend(loc="upper left", frameon=False)
    bottom.plot(steps, _running_mean(length), color=_LENGTH, linewidth=2)
    bottom.set(xlabel="environment steps", ylabel="steps per episode", ylim=(0, None), xlim=(0, None))
    _save(figure, path)


def plot_help(progress: Progress, path: Path, title: str, rate_hz: float) -> None:
    """Write how success alone went, every intervention as a bar, and the human's share of the steps, as a PNG."""
    figure, axes = _figure(3, (9, 7), (5, 3, 2))
    _plot_success(axes[0], progress)
    _plot_spells(axes[1], progress, rate_hz)
    _plot_share(axes[2], progress, rate_hz)
    for phase in find_phases(progress.episodes):
        for each in axes:
            each.axvspan(phase.from_step, phase.to_step, color=_HUMAN, alpha=0.07, linewidth=0)
    axes[2].set(xlabel="environment steps", xlim=(0, max(progress.env_steps, 1)))
    figure.align_ylabels()
    figure.suptitle(title, x=0.012, y=0.99, ha="left", va="top", fontsize=12)
    advice = textwrap.fill(f"Now: {advise(progress.episodes)}.", 140)
    figure.text(0.012, 0.955, advice, ha="left", va="top", fontsize=8.5, color="0.3")
    _save(figure, path, top=0.97)


def _plot_success(axes: Any, progress: Progress) -> None:
    episodes = progress.episodes
    steps = [episode.at_step for episode in episodes]
    rates = [alone(episodes[max(0, end - WINDOW) : end]) for end in range(1, len(episodes) + 1)]
    bands = [rate.ci95 for rate in rates]
    axes.fill_between(
        steps, [low for low, _ in bands], [high for _, high in bands], color=_ALONE, alpha=0.12, linewidth=0
    )
    axes.plot(steps, [rate.value for rate in rates], color=_ALONE, linewidth=2, label="success alone, 95 % interval")
    helped = [(episode.at_step, float(episode.success)) for episode in episodes if episode.helped]
    by_itself = [(episode.at_step, float(episode.success)) for episode in episodes if not episode.helped]
    for points, colour, name, height in (
        (by_itself, _ALONE, "an episode without help", 0.0),
        (helped, _HUMAN, "an episode with help", 0.035),
    ):
        # Apart, so that what happened at the same time is seen.
        heights = [y + height if y < 0.5 else y - height for _, y in points]
        axes.scatter([x for x, _ in points], heights, s=11, color=colour, alpha=0.55, linewidths=0, label=name)
    axes.axhline(STOP_AT, color="0.45", linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        "hands off", (0, STOP_AT), xycoords=("axes fraction", "data"), xytext=(4, -3), textcoords="offset points"
    ).set(horizontalalignment="left", verticalalignment="top", fontsize=8, color="0.4")
    axes.set(ylim=(-0.04, 1.04), ylabel=f"success, last {WINDOW}\nepisodes")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, ncols=3, fontsize=8)


def _plot_spells(axes: Any, progress: Progress, rate_hz: float) -> None:
    kinds = {False: (_HUMAN, "a correction"), True: (_DRIVEN, f"more than {LONG:.0%} of its episode")}
    for driven, (colour, name) in kinds.items():
        spells = [s for e in progress.episodes if e.helped and drove_it(e) == driven for s in e.spells]
        if spells:
            # As wide as it lasted, and never too thin to be seen.
            least = progress.env_steps / 400
            axes.bar(
                [spell.at_step for spell in spells],
                [spell.length / rate_hz for spell in spells],
                width=[max(spell.length, least) for spell in spells],
                align="edge",
                color=colour,
                linewidth=0,
                label=name,
            )
    axes.set(ylabel="intervention,\nseconds", ylim=(0, None))
    if axes.patches:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.97), frameon=False, ncols=2, fontsize=8, borderaxespad=0)
    else:
        axes.text(0.5, 0.5, "nobody intervened", transform=axes.transAxes, ha="center", va="center", color="0.5")
        axes.set_yticks([])


def _plot_share(axes: Any, progress: Progress, rate_hz: float) -> None:
    episodes = progress.episodes
    steps = [episode.at_step for episode in episodes]
    share = [human_share(episodes[max(0, end - WINDOW) : end]) for end in range(1, len(episodes) + 1)]
    axes.fill_between(steps, share, color=_HUMAN, alpha=0.35, linewidth=0)
    axes.plot(steps, share, color=_HUMAN, linewidth=1.5)
    axes.set(ylabel="human share\nof steps", ylim=(0, max([0.1, *share]) * 1.15))
    axes.yaxis.set_major_formatter("{x:.0%}")
    minutes = progress.human_minutes(rate_hz)
    axes.annotate(
        f"{minutes:.1f} human minutes in all" if minutes else "no human minutes",
        (1, 1),
        xycoords="axes fraction",
        xytext=(-4, 2),
        textcoords="offset points",
    ).set(horizontalalignment="right", verticalalignment="bottom", fontsize=8, color=_DRIVEN)


def _figure(rows: int, size: tuple[float, float], heights: tuple[int, ...]) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, 1, figsize=size, sharex=True, height_ratios=heights)
    for each in axes:
        each.grid(alpha=0.25)
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path, *, top: float = 1.0) -> None:
    from matplotlib import pyplot

    figure.tight_layout(rect=(0, 0, 1, top))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def plot_losses(metrics: Path, path: Path, title: str) -> None:
    """Draw what an offline run's metrics file holds over gradient steps, one panel per kind, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = [json.loads(line) for line in metrics.read_text().splitlines() if line.endswith("}")]
    panels = {"losses": ("critic/loss", "actor/loss"), "values": ("critic/q_mean", "critic/target_mean")}
    figure, grid = pyplot.subplots(2, 1, figsize=(7, 5.5), sharex=True)
    for axes, (label, names) in zip(grid, panels.items(), strict=True):
        for name in names:
            found = [(line["gradient_steps"], line[name]) for line in lines if name in line]
            if found:
                axes.plot(*zip(*found, strict=True), label=name)
        axes.set(ylabel=label)
        axes.grid(alpha=0.25)
        if axes.lines:
            axes.legend(frameon=False)
    grid[0].set(title=title)
    grid[1].set(xlabel="gradient steps")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _running_mean(values: list[float]) -> list[float]:
    """Mean over the last 20 values, over fewer at the beginning."""
    return [
        sum(values[max(0, i + 1 - WINDOW) : i + 1]) / len(values[max(0, i + 1 - WINDOW) : i + 1])
        for i in range(len(values))
    ]
