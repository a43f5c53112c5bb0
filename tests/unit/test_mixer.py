"""Every minibatch has its own draw from both sources, in a share that is exact."""

import numpy as np
import pytest
from learning import vector_spec
from test_replay import step

from learner.mixer import Mixer
from learner.replay import Replay
from wire.types import Source


def filled(online: int, prior: int) -> Replay:
    """Online transitions have observation 0.., prior ones 1000.. ."""
    replay = Replay(vector_spec(state=1, actions=1), 500)
    for stream, n, first, source in (("a", online, 0, Source.POLICY), ("d", prior, 1000, Source.DEMO)):
        for t in range(n):
            replay.add(stream, step(0, t, first + t, source=source, final=9.0 if t == n - 1 else None))
    return replay


def mixer(replay: Replay, share: float = 0.5, **changes: int) -> Mixer:
    return Mixer(replay, prior_share=share, **{"batch_size": 8, "min_online": 5, "seed": 3} | changes)


def from_prior(batch: dict) -> np.ndarray:
    return batch["observation"]["state"][..., 0] >= 1000


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 4), (0.25, 2), (0.0, 0), (1.0, 8)])
def test_the_share_is_exact_in_every_minibatch_and_marked(share: float, wanted: int):
    batch = mixer(filled(50, 50), share).sample(0, 20)
    assert (from_prior(batch).sum(axis=1) == wanted).all()
    np.testing.assert_array_equal(batch["prior"] > 0, from_prior(batch))


def test_each_minibatch_is_drawn_anew():
    batch = mixer(filled(200, 200), batch_size=64).sample(0, 6)
    rows = {tuple(minibatch[:, 0]) for minibatch in batch["observation"]["state"]}
    assert len(rows) == 6


def test_equal_seed_block_and_contents_give_equal_batches_and_nothing_else_does():
    def rows(seed: int, block: int) -> list[float]:
        return mixer(filled(50, 50), seed=seed).sample(block, 2)["observation"]["state"].ravel().tolist()

    assert rows(3, 7) == rows(3, 7)
    assert rows(3, 7) != rows(3, 8)
    assert rows(3, 7) != rows(4, 7)


def test_a_batch_does_not_depend_on_which_were_drawn_before():
    used = mixer(filled(50, 50))
    for block in range(5):
        used.sample(block, 3)
    fresh = mixer(filled(50, 50))
    np.testing.assert_array_equal(used.sample(5, 3)["action"], fresh.sample(5, 3)["action"])


def test_until_there_is_enough_online_data_batches_are_all_prior():
    early = mixer(filled(4, 10))
    assert early.ready
    assert from_prior(early.sample(0, 3)).all()
    assert (mixer(filled(5, 10)).sample(0, 3)["prior"].sum(axis=1) == 4).all()


def test_without_prior_data_batches_wait_for_online_data_and_are_all_online():
    assert not mixer(filled(4, 0)).ready
    enough = mixer(filled(5, 0))
    assert enough.ready
    assert not enough.sample(0, 3)["prior"].any()


def test_a_learner_of_prior_data_alone_never_imitates_the_policy():
    assert not mixer(filled(50, 0), 1.0).ready
    assert mixer(filled(0, 1), 1.0).ready
