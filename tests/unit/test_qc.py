"""Chunks: windows that are what was done, critics of whole chunks, and with chunks of one action no chunks at all."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from acting import toy_env
from learning import digest, normaliser, vector_spec
from test_replay import members, step

from actor.policy import PolicySlot
from learner.agents import make_agent
from learner.agents.base import minibatch
from learner.agents.qc import Qc, State
from learner.config import QcConfig
from learner.mixer import Mixer
from learner.publisher import encode_policy
from learner.replay import Replay
from networks import chunks, critic, encoder
from networks.architecture import ArchitectureError
from wire.types import UNSCORED, Source

pytestmark = pytest.mark.usefixtures("quick_compiles")

SPEC = vector_spec(state=1, actions=1)


def make(chunk: int, spec: Any = SPEC, **changes: Any) -> tuple[Qc, State]:
    settings = {"hidden": [8], "batch_size": 8, "candidates": 6, "target_candidates": 3, "flow_steps": 2, **changes}
    agent = make_agent(QcConfig(chunk=chunk, **settings), spec)
    assert isinstance(agent, Qc)
    return agent, agent.init(0, normaliser(agent.arch))


def two_episodes(replay: Replay) -> Replay:
    """Seen 1 2 3 4 and terminated, then 10 11 12 and cut by the time limit; rewards are what is seen."""
    for t, seen in enumerate([1, 2, 3]):
        replay.add("a", step(0, t, seen))
    replay.add("a", step(0, 3, 4, final=5))
    replay.add("a", step(1, 0, 10))
    replay.add("a", step(1, 1, 11))
    replay.add("a", step(1, 2, 12, final=13, terminated=False, truncated=True))
    return replay


def test_windows_are_consecutive_steps_and_end_where_their_episode_does():
    replay = two_episodes(Replay(SPEC, 20))
    got = replay.gather_chunks(np.array(members(replay.online)), length=3, discount=0.5)
    actions = (100 * got["action"]).round().astype(int).tolist()
    # Short ones repeat their last action; no window reaches into the next episode.
    assert actions == [[1, 2, 3], [2, 3, 4], [3, 4, 4], [4, 4, 4], [10, 11, 12], [11, 12, 12], [12, 12, 12]]
    np.testing.assert_allclose(got["reward"], [2.75, 4.5, 5.0, 4.0, 18.5, 17.0, 12.0])
    assert got["next_observation"]["state"][:, 0].tolist() == [4, 5, 5, 5, 13, 13, 13]
    np.testing.assert_allclose(got["bootstrap"], [0.125, 0, 0, 0, 0.125, 0.25, 0.5])
    # Cut short by the task's end: nothing follows that could matter. By a time limit: unknown, so left out.
    assert got["valid"].tolist() == [1, 1, 1, 1, 1, 0, 0]


def test_windows_of_one_step_are_the_transitions_themselves():
    replay = two_episodes(Replay(SPEC, 20))
    rows = np.array(members(replay.online))
    plain, single = replay.gather(rows), replay.gather_chunks(rows, length=1, discount=0.9)
    for name in ("action", "reward", "mask"):
        np.testing.assert_array_equal(plain[name], single[name])
    np.testing.assert_array_equal(plain["next_observation"]["state"], single["next_observation"]["state"])
    np.testing.assert_allclose(single["bootstrap"], 0.9 * plain["mask"])
    assert single["valid"].all()


def test_no_window_reaches_over_a_held_step_nor_into_rows_that_were_given_to_others():
    replay = Replay(SPEC, 3)
    for t, seen in enumerate([1, 2, 3]):
        replay.add("a", step(0, t, seen, held=t == 1))
    replay.add("a", step(0, 3, 4, final=5))
    got = replay.gather_chunks(np.array(members(replay.online)), length=2, discount=1.0)
    assert (100 * got["action"]).round().astype(int).tolist() == [[3, 4], [4, 4]]
    # A correction stays when what followed it is forgotten for new transitions.
    replay = Replay(SPEC, 3)
    replay.add("b", step(0, 0, 1, source=Source.HUMAN))
    for t, seen in enumerate([2, 3, 4, 5, 6, 7], start=1):
        replay.add("b", step(0, t, seen))
    replay.add("b", step(0, 7, 8, final=9))
    got = replay.gather_chunks(np.array(members(replay.prior)), length=2, discount=1.0)
    assert got["reward"].tolist() == [1.0]
    assert got["valid"].tolist() == [0.0]


def test_a_label_in_mid_episode_ends_windows_and_what_waits_for_one_is_in_none():
    replay = Replay(SPEC, 20)
    for t, seen in enumerate([1, 2, 3]):
        replay.add("a", step(0, t, seen, **({"reward_by": UNSCORED} if t == 2 else {})), seq=t)
    replay.add("a", step(0, 3, 4, final=5), seq=3)
    rows = np.array(members(replay.online))
    assert replay.gather_chunks(rows, length=3, discount=1.0)["valid"].tolist() == [0, 0, 1]
    replay.relabel("a", 1, success=True)
    got = replay.gather_chunks(rows, length=3, discount=1.0)
    assert got["reward"].tolist() == [2.0, 1.0, 4.0]  # The label is worth 1, and nothing after it counts.
    assert got["valid"].tolist() == [1, 1, 1]
    assert got["bootstrap"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("chunk", [1, 3])
def test_the_target_is_the_rewards_and_the_best_proposals_mean_value_after_them(chunk: int):
    agent, state = make(chunk)
    replay = two_episodes(Replay(SPEC, 20))
    batch = replay.gather_chunks(np.array(members(replay.online)), length=chunk, discount=0.97)
    key = jax.random.key(3)
    got = agent.td_target(state, batch, key)
    features = encoder.apply(state.encoder, state.normaliser, batch["next_observation"], agent.arch)
    noise = jax.random.normal(key, (7 * 3, chunk))
    best = []
    for i in range(7):
        values = []
        for j in range(3):
            x = noise[3 * i + j][None]
            for time in (0.0, 0.5):
                x = x + 0.5 * chunks.velocity(state.flow, features[i : i + 1], x, jnp.full((1, 1), time))
            values.append(critic.apply(state.target_critics, features[i : i + 1], jnp.clip(x, -1, 1)).mean())
        best.append(max(map(float, values)))
    np.testing.assert_allclose(got, batch["reward"] + batch["bootstrap"] * np.array(best), rtol=1e-4, atol=1e-5)
    if chunk == 1:
        plain = replay.gather(np.array(members(replay.online)))
        np.testing.assert_allclose(got, plain["reward"] + 0.97 * plain["mask"] * np.array(best), rtol=1e-4, atol=1e-5)


def test_windows_that_are_not_valid_teach_nothing():
    agent, _ = make(2)
    replay = two_episodes(Replay(SPEC, 20))
    batch = replay.gather_chunks(np.array(members(replay.online))[None], length=2, discount=0.97)
    batch["source"] = np.zeros(batch["valid"].shape, np.int8)
    assert 0 < batch["valid"].sum() < batch["valid"].size
    other = batch | {"reward": np.where(batch["valid"] > 0, batch["reward"], 1e3).astype(np.float32)}
    digests = []
    for each in (batch, other):
        updated, _ = agent.stepper.single[True](agent.init(0, normaliser(agent.arch)), minibatch(each, 0))
        digests.append(digest((updated.critics, updated.flow)))
    assert digests[0] == digests[1]


def test_a_block_moves_critics_flow_and_their_averages_and_the_same_seed_moves_them_alike():
    digests = []
    for seed in (0, 0, 1):
        agent, _ = make(3, utd=2)
        state = agent.init(seed, normaliser(agent.arch))
        before = {name: digest(getattr(state, name)) for name in state._fields}
        mixer = Mixer(
            two_episodes(Replay(SPEC, 20)), batch_size=8, prior_share=0.5, min_online=1, seed=0, chunk=(3, 0.97)
        )
        state, metrics = agent.update(state, mixer.sample(0, 2))
        assert np.isfinite(float(metrics["actor/loss"]))
        moved = {name for name in state._fields if digest(getattr(state, name)) != before[name]}
        assert moved == {"critics", "target_critics", "flow", "average_flow", "optimisers", "step"}
        digests.append(digest(state))
    assert digests[0] == digests[1] != digests[2]


def test_the_best_proposal_is_the_one_that_the_critics_value_most():
    agent, state = make(2)
    features = jnp.array([[0.3], [-1.0]])
    chosen, value = chunks.best_of(state.flow, state.critics, features, jax.random.key(1), agent.arch, candidates=16)
    np.testing.assert_allclose(critic.apply(state.critics, features, chosen).mean(0), value, rtol=1e-4, atol=1e-5)
    single = [
        chunks.best_of(state.flow, state.critics, features, jax.random.key(i), agent.arch, candidates=1)[1]
        for i in range(8)
    ]
    assert (np.max(value) >= np.mean(single, axis=0)).all()


def test_a_flow_learns_to_propose_what_was_done():
    agent, state = make(2, hidden=[32], learning_rate=1e-2)
    params, optimiser = state.flow, agent._optimisers["flow"]
    rng, moments = np.random.default_rng(0), optimiser.init(state.flow)
    features = rng.uniform(-1, 1, (256, 1)).astype(np.float32)
    done = np.concatenate([0.5 * features, -0.5 * features], axis=1)

    @jax.jit
    def learn(params: Any, moments: Any, key: jax.Array) -> Any:
        gradient = jax.grad(lambda each: chunks.flow_loss(each, features, done, key).mean())(params)
        changes, moments = optimiser.update(gradient, moments)
        return jax.tree.map(jnp.add, params, changes), moments

    for i in range(400):
        params, moments = learn(params, moments, jax.random.key(i))
    proposed = chunks.propose(params, features, jax.random.normal(jax.random.key(0), (256, 2)), steps=10)
    assert np.abs(proposed - done).mean() < 0.1


def test_the_robot_carries_a_chunk_out_to_its_end_and_drops_it_when_it_is_reset():
    spec = toy_env().wire_spec
    agent, state = make(3, spec)
    slot = PolicySlot(spec, explores=False)
    slot.load(encode_policy(agent.policy(state), agent.arch, version=5, fingerprint=spec.fingerprint()))
    seen = {name: np.ones(array.shape, np.float32) for name, array in spec.observation.items()}
    elsewhere = {name: -value for name, value in seen.items()}
    whole = [slot.act(seen)[0] for _ in range(3)]
    again = [slot.act(observation)[0] for observation in (seen, elsewhere, elsewhere)]
    np.testing.assert_array_equal(whole, again)  # What is seen in mid-chunk does not matter,
    slot.act(seen)
    slot.reset()
    anew = slot.act(seen)
    np.testing.assert_array_equal(anew[0], whole[0])  # and after a reset the next action is a first one.
    assert anew[1] == 5


def test_chunks_and_discrete_grippers_do_not_go_together():
    from networks.architecture import Architecture, Chunk, Gripper

    chunk = Chunk(length=2, candidates=2, flow_steps=2, critics=2)
    gripper = Gripper(entry=1, vector="state", element=0)
    with pytest.raises(ArchitectureError, match="no network decides on such chunks"):
        Architecture(frames={}, vectors={"state": 2}, action_dim=2, hidden=(4,), chunk=chunk, grippers=(gripper,))


@pytest.mark.parametrize(("key", "value"), [("chunk", 0), ("candidates", 0), ("discount", 1.5), ("hidden", [])])
def test_settings_out_of_range_are_refused(key: str, value: Any):
    with pytest.raises(ValueError, match=f"agent.{key} must"):
        QcConfig(**{key: value})
