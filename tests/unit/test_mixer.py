"""Every minibatch has its own draw from both sources, in a share that is exact."""

import numpy as np
import pytest
from learning import vector_spec
from test_replay import step

from learner.mixer import Mixer
from learner.pool import Pool
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
    np.testing.assert_array_equal(batch["human"], batch["prior"])


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


def corrected(steps: int, demonstrations: int = 0) -> Replay:
    """Online steps of which the first is a person's correction."""
    replay = filled(0, demonstrations)
    for t in range(steps):
        source = Source.HUMAN if t == 0 else Source.POLICY
        replay.add("a", step(0, t, float(t), source=source, final=9.0 if t == steps - 1 else None))
    return replay


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_one_correction_without_demonstrations_is_not_enough_to_begin_with(share: float):
    assert not mixer(corrected(4), share).ready
    assert mixer(corrected(5), share).ready
    assert mixer(corrected(1, demonstrations=1), share).ready


def test_demonstrations_that_are_not_drawn_from_do_not_count_for_what_is_held():
    assert not mixer(filled(4, 50), 0.0).ready
    assert mixer(filled(5, 50), 0.0).ready


def test_demonstrations_that_were_thrown_away_are_nothing_to_begin_with():
    replay = filled(0, 0)
    for t in range(2):
        replay.add("d", step(0, t, 1.0, source=Source.DEMO, final=9.0 if t else None, discarded=bool(t)))
    assert not mixer(replay).ready


def test_a_learner_of_prior_data_alone_never_imitates_the_policy():
    assert not mixer(filled(50, 0), 1.0).ready
    assert mixer(filled(0, 1), 1.0).ready


def pooled(transitions: int, weighting: str = "none", temperature: float = 0.1, length: int = 10) -> Pool:
    """Past transitions with observation 2000.., in episodes of ten; the k-th of them has a return of k."""
    replay = Replay(vector_spec(state=1, actions=1), max(transitions, 1))
    for number in range(transitions):
        episode, t = divmod(number, length)
        last = t == length - 1
        reward = float(episode) if last else 0.0
        replay.add("p", step(episode, t, 2000 + number, reward=reward, final=9.0 if last else None))
    return Pool(replay, weighting=weighting, temperature=temperature)


def counted(batch: dict) -> tuple[int, int, int]:
    """Rows of the first minibatch from online experience, prior data and past runs."""
    seen = batch["observation"]["state"][0, :, 0]
    return int((seen < 1000).sum()), int(((seen >= 1000) & (seen < 2000)).sum()), int((seen >= 2000).sum())


@pytest.mark.parametrize(
    ("online", "prior", "past", "share", "archive_share", "wanted"),
    [
        (50, 50, 50, 0.5, 0.5, (4, 2, 2)),  # By default: 50, 25, 25 per cent.
        (50, 50, 0, 0.5, 0.5, (4, 4, 0)),
        (50, 0, 50, 0.5, 0.5, (4, 0, 4)),
        (50, 0, 0, 0.5, 0.5, (8, 0, 0)),
        (2, 50, 50, 0.5, 0.5, (0, 4, 4)),  # Hardly anything online yet.
        (2, 0, 50, 0.5, 0.5, (0, 0, 8)),
        (50, 50, 50, 0.25, 0.5, (6, 1, 1)),
        (50, 50, 50, 0.5, 0.25, (4, 3, 1)),
        (50, 50, 50, 0.5, 1.0, (4, 0, 4)),
        (50, 50, 50, 1.0, 0.5, (0, 4, 4)),
        (50, 50, 50, 0.0, 0.5, (8, 0, 0)),
    ],
)
def test_every_source_has_its_share_and_an_empty_ones_goes_to_the_others(
    online: int, prior: int, past: int, share: float, archive_share: float, wanted: tuple[int, int, int]
):
    mixed = Mixer(
        filled(online, prior),
        pooled(past),
        batch_size=8,
        prior_share=share,
        archive_share=archive_share,
        min_online=5,
        seed=0,
    )
    assert mixed.ready
    batch = mixed.sample(0, 3)
    assert counted(batch) == wanted
    np.testing.assert_array_equal(batch["source"] == 2, batch["observation"]["state"][..., 0] >= 2000)
    np.testing.assert_array_equal(batch["prior"][batch["source"] < 2] > 0, batch["source"][batch["source"] < 2] == 1)


def test_past_runs_alone_are_enough_to_begin_with_unless_their_share_is_zero():
    def waiting(share: float) -> Mixer:
        return Mixer(filled(0, 0), pooled(10), batch_size=4, prior_share=share, min_online=5, seed=0)

    assert waiting(0.5).ready
    assert not waiting(0.0).ready


def drawn(pool: Pool, n: int = 20_000) -> np.ndarray:
    """How often a transition of each trajectory is drawn."""
    rows = pool.sample(np.random.default_rng(0), n)
    return np.bincount((pool.replay.gather(rows)["observation"]["state"][:, 0].astype(int) - 2000) // 10, minlength=5)


def test_trajectories_are_drawn_by_the_softmax_of_their_scaled_return():
    got = drawn(pooled(50, "return", temperature=0.5)) / 20_000
    wanted = np.exp(np.linspace(0, 1, 5) / 0.5)
    np.testing.assert_allclose(got, wanted / wanted.sum(), atol=0.015)
    np.testing.assert_allclose(drawn(pooled(50)) / 20_000, 0.2, atol=0.015)


def test_returns_that_are_all_alike_weigh_alike():
    replay = Replay(vector_spec(state=1, actions=1), 30)
    for number in range(30):
        last = number % 10 == 9
        replay.add("p", step(number // 10, number % 10, 2000 + number, reward=0.0, final=9.0 if last else None))
    np.testing.assert_array_equal(Pool(replay, weighting="return").weights, 1.0)


def test_an_advantage_is_over_what_the_first_observation_promises():
    # The return is foreseeable from where the episode began, but for one trajectory that did better.
    replay = Replay(vector_spec(state=1, actions=1), 50)
    for episode in range(5):
        for t in range(10):
            last = t == 9
            reward = float(episode) + (2.0 if episode == 1 else 0.0) if last else 0.0
            replay.add("p", step(episode, t, 2000 + 10 * episode + t, reward=reward, final=9.0 if last else None))
    by_return, by_advantage = (drawn(Pool(replay, weighting=how)) for how in ("return", "advantage"))
    assert by_return.argmax() == 4
    assert by_advantage.argmax() == 1


def test_of_past_runs_successes_and_what_people_did_are_worth_imitating_and_the_latter_alone_are_a_humans():
    replay = Replay(vector_spec(state=1, actions=1), 30)
    for number in range(30):
        episode, t = divmod(number, 10)
        last = t == 9
        source = Source.HUMAN if (episode, t) == (1, 4) else Source.POLICY
        ending = {"final": 9.0, "success": episode == 2} if last else {}
        replay.add("p", step(episode, t, 2000 + number, source=source, **ending))
    mixed = Mixer(filled(0, 20), Pool(replay), batch_size=200, prior_share=0.5, min_online=5, seed=0)
    batch = mixed.sample(0, 1)
    seen = batch["observation"]["state"][0, :, 0]
    shown = (seen < 2000) | (seen == 2014)
    np.testing.assert_array_equal(batch["human"][0] > 0, shown)
    np.testing.assert_array_equal(batch["prior"][0] > 0, shown | (seen >= 2020))
