"""Specs and steps to test with: small, seeded, and the same on every machine."""

import dataclasses

import numpy as np

from wire.specs import ArraySpec, EnvSpec
from wire.types import Observation, Source, Step

STREAM = "0123456789abcdef" * 2
EPISODE_LENGTH = 5


def make_spec(size: int = 8, task: str = "reach", state: int = 3) -> EnvSpec:
    """Two cameras of `size` pixels and a state vector."""
    frame = ArraySpec(shape=(size, size, 3), dtype="uint8")
    return EnvSpec(
        env="sim",
        task=task,
        robot="arm",
        observation={"front": frame, "wrist": frame, "state": ArraySpec(shape=(state,), dtype="float32")},
        action=ArraySpec(shape=(4,), dtype="float32", low=-1, high=1),
        action_names=("x", "y", "z", "grip"),
        action_frame="base",
        rate_hz=20,
        max_episode_steps=EPISODE_LENGTH,
        reward="sparse-1",
    )


def make_observation(spec: EnvSpec, number: int) -> Observation:
    random = np.random.default_rng(number)
    return {
        name: random.integers(0, 255, array.shape, np.uint8)
        if array.is_frame
        else random.random(array.shape, np.float32)
        for name, array in spec.observation.items()
    }


def make_step(spec: EnvSpec, number: int) -> Step:
    """Step `number` of a stream whose episodes have five steps; the last one of each succeeds."""
    episode, t = divmod(number, EPISODE_LENGTH)
    ended = t == EPISODE_LENGTH - 1
    return Step(
        episode=episode,
        t=t,
        observation=make_observation(spec, number),
        action=np.full(4, number / 1000, np.float32),
        policy_action=np.zeros(4, np.float32),
        source=Source.HUMAN if t == 1 else Source.POLICY,
        reward=float(ended),
        terminated=ended,
        truncated=False,
        success=ended,
        final_observation=make_observation(spec, number + 10**6) if ended else None,
        weights_version=episode,
        stamps={"monotonic": number / 20},
    )


def assert_same_step(got: Step, wanted: Step) -> None:
    """Every field equal, arrays by dtype, shape and value."""
    for field in Step.__struct_fields__:
        a, b = getattr(got, field), getattr(wanted, field)
        if isinstance(b, np.ndarray):
            a, b = {"": a}, {"": b}
        if isinstance(b, dict) and any(isinstance(value, np.ndarray) for value in b.values()):
            assert a.keys() == b.keys(), field
            for name, value in b.items():
                assert a[name].dtype == value.dtype, (field, name)
                np.testing.assert_array_equal(a[name], value)
        else:
            assert a == b, field


@dataclasses.dataclass
class Clock:
    """A clock that moves when told."""

    now_s: float = 100.0

    def tick(self, seconds: float = 0.05) -> float:
        self.now_s += seconds
        return self.now_s
