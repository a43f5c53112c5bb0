"""A world of two small cameras in which success is a bright square: for the tests of reward models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rewards.config import TrainConfig
from rewards.score import Batch, Rule, Scores, require_inputs
from wire.specs import ArraySpec, EnvSpec
from wire.store import StepStore
from wire.types import Observation, Source, Step

SIZE = 16
LENGTH = 6
HALF = Rule(0.5)


def spec(reward: str = "sparse-1", size: int = SIZE) -> EnvSpec:
    frame = ArraySpec(shape=(size, size, 3), dtype="uint8")
    return EnvSpec(
        env="sim",
        task="bright",
        robot="none",
        observation={"front": frame, "wrist": frame, "state": ArraySpec(shape=(2,), dtype="float32")},
        action=ArraySpec(shape=(1,), dtype="float32", low=-1, high=1),
        action_names=("x",),
        action_frame="none",
        rate_hz=20,
        max_episode_steps=LENGTH,
        reward=reward,
        return_bounds=(0.0, 1.0),
    )


def look(rng: np.random.Generator, done: bool, size: int = SIZE) -> Observation:
    """Dim noise, and on success a bright square in the middle of both cameras; `state` says it too."""
    frames = {}
    for name in ("front", "wrist"):
        image = rng.integers(0, 110, (size, size, 3), np.uint8)
        if done:
            image[size // 4 : -size // 4, size // 4 : -size // 4] = 235
        frames[name] = image
    return {**frames, "state": np.array([float(done), 0.5], np.float32)}


def episode(
    rng: np.random.Generator, number: int, *, success: bool, length: int = LENGTH, **changes: Any
) -> list[Step]:
    """Steps of which the last one ends in success or at the time limit."""
    seen = [look(rng, False) for _ in range(length)]
    steps = []
    for t in range(length):
        last = t == length - 1
        fields: dict[str, Any] = {
            "episode": number,
            "t": t,
            "observation": seen[t],
            "action": np.zeros(1, np.float32),
            "source": Source.POLICY,
            "reward": float(last and success),
            "terminated": last and success,
            "truncated": last and not success,
            "success": last and success,
            "final_observation": look(rng, success) if last else None,
        }
        steps.append(Step(**fields | changes))
    return steps


def write(path: Path, episodes: list[list[Step]], stream: str = "a" * 32, of: EnvSpec | None = None) -> Path:
    """An archive of these episodes."""
    with StepStore.open(path, of or spec()) as store:
        seq = 0
        for steps in episodes:
            for step in steps:
                seq += 1
                store.insert(stream, seq, step)
        store.commit()
    return path


def record(path: Path, n: int = 24, seed: int = 0) -> Path:
    """An archive of n episodes, every other one a success."""
    rng = np.random.default_rng(seed)
    return write(path, [episode(rng, number, success=number % 2 == 0) for number in range(n)])


def quick(**changes: Any) -> TrainConfig:
    """Settings with which this world is learned in a second or two."""
    fields: dict[str, Any] = {"iterations": 40, "batch_size": 32, "shift_pixels": 1, "k": 1, "n": 1}
    return TrainConfig(**fields | changes)


class Bright:
    """A RewardModel that needs no training: the brighter the middle of both cameras, the surer of success."""

    kind = "bright"
    version = "bright-1"

    def __init__(self, rule: Rule | None = HALF, inputs: Mapping[str, tuple[int, ...]] | None = None) -> None:
        self.rule = rule
        self.inputs = inputs or dict.fromkeys(("front", "wrist"), (SIZE, SIZE, 3))
        self.scored = 0

    def score(self, batch: Batch) -> Scores:
        n = require_inputs(self, batch)
        self.scored += n
        middle = slice(SIZE // 4, -SIZE // 4)
        seen = [batch[name][:, middle, middle].astype(np.float64).mean((1, 2, 3)) for name in self.inputs]
        value = 1.0 / (1.0 + np.exp(-0.1 * (np.min(seen, axis=0) - 150.0)))
        return Scores(value, np.abs(2 * value - 1), self.version)
