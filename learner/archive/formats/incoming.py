"""From another format's episodes to a run of ours: names, shapes, rewards and ends are settled here for all formats."""

import dataclasses
import importlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learner.archive.catalogue import resolve
from learner.archive.config import ImportConfig
from learner.archive.formats.foreign import Foreign, ForeignEpisode, FormatError, stream_of
from learner.archive.formats.maker import Maker, renamed
from learner.archive.merge import new_archive
from wire.codec import encode_spec
from wire.errors import plain
from wire.specs import ArraySpec, EnvSpec
from wire.store import StepStore
from wire.types import Step

_READERS = {name: f"learner.archive.formats.{name}" for name in ("lerobot", "minari", "robomimic", "hilserl", "mcap")}
_CURE = "rename= maps their names to ours, image_size= scales images, rate_hz= corrects the rate"


def import_run(config: ImportConfig) -> dict[str, Any]:
    """Make a run of somebody else's data.

    Returns:
        name, steps, episodes, successes, exact (every step is what it was in the archive that was exported), remarks
        (sentences), text (one that says it all).

    Raises:
        UserError: The data are not of the format, or do not fit `like`; nothing was written.
    """
    path = Path(config.paths[0])
    if not path.exists():
        raise FormatError(f"there is nothing at {path}; name the {config.format} data to import")
    foreign: Foreign = importlib.import_module(_READERS[config.format]).read(path, config)
    like = _spec_like(config)
    episodes = _checked(foreign, config.format)
    first = next(episodes, None)
    if first is None:
        raise FormatError(f"{path} holds no episode that could be imported{_because(foreign)}")
    kept = foreign.spec if first.exact is not None and not _changes(config) else None
    spec = _new_spec(foreign, first, config, like) if kept is None else _require_like(kept, like, path)
    source = _Source(foreign, kept, Maker(spec, config, stream_of(path), _demonstrations(foreign, first, kept)))
    info = dict(foreign.info) if kept else {"kind": "demonstrations"} if source.maker.demonstrations else {}
    info |= {"imported_from": plain(f"{config.format} {path}", 400)}
    successes = 0
    with new_archive(Path(config.out), spec, info) as new:
        for number, episode in enumerate(_all(first, episodes)):
            for stream, seq, step in source.steps(number, episode):
                new.insert(stream, seq, step)
                successes += step.success
            new.commit()
        steps, count = new.last_row(), len(new.episodes())
    remarks = [*foreign.remarks, *source.remarks()]
    text = f"{steps} steps in {count} episodes, {successes} of them successes, are in {config.out}"
    return {
        "name": config.out, "steps": steps, "episodes": count, "successes": successes, "exact": source.exact,
        "remarks": remarks, "text": text,
    }  # fmt: skip


@dataclass
class _Source:
    """The steps of each episode: as they were in the archive that was exported, or made of what its columns are now."""

    foreign: Foreign
    kept: EnvSpec | None
    """The archive's specification, where its steps are wanted as they were."""
    maker: Maker
    unchanged: int = 0
    """Episodes that are as they were."""
    made: int = 0
    """The others."""

    @property
    def exact(self) -> bool:
        """Whether every episode so far is as it was."""
        return self.kept is not None and self.made == 0

    def steps(self, number: int, episode: ForeignEpisode) -> Iterable[tuple[str, int, Step]]:
        """Stream, number in the stream and step of the nth episode."""
        if self.kept is not None and episode.exact is not None:
            self.unchanged += 1
            return episode.exact
        self.made += 1
        if self.kept is not None:
            parted = _parted(episode.observations, self.foreign.joined, self.kept, number)
            episode = dataclasses.replace(episode, observations=parted)
        return self.maker.steps(number, episode)

    def remarks(self) -> list[str]:
        """What came back as it was, and what had to be decided elsewhere."""
        if self.kept is None:
            return self.maker.remarks()
        which = "every step is again what it was"
        if not self.exact:
            which = f"{self.unchanged} of {self.unchanged + self.made} episodes are again what they were"
        but = ", but for its images, which a video codec has changed" if self.foreign.lossy_images else ""
        return [f"the data was exported from an archive, and {which}{but}", *self.maker.remarks()]


def _parted(
    observations: Mapping[str, np.ndarray], joined: Mapping[str, Sequence[str]], kept: EnvSpec, number: int
) -> dict[str, np.ndarray]:
    """Observations under the archive's names; raises FormatError where they are of another length than there."""
    found = dict(observations)
    for name, vectors in joined.items():
        whole = found.pop(name, np.empty((0, 0)))
        ends = np.cumsum([math.prod(kept.observation[vector].shape) for vector in vectors])
        if whole.shape[1:] != (ends[-1],):
            raise FormatError(
                f"episode {number} was changed after it was exported: its {name} has the shape {whole.shape[1:]}, and "
                f"{', '.join(vectors)} of the archive have {ends[-1]} numbers; export the run again, or import it as "
                "somebody else's with task=<name>"
            )
        found |= zip(vectors, np.split(whole, ends[:-1], axis=1), strict=True)
    return found


