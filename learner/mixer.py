"""Where a batch comes from: online experience and prior data, in a fixed share of every minibatch."""

import numpy as np

from learner.agents.base import Batch
from learner.replay import Replay


class Mixer:
    """Symmetric sampling (RLPD): every minibatch holds its own draw from both sources.

    Until the actors have brought `min_online` transitions, batches are all prior data; with no prior data at all they
    are all online, unless prior data alone was asked for (a share of 1): then there is no batch before there is some.
    """

    def __init__(
        self,
        replay: Replay,
        *,
        batch_size: int,
        prior_share: float,
        min_online: int,
        seed: int,
        chunk: tuple[int, float] | None = None,
    ) -> None:
        """A mixer; with `chunk`, a length and a discount, minibatches are of windows."""
        self._replay = replay
        self._chunk = chunk
        self._batch_size = batch_size
        self._prior_share = prior_share
        self._min_online = min_online
        self._seed = seed

    @property
    def ready(self) -> bool:
        """Whether there is enough to draw a batch from."""
        if self._prior_share > 0 and len(self._replay.prior):
            return True
        return self._prior_share < 1 and len(self._replay.online) >= self._min_online

    def prior_rows(self) -> int:
        """How many rows of the next minibatch come from prior data."""
        if not len(self._replay.prior):
            return 0
        if len(self._replay.online) < self._min_online and self._prior_share > 0:
            return self._batch_size
        return round(self._prior_share * self._batch_size)

    def sample(self, block: int, minibatches: int) -> Batch:
        """Stacked minibatches for update block number `block`; equal contents, seed and block give equal batches."""
        rng = np.random.default_rng([self._seed, block])
        n_prior = self.prior_rows()
        rows = np.empty((minibatches, self._batch_size), np.int64)
        for i in range(minibatches):
            if n_prior:
                rows[i, :n_prior] = self._replay.prior.sample(rng, n_prior)
            if n_prior < self._batch_size:
                rows[i, n_prior:] = self._replay.online.sample(rng, self._batch_size - n_prior)
        prior = np.zeros(rows.shape, np.float32)
        prior[:, :n_prior] = 1.0
        if self._chunk is None:
            return {**self._replay.gather(rows, rng), "prior": prior}
        length, discount = self._chunk
        return {**self._replay.gather_chunks(rows, length=length, discount=discount, rng=rng), "prior": prior}
