"""A picture of a run: how return and success went, and what the cameras saw."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from learner.archive.facts import RunFacts
from wire.store import EpisodeSummary, Row, StepStore

_WINDOW = 20
_MOMENTS = 5


def draw_overview(store: StepStore, facts: RunFacts, path: Path) -> None:
    """Write a PNG with return and success by episode above, and a row of thumbnails for each camera below.

    Reads no frames but those that it shows.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    episodes = store.episodes()
    strips = list(_strips(store, episodes))
    figure = pyplot.figure(figsize=(9, 3.2 + 1.5 * len(strips)), layout="constrained")
    grid = figure.add_gridspec(1 + len(strips), _MOMENTS, height_ratios=[2.2] + [1.0] * len(strips))
    axes = figure.add_subplot(grid[0, :])
    _curves(axes, episodes, demonstrations=facts.kind == "demonstrations")
    axes.set_title(f"{facts.name}: {facts.task}, {facts.steps} steps, {facts.episodes} episodes", fontsize=10)
    for line, (title, images) in enumerate(strips, start=1):
        for column, image in enumerate(images):
            thumbnail = figure.add_subplot(grid[line, column])
            thumbnail.imshow(image)
            thumbnail.set_axis_off()
            if column == 0:
                thumbnail.set_title(title, fontsize=8, loc="left")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _curves(draw: Any, episodes: list[EpisodeSummary], *, demonstrations: bool) -> None:
    ends = np.cumsum([episode.length for episode in episodes])
    success = [float(episode.success) for episode in episodes]
    alone = [float(episode.success and not episode.human_steps and not demonstrations) for episode in episodes]
    returns = [episode.episode_return for episode in episodes]
    for values, colour, name in ((success, "#999999", "success"), (alone, "#1b7837", "success without help")):
        draw.plot(ends, _running_mean(values), color=colour, linewidth=2, label=f"{name}, last {_WINDOW}")
    draw.set(xlabel="steps", ylabel="share", ylim=(-0.03, 1.03))
    twin = draw.twinx()
    twin.scatter(ends, returns, s=7, color="#2166ac", alpha=0.4, linewidths=0)
    twin.set_ylabel("return of an episode", color="#2166ac")
    if episodes:
        draw.legend(loc="upper left", frameon=False, fontsize=8)
    draw.grid(alpha=0.25)


def _strips(store: StepStore, episodes: list[EpisodeSummary]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """For the last episode that succeeded and the last that failed, each camera's view at five moments."""
    cameras = [name for name, array in store.spec.observation.items() if array.is_frame]
    if not cameras:
        return
    for what, wanted in (("succeeded", True), ("failed", False)):
        chosen = next((each for each in reversed(episodes) if each.success is wanted), None)
        if chosen is None:
            continue
        rows = list(_moments(store, chosen))
        for camera in cameras:
            images = [row.step.observation[camera] for row in rows]
            yield f"episode {chosen.episode}, which {what}: {camera}", images


def _moments(store: StepStore, episode: EpisodeSummary) -> Iterator[Row]:
    for seq in np.unique(np.linspace(episode.first_seq, episode.last_seq, _MOMENTS).astype(int)):
        row = store.find(episode.stream, int(seq))
        if row is not None:
            yield row


def _running_mean(values: list[float]) -> list[float]:
    sums = [0.0, *itertools.accumulate(values)]
    return [(sums[i + 1] - sums[max(0, i + 1 - _WINDOW)]) / min(i + 1, _WINDOW) for i in range(len(values))]
