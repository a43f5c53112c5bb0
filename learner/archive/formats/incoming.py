"""From another format's episodes to a run of ours: names, shapes, rewards and ends are settled here for all formats."""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from learner.archive.catalogue import resolve
from learner.archive.config import ImportConfig
from learner.archive.formats.foreign import Foreign, ForeignEpisode, FormatError, needed, stream_of
from learner.archive.merge import new_archive
from wire.codec import encode_spec
from wire.errors import UserError, plain
from wire.specs import ArraySpec, EnvSpec
from wire.store import StepStore
from wire.types import Observation, Source, Step

_READERS = {name: f"learner.archive.formats.{name}" for name in ("lerobot", "minari", "robomimic", "hilserl", "mcap")}
_CURE = "rename= maps their names to ours, image_size= scales images, rate_hz= corrects the rate"


def import_run(config: ImportConfig) -> dict[str, Any]:
    """Make a run of somebody else's data.

    Returns:
        name, steps, episodes, successes, remarks (sentences), text (one that says it all).

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
    exact = foreign.spec is not None and first.exact is not None and not _changes(config)
    spec = (
        _require_like(foreign.spec, like, path) if exact and foreign.spec else _new_spec(foreign, first, config, like)
    )
    maker = _Maker(spec, config, stream_of(path), demonstrations=_demonstrations(foreign, first))
    info = dict(foreign.info) if exact else {"kind": "demonstrations"} if maker.demonstrations else {}
    info |= {"imported_from": plain(f"{config.format} {path}", 400)}
    successes = 0
    with new_archive(Path(config.out), spec, info) as new:
        for number, episode in enumerate(_all(first, episodes)):
            rows = episode.exact if exact and episode.exact is not None else maker.steps(number, episode)
            for stream, seq, step in rows:
                new.insert(stream, seq, step)
                successes += step.success
            new.commit()
        steps, count = new.last_row(), len(new.episodes())
    remarks = [*foreign.remarks, *([_exactly(foreign)] if exact else maker.remarks())]
    text = f"{steps} steps in {count} episodes, {successes} of them successes, are in {config.out}"
    return {
        "name": config.out, "steps": steps, "episodes": count, "successes": successes, "exact": exact,
        "remarks": remarks, "text": text,
    }  # fmt: skip


def _exactly(foreign: Foreign) -> str:
    but = ", but for its images, which a video codec has changed" if foreign.lossy_images else ""
    return f"the data was exported from an archive, and every step is again what it was{but}"


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


def _demonstrations(foreign: Foreign, first: ForeignEpisode) -> bool:
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
    arrays = {name: _array_spec(values) for name, values in _renamed(first.observations, config).items()}
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


def _renamed(observations: Mapping[str, np.ndarray], config: ImportConfig) -> dict[str, np.ndarray]:
    names = dict(pair.split(":", 1) for pair in config.rename)
    for name in names:
        if name not in observations:
            raise UserError(f"rename= names {name}, and the data has {', '.join(observations)}")
    return {names.get(name, name): _settled(values, config) for name, values in observations.items()}


def _settled(values: np.ndarray, config: ImportConfig) -> np.ndarray:
    """Images as (n, height, width, 3) uint8, everything else as (n, length) float32."""
    if values.dtype == np.uint8 and values.ndim == 4:
        if values.shape[-1] not in (1, 3) and values.shape[1] in (1, 3):
            values = values.transpose(0, 2, 3, 1)
        if values.shape[-1] == 1:
            values = values.repeat(3, axis=-1)
        if values.shape[-1] == 3:
            return values if config.image_size is None else _scaled(values, config.image_size)
    return values.reshape(len(values), -1).astype(np.float32)


def _scaled(images: np.ndarray, size: int) -> np.ndarray:
    image = needed("PIL.Image")
    scaled = [np.asarray(image.fromarray(each).resize((size, size), image.Resampling.BOX)) for each in images]
    return np.stack(scaled)


def _array_spec(values: np.ndarray) -> ArraySpec:
    return ArraySpec(shape=values.shape[1:], dtype=str(values.dtype))


@dataclass
class _Maker:
    """Makes steps of columns, and counts what it had to decide."""

    spec: EnvSpec
    config: ImportConfig
    stream: str
    demonstrations: bool
    seq: int = 0
    repeated: int = 0
    shortened: int = 0
    unrewarded: int = 0
    outside: float = 0.0
    names: set[str] = field(default_factory=set)

    def steps(self, number: int, episode: ForeignEpisode) -> Iterator[tuple[str, int, Step]]:
        """An episode's steps: stream, number in the stream, step.

        An observation after the last action that is not there cannot be made up: of an episode that ended the last one
        stands for it, which nothing is learned from; one that was only stopped loses its last step instead.
        """
        success = self._success(episode)
        terminated = episode.terminated or (self.config.rewards != "given" and success)
        observations = _renamed(episode.observations, self.config)
        n = len(episode.actions)
        if len(next(iter(observations.values()))) == n:
            if terminated or n == 1:
                self.repeated += 1
                observations = {name: np.concatenate([each, each[-1:]]) for name, each in observations.items()}
            else:
                self.shortened += 1
                n -= 1
        rewards = self._rewards(episode, n, success)
        self.outside = max(self.outside, float(np.abs(episode.actions).max()))
        for t in range(n):
            self.seq += 1
            last = t == n - 1
            step = Step(
                episode=number,
                t=t,
                observation=self._look(observations, t, number),
                action=np.ascontiguousarray(episode.actions[t], np.float32),
                source=self._source(episode, t),
                reward=float(rewards[t]),
                terminated=last and terminated,
                truncated=last and not terminated,
                success=last and success,
                final_observation=self._look(observations, n, number) if last else None,
            )
            yield self.stream, self.seq, step

    def _look(self, observations: Mapping[str, np.ndarray], at: int, number: int) -> Observation:
        look = {name: np.ascontiguousarray(values[at]) for name, values in observations.items()}
        if look.keys() > self.spec.observation.keys():
            look = {name: look[name] for name in self.spec.observation}
        problem = self.spec.observation_problem(look)
        if problem is not None:
            raise FormatError(f"episode {number}, step {at}: {problem}")
        return look

    def _success(self, episode: ForeignEpisode) -> bool:
        if self.config.rewards == "last":
            return True
        if self.config.rewards == "success" and episode.success is None:
            raise FormatError(
                "rewards=success needs data that says which episodes succeeded, and this does not; "
                "rewards=last takes all of them for successes"
            )
        return bool(episode.success)

    def _rewards(self, episode: ForeignEpisode, n: int, success: bool) -> np.ndarray:
        if self.config.rewards != "given":
            rewards = np.zeros(n)
            rewards[-1] = float(success)
            return rewards
        if episode.rewards is None:
            self.unrewarded += 1
            return np.zeros(n)
        return episode.rewards[:n]

    def _source(self, episode: ForeignEpisode, t: int) -> Source:
        if episode.helped is not None:
            return Source.HUMAN if episode.helped[t] else Source.POLICY
        return Source.DEMO if self.demonstrations else Source.POLICY

    def remarks(self) -> list[str]:
        """What had to be decided, one sentence each."""
        said = []
        if self.repeated:
            said.append(
                f"{self.repeated} episodes end without an observation after the last action; the last one stands for "
                "it, and as the task ended there nothing is learned from it"
            )
        if self.shortened:
            said.append(
                f"{self.shortened} episodes were stopped without an observation after the last action; their last "
                "step was left out, its observation is the final one"
            )
        if self.unrewarded:
            said.append(
                f"{self.unrewarded} episodes have no rewards and got 0: imitation (agent=bc) needs none, anything else "
                "does; rewards=last takes every episode for a success"
            )
        if self.outside > 1.0:
            said.append(f"actions reach {self.outside:.3g}; the agents here act between -1 and 1")
        return said