def _changes(config: ImportConfig) -> bool:
    """Whether something was asked for that changes the steps."""
    asked = (config.task, config.robot, config.env, config.rate_hz, config.image_size)
    return any(value is not None for value in asked) or bool(config.rename) or config.rewards != "given"


def _checked(foreign: Foreign, name: str) -> Iterator[ForeignEpisode]:
    for number, episode in enumerate(foreign.episodes):
        n = len(episode.actions)
        lengths = {key: len(values) for key, values in episode.observations.items()}
        if n == 0:
            foreign.remarks.append(f"episode {number} has no steps and was left out")
            continue
        if any(length not in (n, n + 1) for length in lengths.values()) or len(set(lengths.values())) > 1:
            raise FormatError(f"episode {number} of this {name} data has {n} actions and observations {lengths}")
        if episode.rewards is not None and episode.rewards.shape != (n,):
            raise FormatError(f"episode {number} has {n} actions and rewards of shape {episode.rewards.shape}")
        for what, values in [("action", episode.actions), ("reward", episode.rewards), *episode.observations.items()]:
            if values is not None and values.dtype.kind == "f" and not np.isfinite(values).all():
                step = int(np.argwhere(~np.isfinite(values))[0][0])
                raise FormatError(
                    f"episode {number} holds a NaN or an infinity in {what} at step {step}; mend it first"
                )
        yield episode


def _all(first: ForeignEpisode, others: Iterator[ForeignEpisode]) -> Iterator[ForeignEpisode]:
    yield first
    yield from others


def _because(foreign: Foreign) -> str:
    return f": {'; '.join(foreign.remarks[:3])}" if foreign.remarks else ""


def _demonstrations(foreign: Foreign, first: ForeignEpisode, kept: EnvSpec | None) -> bool:
    if kept is not None:
        return foreign.info.get("kind") == "demonstrations"
    return foreign.demonstrations and first.helped is None


def _spec_like(config: ImportConfig) -> EnvSpec | None:
    if config.like is None:
        return None
    with StepStore.read(resolve(Path(config.like))) as store:
        return store.spec


def _require_like(spec: EnvSpec, like: EnvSpec | None, path: Path) -> EnvSpec:
    if like is not None:
        spec.require_same(like, ours=str(path), theirs="the run of like=", cure=_CURE)
    return spec


def _new_spec(foreign: Foreign, first: ForeignEpisode, config: ImportConfig, like: EnvSpec | None) -> EnvSpec:
    """What the steps will be like: `like`, where it fits, or what the first episode says."""
    arrays = {name: _array_spec(values) for name, values in renamed(first.observations, config).items()}
    actions = first.actions
    if like is not None:
        return _fitting(like, arrays, actions)
    within = bool(np.abs(actions).max() <= 1.0)
    names = foreign.action_names if len(foreign.action_names) == actions.shape[1] else ()
    rate_hz = config.rate_hz or foreign.rate_hz
    if rate_hz is None:
        raise FormatError(f"this {config.format} data does not say its control rate; give it: rate_hz=10")
    task = config.task or foreign.task
    if not task:
        raise FormatError(f"this {config.format} data does not name its task; give it: task=<name>")
    made = config.rewards != "given"
    spec = EnvSpec(
        env=config.env or foreign.env,
        task=plain(task),
        robot=plain(config.robot or foreign.robot or "unknown"),
        observation=arrays,
        action=ArraySpec(
            shape=actions.shape[1:], dtype="float32", low=-1.0 if within else None, high=1.0 if within else None
        ),
        action_names=names or tuple(f"a{number}" for number in range(actions.shape[1])),
        action_frame="none",
        rate_hz=rate_hz,
        max_episode_steps=0,
        reward="sparse-1" if made else "none" if first.rewards is None else f"{config.format}-given",
        return_bounds=(0.0, 1.0) if made else None,
    )
    try:
        encode_spec(spec)
    except ValueError as error:
        raise FormatError(f"this {config.format} data cannot be an archive: {error}") from None
    return spec


def _fitting(like: EnvSpec, arrays: Mapping[str, ArraySpec], actions: np.ndarray) -> EnvSpec:
    got = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    wanted = {name: (array.shape, array.dtype) for name, array in like.observation.items()}
    lines = [
        f"{name} is {got.get(name, 'absent')} there, {wanted[name]} in like="
        for name in wanted
        if got.get(name) != wanted[name]
    ]
    if actions.shape[1:] != like.action.shape:
        lines.append(f"actions are {actions.shape[1:]} there, {like.action.shape} in like=")
    if lines:
        extra = sorted(got.keys() - wanted.keys())
        hint = f" (they also have {', '.join(extra)})" if extra else ""
        raise FormatError(f"the data does not fit like=: {'; '.join(lines)}{hint}. {_CURE}")
    return like


def _array_spec(values: np.ndarray) -> ArraySpec:
    return ArraySpec(shape=values.shape[1:], dtype=str(values.dtype))
