"""What of a run its steps say without their images, in columns: the raw material of the report."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from learner.archive.config import Selection
from learner.archive.episodes import Episodes, open_intact
from learner.archive.facts import RunFacts
from wire.specs import EnvSpec
from wire.store import EpisodeSummary
from wire.types import Source, Step

_SATURATED = 0.99
_IDLE = 0.02
"""Share of an action's range below which it moves nothing."""


@dataclass(frozen=True)
class Pool:
    """The chosen episodes of one run."""

    name: str
    kind: str
    spec: EnvSpec
    episodes: list[EpisodeSummary]
    pairs: np.ndarray
    """Vectors and action of each step, float32 (n, d)."""
    sources: np.ndarray
    """wire.types.Source of each step, (n,)."""
    held: np.ndarray
    """(n,) bool."""
    idle: np.ndarray
    """(n,) bool: the action moves nothing, and the gripper stays as it is."""
    saturated: np.ndarray
    """(n, actions) bool: at a bound. Grippers are not counted: theirs is the nature of their command."""
    digests: np.ndarray
    """One opaque value for each step; equal where vectors, action and reward are."""
    episode_digests: list[bytes]
    remarks: list[str]

    @property
    def steps(self) -> int:
        """Steps of the chosen episodes."""
        return len(self.pairs)

    @property
    def human_share(self) -> float:
        """Share of the steps that somebody else than the policy drove."""
        return float(np.mean(self.sources != Source.POLICY)) if self.steps else 0.0


def read_pool(run: RunFacts, selection: Selection) -> Pool:
    """Read a run's chosen episodes, without their images; raises StoreError where nothing of the file is intact."""
    with open_intact(Path(run.path)) as store:
        episodes = Episodes(store, selection, frames=False, kind=run.kind)
        summaries: list[EpisodeSummary] = []
        columns: dict[str, list] = {name: [] for name in ("pair", "source", "held", "idle", "digest")}
        episode_digests = []
        for summary, rows in episodes:
            summaries.append(summary)
            steps = [row.step for row in rows]
            digests = [_digest(step) for step in steps]
            columns["pair"] += [_pair(step) for step in steps]
            columns["source"] += [int(step.source) for step in steps]
            columns["held"] += [step.held for step in steps]
            columns["idle"] += _idle(steps, store.spec)
            columns["digest"] += digests
            episode_digests.append(hashlib.blake2b(b"".join(digests), digest_size=16).digest())
        pairs = np.stack(columns["pair"]) if columns["pair"] else np.zeros((0, 1), np.float32)
        return Pool(
            name=run.name,
            kind=run.kind,
            spec=store.spec,
            episodes=summaries,
            pairs=pairs,
            sources=np.array(columns["source"], np.int8),
            held=np.array(columns["held"], bool),
            idle=np.array(columns["idle"], bool),
            saturated=_saturated(pairs, store.spec),
            digests=np.array(columns["digest"], "V16"),
            episode_digests=episode_digests,
            remarks=episodes.remarks(),
        )


def duplicates(digests: Iterable[np.ndarray]) -> int:
    """How many steps are there already, over all pools."""
    found = list(digests)
    every = np.concatenate(found) if found else np.zeros(0, "V16")
    return len(every) - len(np.unique(every))


def _is_gripper(spec: EnvSpec) -> np.ndarray:
    """Which elements of an action command a gripper, bool (actions,)."""
    return np.isin(np.arange(spec.action.shape[0]), spec.gripper_entries())


def _pair(step: Step) -> np.ndarray:
    vectors = [np.ravel(value).astype(np.float32) for _, value in sorted(step.observation.items())]
    return np.concatenate([*vectors, np.ravel(step.action).astype(np.float32)])


def _digest(step: Step) -> bytes:
    digest = hashlib.blake2b(_pair(step).tobytes(), digest_size=16)
    digest.update(repr(float(step.reward)).encode())
    return digest.digest()


def _idle(steps: list[Step], spec: EnvSpec) -> list[bool]:
    gripper = _is_gripper(spec)
    actions = np.stack([step.action for step in steps]).astype(np.float64)
    low, high = spec.action.low, spec.action.high
    scale = (high - low) / 2 if low is not None and high is not None else max(float(np.abs(actions).max()), 1e-9)
    still = np.abs(actions[:, ~gripper]).max(axis=1, initial=0.0) < _IDLE * scale
    grip = actions[:, gripper]
    changed = np.concatenate([[True], (np.abs(np.diff(grip, axis=0)) > _IDLE * scale).any(axis=1)])
    idle = still & ~changed if gripper.any() else still
    return [bool(each) for each in idle]


def _saturated(pairs: np.ndarray, spec: EnvSpec) -> np.ndarray:
    n = spec.action.shape[0]
    low, high = spec.action.low, spec.action.high
    if not len(pairs) or low is None or high is None:
        return np.zeros((len(pairs), n), bool)
    middle, half = (low + high) / 2, (high - low) / 2
    return (np.abs(pairs[:, -n:] - middle) >= _SATURATED * half) & ~_is_gripper(spec)


def drivers(pools: Iterable[Pool]) -> Mapping[str, int]:
    """Steps by who drove."""
    counts = np.zeros(len(Source), np.int64)
    for pool in pools:
        counts += np.bincount(pool.sources, minlength=len(Source))[: len(Source)]
    return {source.name.lower(): int(counts[source]) for source in Source}
