"""The picture of a run: how success, help and speed went."""

import json
from pathlib import Path

from learner.progress import WINDOW, Progress


def plot_run(progress: Progress, path: Path, title: str) -> None:
    """Write success, share of human steps and episode length over environment steps as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = [episode.at_step for episode in progress.episodes]
    alone = [float(episode.alone) for episode in progress.episodes]
    human = [episode.human_steps / episode.length for episode in progress.episodes]
    length = [float(episode.length) for episode in progress.episodes]
    figure, (top, bottom) = pyplot.subplots(2, 1, figsize=(7, 5.5), sharex=True, height_ratios=(3, 2))
    top.plot(steps, _running_mean(alone), color="#1b7837", linewidth=2, label="success without help")
    top.plot(steps, _running_mean(human), color="#d95f02", linewidth=2, label="steps driven by the human")
    top.scatter(steps, alone, s=8, color="#1b7837", alpha=0.25, linewidths=0)
    top.set(ylim=(-0.03, 1.03), ylabel=f"share, last {WINDOW} episodes", title=title)
    top.legend(loc="upper left", frameon=False)
    bottom.plot(steps, _running_mean(length), color="#2166ac", linewidth=2)
    bottom.set(xlabel="environment steps", ylabel="steps per episode", ylim=(0, None), xlim=(0, None))
    for axes in (top, bottom):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
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
