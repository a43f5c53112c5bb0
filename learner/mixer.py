"""Where a batch comes from: online experience, prior data and past runs, in fixed shares of every minibatch."""

from typing import Any, NamedTuple

import jax
import numpy as np

from envs.symmetry import Symmetries
from learner.agents.base import SOURCES, Batch
from learner.augmentation import symmetric
from learner.pool import Pool
from learner.replay import Replay

_ONLINE, _PRIOR, _ARCHIVE = range(len(SOURCES))


class Composition(NamedTuple):
    """Rows of a minibatch from each source."""

    online: int
    prior: int
    archive: int


class Mixer:
    """Symmetric sampling (RLPD), and Replay Across Experiments: every minibatch holds its own draw from every source.

    `prior_share` of it is what this run's actors did not do by themselves; of that, `archive_share` comes from past
    runs and the rest from demonstrations and interventions. Where one of the two is empty the other has its share.
    Until the actors have brought `min_online` transitions, batches hold nothing of theirs; with nothing else at all
    they are all online, unless a share of 1 was asked for: then there is no batch before there is some. Without
    demonstrations and past runs there is no batch before that many are held: a person's first correction alone is
    nothing to learn from, or to normalise by.
    """

    def __init__(
        self,
        replay: Replay,
        pool: Pool | None = None,
        *,
        batch_size: int,
        prior_share: float,
        min_online: int,
        seed: int,
        archive_share: float = 0.5,
        symmetries: Symmetries | None = None,
        chunk: tuple[int, float] | None = None,
    ) -> None:
        """A mixer; with `chunk`, a length and a discount, minibatches are of windows."""
        self._replay = replay
        self._pool = pool
        self._chunk = chunk
        self._batch_size = batch_size
        self._prior_share = prior_share
        self._archive_share = archive_share
        self._min_online = min_online
        self._seed = seed
        self._symmetries = symmetries

    @property
    def ready(self) -> bool:
        """Whether there is enough to draw a batch from."""
        if self._prior_share > 0 and (self._replay.demonstrated or self._pool):
            return True
        held = len(self._replay) - self._replay.unscored - self._replay.demonstrated
        drawn_from = self._replay.prior if self._prior_share == 1 else self._replay.online
        return held >= self._min_online and len(drawn_from) > 0

    def composition(self) -> Composition:
        """Of the next minibatch."""
        prior, past = len(self._replay.prior), bool(self._pool)
        if not (prior or past):
            return Composition(self._batch_size, 0, 0)
        early = len(self._replay.online) < self._min_online and self._prior_share > 0
        offline = self._batch_size if early else round(self._prior_share * self._batch_size)
        archive = offline * past if not prior else round(self._archive_share * offline) * past
        return Composition(self._batch_size - offline, offline - archive, archive)

    def sample(self, block: int, minibatches: int) -> Batch:
        """Stacked minibatches for update block number `block`; equal contents, seed and block give equal batches."""
        rng = np.random.default_rng([self._seed, block])
        online, prior, archive = self.composition()
        rows = np.empty((minibatches, prior + online), np.int64)
        past = np.empty((minibatches, archive), np.int64)
        for i in range(minibatches):
            if prior:
                rows[i, :prior] = self._replay.prior.sample(rng, prior)
            if online:
                rows[i, prior:] = self._replay.online.sample(rng, online)
            if archive and self._pool:
                past[i] = self._pool.sample(rng, archive)
        found = self._gather(self._replay, rows, rng)
        if archive and self._pool:
            joined = (found, self._gather(self._pool.replay, past, rng))
            found = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *joined)
        if self._symmetries is not None:
            symmetric(rng, found, self._symmetries)
        human = np.concatenate([np.ones((minibatches, prior)), np.zeros((minibatches, online))], axis=1)
        imitable = human
        if archive and self._pool:
            imitable = np.concatenate([human, self._pool.replay.exemplary(past)], axis=1)
            human = np.concatenate([human, self._pool.replay.by_human(past)], axis=1)
        source = np.repeat(np.array([_PRIOR, _ONLINE, _ARCHIVE], np.int8), (prior, online, archive))
        source = np.broadcast_to(source, (minibatches, self._batch_size))
        marks = {"prior": imitable.astype(np.float32), "human": human.astype(np.float32)}
        return {**found, "source": source, **marks}

    def _gather(self, replay: Replay, rows: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        if self._chunk is None:
            return replay.gather(rows, rng)
        length, discount = self._chunk
        return replay.gather_chunks(rows, length=length, discount=discount, rng=rng)
