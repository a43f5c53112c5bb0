"""Makes steps of another format's columns, and counts what had to be decided on the way."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from learner.archive.config import ImportConfig
from learner.archive.formats.foreign import ForeignEpisode, FormatError, needed
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.types import Observation, Source, Step


@dataclass
class Maker:
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

    def steps(self, number: int, episode: ForeignEpisode) -> Iterator[tuple[str, int, Step]]:
        """An episode's steps: stream, number in the stream, step.

        An observation after the last action that is not there cannot be made up: of an episode that ended the last one
        stands for it, which nothing is learned from; one that was only stopped loses its last step instead.
        """
        success = self._success(episode)
        terminated = episode.terminated or (self.config.rewards != "given" and success)
        observations = renamed(episode.observations, self.config)
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
        look = {name: self._shaped(name, values[at]) for name, values in observations.items()}
        if look.keys() > self.spec.observation.keys():
            look = {name: look[name] for name in self.spec.observation}
        problem = self.spec.observation_problem(look)
        if problem is not None:
            raise FormatError(f"episode {number}, step {at}: {problem}")
        return look

    def _shaped(self, name: str, value: np.ndarray) -> np.ndarray:
        """A vector as the specification has it, which may be an archive's of any shape and type."""
        array = self.spec.observation.get(name)
        if array is not None and not array.is_frame and value.size == math.prod(array.shape):
            value = value.reshape(array.shape).astype(array.dtype)
        return np.ascontiguousarray(value)

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


def renamed(observations: Mapping[str, np.ndarray], config: ImportConfig) -> dict[str, np.ndarray]:
    """Arrays under our names: images as (n, height, width, 3) uint8, all else as (n, length) float32."""
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
