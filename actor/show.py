"""Recorded episodes for people: a sheet of their pictures, a video, or the tool's paths where there are no images."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from actor.config import ShowConfig
from envs.pictures import Colour, Strip, captioned, contact_sheet, side_by_side, write_png, write_video
from envs.trajectories import COLOURS, NAMES, plot_episodes
from wire.errors import UserError
from wire.quality import Recorded, measure, recorded_episodes
from wire.specs import EnvSpec
from wire.store import EpisodeSummary, StepStore
from wire.types import Observation, Source, Step

_COLUMNS = 12
"""Images in a row of a sheet, those of all cameras together."""


def show(config: ShowConfig) -> int:
    """Draw what the config names."""
    path, out = Path(config.path), Path(config.out)
    with StepStore.read(path) as store:
        chosen = _chosen(store, config)
        cameras = [name for name, array in store.spec.observation.items() if array.is_frame]
        if config.video is not None and not cameras:
            raise UserError(f"{path} holds no images, so there is no video; drop video=: the picture shows the paths")
        title = f"{path}: {store.spec.task}, {_n(len(chosen))} of {len(store.episodes())}"
        if not cameras:
            plot_episodes(store.spec, [_steps(store, each) for _, each in chosen], out, title)
        elif config.episode is None:
            strips = [_strip(store.spec, number, _steps(store, each), cameras) for number, each in chosen]
            write_png(out, contact_sheet(strips))
        else:
            number, summary = chosen[0]
            write_png(out, contact_sheet(_all_of(store.spec, number, _steps(store, summary), cameras)))
        if config.video is not None:
            write_video(Path(config.video), _film(store, chosen, cameras), store.spec.rate_hz)
    sys.stdout.write(f"{title}\npicture: {out}\n" + (f"video: {config.video}\n" if config.video else ""))
    return 0


def _chosen(store: StepStore, config: ShowConfig) -> list[tuple[int, EpisodeSummary]]:
    """The episodes to show, with their numbers."""
    numbered = list(enumerate(store.episodes()))
    if not numbered:
        raise UserError(f"{config.path} holds no finished episode yet")
    if config.episode is None:
        return numbered[-config.episodes :]
    if config.episode >= len(numbered):
        raise UserError(f"{config.path} holds episodes 0 to {len(numbered) - 1}, got episode={config.episode}")
    return [numbered[config.episode]]


def _steps(store: StepStore, summary: EpisodeSummary) -> Recorded:
    """An episode's steps with their images, found among the rows of several streams."""
    first, last = store.rows_between(summary.stream, summary.first_seq, summary.last_seq)
    rows = (row for row in store.rows(first - 1, last) if row.stream == summary.stream)
    found = [each for each in recorded_episodes(rows) if each.steps[0].episode == summary.episode]
    if not found:
        raise UserError(f"episode {summary.episode} of {store.path} is damaged: {'; '.join(store.damage[:1])}")
    return found[0]


def _strip(spec: EnvSpec, number: int, episode: Recorded, cameras: Sequence[str]) -> Strip:
    """An episode in a row: pictures at equal distances, the first and the last among them."""
    steps, quality = episode.steps, measure(episode.steps, spec)
    at = sorted({round(t) for t in np.linspace(0, len(steps), min(_columns(cameras), len(steps) + 1))})
    lines = [
        "success" if quality.success else "no success",
        f"{quality.steps} steps, {quality.seconds(spec.rate_hz):.1f} s",
        _who(steps),
        f"idle {quality.idle:.0%}, held {quality.held:.0%}",
    ]
    return Strip(f"episode {number}", lines, *_pictures(spec, steps, at, cameras))


def _all_of(spec: EnvSpec, number: int, episode: Recorded, cameras: Sequence[str]) -> list[Strip]:
    """Every picture of an episode, in rows."""
    steps, strips, columns = episode.steps, [], _columns(cameras)
    for first in range(0, len(steps) + 1, columns):
        at = range(first, min(first + columns, len(steps) + 1))
        lines = [f"from {first / spec.rate_hz:.1f} s"]
        if first == 0:
            lines += ["success" if steps[-1].success else "no success", _who(steps)]
        strips.append(Strip(f"episode {number}" if first == 0 else "", lines, *_pictures(spec, steps, at, cameras)))
    return strips


def _columns(cameras: Sequence[str]) -> int:
    return max(4, _COLUMNS // len(cameras))


def _pictures(
    spec: EnvSpec, steps: Sequence[Step], at: Sequence[int], cameras: Sequence[str]
) -> tuple[list[np.ndarray], list[str], list[Colour]]:
    """Pictures, captions and colours of the moments `at`: as many as steps, and one more, the end."""
    pictures = [side_by_side([_seen(steps, t)[name] for name in cameras]) for t in at]
    captions = [f"{t / spec.rate_hz:.1f} s" + _word(steps, t) for t in at]
    edges = [_colour(steps[min(t, len(steps) - 1)].source) for t in at]
    return pictures, captions, edges


def _seen(steps: Sequence[Step], t: int) -> Observation:
    """What was seen at step t; after the last step, what it led to."""
    if t < len(steps):
        return steps[t].observation
    return steps[-1].final_observation or steps[-1].observation


def _word(steps: Sequence[Step], t: int) -> str:
    if t == len(steps):
        return "  end"
    return "  held" if steps[t].held else ""


def _film(
    store: StepStore, chosen: Sequence[tuple[int, EpisodeSummary]], cameras: Sequence[str]
) -> Iterator[np.ndarray]:
    """The frames of a video, one episode after the other, each ending with a moment of stillness."""
    rate_hz = store.spec.rate_hz
    for number, summary in chosen:
        steps = _steps(store, summary).steps
        end = "success" if steps[-1].success else "no success"
        for t in [*range(len(steps)), *[len(steps)] * max(1, round(rate_hz / 2))]:
            source = steps[min(t, len(steps) - 1)].source
            held = ", held" if t < len(steps) and steps[t].held else ""
            text = f"episode {number}  {t / rate_hz:4.1f} s  {NAMES[source]}{held}"
            text += f"  {end}" if t == len(steps) else ""
            yield captioned(side_by_side([_seen(steps, t)[name] for name in cameras]), text, _colour(source))


def _who(steps: Sequence[Step]) -> str:
    """Who drove, by share."""
    shares = {source: sum(step.source is source for step in steps) / len(steps) for source in Source}
    return ", ".join(f"{NAMES[source]} {share:.0%}" for source, share in shares.items() if share)


def _colour(source: Source) -> Colour:
    text = COLOURS[source].removeprefix("#")
    red, green, blue = (int(text[i : i + 2], 16) for i in (0, 2, 4))
    return red, green, blue


def _n(n: int) -> str:
    return f"{n} episode" if n == 1 else f"{n} episodes"
