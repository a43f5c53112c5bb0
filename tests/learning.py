"""Small specs, batches and settings for the tests of networks and agents."""

import hashlib
from typing import Any

import jax
import numpy as np

from learner.agents.sac import Sac
from learner.config import SacConfig
from networks import critic
from networks.architecture import Architecture
from wire.specs import ArraySpec, EnvSpec

TINY = Architecture(frames={}, vectors={"state": 3}, action_dim=2, hidden=(8,))
SEEING = Architecture(
    frames={"front": (16, 16, 3)}, vectors={"state": 3}, action_dim=2, hidden=(8,), embedding=6, channels=(4, 4)
)
_AGENTS: dict[str, Sac] = {}


def vector_spec(state: int = 3, actions: int = 2, **changes: Any) -> EnvSpec:
    """A task whose observation is one vector."""
    fields: dict[str, Any] = {
        "env": "sim",
        "task": "toy",
        "robot": "none",
        "observation": {"state": ArraySpec(shape=(state,), dtype="float32")},
        "action": ArraySpec(shape=(actions,), dtype="float32", low=-1, high=1),
        "action_names": tuple(f"a{i}" for i in range(actions)),
        "action_frame": "none",
        "rate_hz": 20,
        "max_episode_steps": 50,
        "reward": "toy-1",
    }
    return EnvSpec(**fields | changes)


def normaliser(arch: Architecture) -> dict[str, np.ndarray]:
    return {"mean": np.zeros(arch.vector_dim, np.float32), "std": np.ones(arch.vector_dim, np.float32)}


def make_batch(arch: Architecture, minibatches: int, size: int = 8, seed: int = 0) -> dict[str, Any]:
    """Stacked minibatches of random transitions, the first half of each prior data."""
    rng = np.random.default_rng(seed)

    def observation() -> dict[str, np.ndarray]:
        found = {name: rng.normal(size=(minibatches, size, n)).astype(np.float32) for name, n in arch.vectors.items()}
        pictures = {
            name: rng.integers(0, 256, (minibatches, size, *shape), np.uint8) for name, shape in arch.frames.items()
        }
        return found | pictures

    prior = np.zeros((minibatches, size), np.float32)
    prior[:, : size // 2] = 1.0
    return {
        "observation": observation(),
        "next_observation": observation(),
        "action": rng.uniform(-1, 1, (minibatches, size, arch.action_dim)).astype(np.float32),
        "reward": rng.normal(size=(minibatches, size)).astype(np.float32),
        "mask": np.ones((minibatches, size), np.float32),
        "prior": prior,
        "human": prior.copy(),
        "source": prior.astype(np.int8),
        "return_to_go": np.full((minibatches, size), -np.inf, np.float32),
    }


def values_after(agent: Sac, state: Any, blocks: int) -> tuple[Any, np.ndarray]:
    """The state after ten updates a block on a process of known values, and its values of the two states.

    The two follow each other for ever, reward 1 in the first, so with a discount of 1/2 they are worth 4/3 and 2/3.
    """
    first = np.zeros((10, 8, 1), np.float32)
    first[:, ::2] = 1.0
    seen = np.concatenate([first, 1 - first, np.zeros_like(first)], axis=-1)
    batch = make_batch(TINY, 10) | {"reward": first[..., 0]}
    batch |= {"observation": {"state": seen}, "next_observation": {"state": seen[..., [1, 0, 2]]}}
    rng = np.random.default_rng(0)
    for _ in range(blocks):
        actions = rng.uniform(-1, 1, (10, 8, 2)).astype(np.float32)
        state, _ = agent.update(state, batch | {"action": actions})
    return state, np.asarray(critic.apply(state.critics, seen[0, :2], np.zeros((2, 2), np.float32))).mean(axis=0)


def small_sac(**changes: Any) -> SacConfig:
    settings = {"batch_size": 8, "critics": 4, "subset": 2, "hidden": [8], "shift_pixels": 2} | changes
    return SacConfig(**settings)


def make_sac(arch: Architecture = TINY, bounds: tuple[float, float] | None = None, **changes: Any) -> Sac:
    """An agent with small settings; agents are pure, so one that was compiled before serves again."""
    key = repr((arch, bounds, sorted(changes.items())))
    if key not in _AGENTS:
        _AGENTS[key] = Sac(small_sac(**changes), arch, bounds)
    return _AGENTS[key]


def snapshot(tree: Any) -> Any:
    """Host copies of every array: an update reuses the buffers of the state it was given."""
    return jax.tree.map(lambda leaf: np.array(leaf), tree)


def digest(tree: Any) -> str:
    """Equal exactly where every array is equal bit by bit."""
    sha = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = np.asarray(leaf)
        sha.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return sha.hexdigest()
