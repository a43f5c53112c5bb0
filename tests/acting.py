"""A toy cell, and policies for it, to test the actor with: real code, no robot."""

from typing import Any

import jax
import numpy as np

from envs.guard import GuardLimits, Vitals
from envs.workcell import Outcome, WorkcellEnv
from learner.publisher import encode_policy
from networks import encoder, policy
from networks.architecture import Architecture, architecture_for
from wire.specs import ArraySpec, EnvSpec
from wire.types import Action, Observation


class ToyCell:
    """A point on a line that goes where it is told: action (dx, gripper)."""

    kind = "sim"
    robot = "point"
    rate_hz = 20.0
    observation = {"state": ArraySpec(shape=(2,), dtype="float32")}
    action = ArraySpec(shape=(2,), dtype="float32", low=-1, high=1)
    action_names: tuple[str, ...] = ("x", "grip")
    action_frame = "none"
    limits = GuardLimits(low=(-1.0, -1.0), high=(1.0, 1.0), hold=(0.0, None), rate_hz=20.0)
    stopper: str | None = None

    def __init__(self) -> None:
        self.x, self.clock, self.holds = 0.0, 0, 0
        self.commands: list[Action] = []
        self.ages_s: dict[str, float] = {}
        self.halt = ""

    def observe(self) -> Observation:
        return {"state": np.array([self.x, self.clock], np.float32)}

    def target_position(self) -> np.ndarray:
        return np.zeros(3)

    def command(self, action: Action) -> None:
        self.commands.append(action)

    def advance(self) -> None:
        self.x += float(self.commands[-1][0])
        self.clock += 1

    def hold(self) -> None:
        self.holds += 1

    def vitals(self) -> Vitals:
        return Vitals(self.ages_s)

    def halted(self) -> str:
        return self.halt

    def picture(self) -> np.ndarray:
        return np.zeros((8, 8, 3), np.uint8)

    def close(self) -> None:
        pass


class ToyTask:
    """Get past `goal` within `limit` control periods."""

    name = "past"
    reward = "past-1"
    return_bounds = (0.0, 1.0)

    def __init__(self, goal: float = 1e9, limit: int = 6) -> None:
        self.goal, self.max_episode_steps = goal, limit

    def reset(self, cell: ToyCell, rng: np.random.Generator) -> None:
        cell.x = float(rng.uniform(-0.1, 0.1))

    def evaluate(self, cell: ToyCell) -> Outcome:
        return Outcome(float(cell.x > self.goal), success=cell.x > self.goal)

    def expert(self, cell: ToyCell, rng: np.random.Generator, noise: float = 0.0) -> Any:
        raise NotImplementedError

    corrector = expert


def toy_env(goal: float = 1e9, limit: int = 6) -> WorkcellEnv[ToyCell]:
    return WorkcellEnv(ToyCell(), ToyTask(goal, limit))


def toy_weights(
    spec: EnvSpec,
    action: float = 0.0,
    *,
    version: int = 1,
    fingerprint: str | None = None,
    arch: Architecture | None = None,
) -> bytes:
    """Encoded weights of a policy whose mode is tanh(`action`) in every dimension, and which hardly explores."""
    arch = arch or architecture_for(spec, hidden=(4,))
    params = policy.init(jax.random.key(0), arch)
    n = arch.action_dim
    head = {"w": np.zeros_like(params["head"]["w"]), "b": np.array([action] * n + [-9.0] * n, np.float32)}
    whole = {
        "encoder": encoder.init(jax.random.key(0), arch),
        "normaliser": encoder.identity_normaliser(arch),
        "policy": params | {"head": head},
    }
    return encode_policy(whole, arch, version=version, fingerprint=fingerprint or spec.fingerprint())


def random_weights(spec: EnvSpec) -> bytes:
    """Encoded weights of a policy that looks at everything it is shown."""
    arch = architecture_for(spec, hidden=(32,), embedding=16)
    params = policy.init(jax.random.key(0), arch)
    shape = params["head"]["w"].shape
    head = {"w": np.asarray(jax.random.normal(jax.random.key(1), shape)), "b": np.zeros(shape[1], np.float32)}
    whole = {
        "encoder": encoder.init(jax.random.key(2), arch),
        "normaliser": encoder.identity_normaliser(arch),
        "policy": params | {"head": head},
    }
    return encode_policy(whole, arch, version=1, fingerprint=spec.fingerprint())
