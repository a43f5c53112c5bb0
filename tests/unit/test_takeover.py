"""The policy's last steps before a takeover are known for what they are, and get lower credit only when asked for."""

import jax
import numpy as np
import pytest
from learning import TINY, make_batch, normaliser, small_sac
from test_replay import SPEC, members, step

from learner.agents import takeover
from learner.agents.base import minibatch
from learner.agents.sac import Sac
from learner.replay import Replay
from wire.types import Source

pytestmark = pytest.mark.usefixtures("quick_compiles")

SOURCES = {"p": Source.POLICY, "h": Source.HUMAN, "s": Source.SCRIPT, "d": Source.DEMO, "x": Source.POLICY}


def play(replay: Replay, stream: str, episode: int, kinds: str, *, ended: bool = True, discarded: bool = False) -> None:
    """An episode of steps by p(olicy), h(uman), s(cript) or d(emonstrator); x is the policy's, and held."""
    for t, kind in enumerate(kinds):
        last = ended and t == len(kinds) - 1
        replay.add(
            stream,
            step(
                episode,
                t,
                100 * episode + t,
                source=SOURCES[kind],
                held=kind == "x",
                final=100 * episode + t + 1 if last else None,
                discarded=discarded and last,
            ),
        )


def marked(replay: Replay) -> dict[int, int]:
    """Observation -> takeover_in, for those before a takeover."""
    rows = np.array(sorted({*members(replay.online), *members(replay.prior)}))
    got = replay.gather(rows)
    seen = got["observation"]["state"][:, 0].astype(int).tolist()
    return {at: to for at, to in zip(seen, got["takeover_in"].tolist(), strict=True) if to}


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ("pppp", {}),
        ("ppphh", {0: 3, 1: 2, 2: 1}),
        ("hhpp", {}),
        ("phhpps", {0: 1, 3: 2, 4: 1}),
        ("phphp", {0: 1, 2: 1}),
        ("dddd", {}),
        # A demonstrator who is corrected is no policy.
        ("ddh", {}),
        # Held steps form no transition, nor do those that lead to them: 0 and 4 are what is left to blame.
        ("ppxxph", {0: 2, 4: 1}),
        ("ppxh", {0: 1}),
        ("xh", {}),
    ],
)
def test_policy_steps_before_a_takeover_are_numbered_backwards(kinds: str, wanted: dict[int, int]):
    replay = Replay(SPEC, 20)
    play(replay, "a", 0, kinds)
    assert marked(replay) == wanted


def test_a_takeover_reaches_into_no_other_episode_or_stream():
    replay = Replay(SPEC, 50)
    play(replay, "a", 0, "ppp")
    play(replay, "b", 1, "pp", ended=False)
    play(replay, "a", 2, "hpph")
    play(replay, "b", 3, "sp")
    assert marked(replay) == {201: 2, 202: 1}


def test_an_episode_that_was_thrown_away_leaves_no_mark_on_what_takes_its_place():
    replay = Replay(SPEC, 6)
    play(replay, "a", 0, "ppph", discarded=True)
    play(replay, "a", 1, "pppp")
    assert marked(replay) == {}


def test_what_has_made_room_is_not_marked_in_the_place_of_what_came():
    replay = Replay(SPEC, 4)
    play(replay, "a", 0, "pp", ended=False)
    play(replay, "b", 1, "pppp", ended=False)  # Pushes the first of stream a out.
    play(replay, "c", 2, "pp", ended=False)
    replay.add("a", step(0, 2, 2, source=Source.HUMAN))
    assert marked(replay) == {1: 1}


def test_corrections_that_are_not_to_be_learned_from_are_takeovers_and_no_prior_data():
    replay = Replay(SPEC, 20, learn_corrections=False)
    play(replay, "a", 0, "pphh")
    play(replay, "d", 1, "dd")
    assert marked(replay) == {0: 2, 1: 1}
    assert (len(replay.online), len(replay.prior)) == (4, 2)


def test_the_cost_falls_on_the_last_steps_alone_and_the_replay_keeps_its_rewards():
    replay = Replay(SPEC, 20)
    play(replay, "a", 0, "pppphpp")
    rows = np.array(sorted(members(replay.online)))
    batch = replay.gather(rows)
    charged = takeover.charged(batch, steps=2, cost=0.25)
    order = np.argsort(batch["observation"]["state"][:, 0])
    np.testing.assert_allclose((charged["reward"] - batch["reward"])[order], [0, 0, -0.25, -0.25, 0, 0, 0])
    np.testing.assert_array_equal(replay.gather(rows)["reward"], batch["reward"])


@pytest.mark.parametrize(("discount", "wanted"), [(0.9, -0.5), (1.0, -np.inf)])
def test_targets_may_be_as_low_as_the_cost_makes_possible(discount: float, wanted: float):
    low, high = takeover.lowered((0.0, 1.0), cost=0.05, discount=discount)
    assert (low, high) == (pytest.approx(wanted), 1.0)
    assert takeover.lowered((0.0, 1.0), cost=0.0, discount=discount) == (0.0, 1.0)


def test_the_agent_learns_from_charged_rewards_only_where_takeovers_count():
    def target(interventions: str) -> float:
        agent = Sac(small_sac(takeover_steps=2, takeover_cost=0.5, discount=0.5), TINY, (0.0, 1.0), interventions)
        batch = make_batch(TINY, 1)
        shape = batch["reward"].shape
        batch |= {"reward": np.zeros(shape, np.float32), "mask": np.zeros(shape, np.float32)}
        batch["takeover_in"] = np.broadcast_to(np.array([0, 1, 2, 3] * 2, np.int32), shape)
        _, metrics = agent.stepper.single[False](agent.init(0, normaliser(TINY)), minibatch(batch, 0))
        return float(metrics["critic/target_mean"])

    assert target("plain") == 0.0
    assert target("takeover") == pytest.approx(-0.25)


def test_the_value_of_what_leads_to_takeovers_falls_below_the_tasks_own_bounds():
    agent = Sac(small_sac(utd=4, takeover_cost=0.5, discount=0.5, learning_rate=3e-3), TINY, (0.0, 1.0), "takeover")
    state = agent.init(0, normaliser(TINY))
    for block in range(60):
        batch = make_batch(TINY, 4, size=32, seed=block)
        shape = batch["reward"].shape
        batch |= {"reward": np.zeros(shape, np.float32), "takeover_in": np.ones(shape, np.int32)}
        batch["mask"] = np.zeros(shape, np.float32)
        state, metrics = agent.update(state, batch)
    assert float(metrics["critic/q_mean"]) == pytest.approx(-0.5, abs=0.1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(agent.policy(state)))
