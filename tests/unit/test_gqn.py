"""Growing Q-networks: the grid and its growth, values that add up, actions snapped to it, and that it learns."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from acting import toy_env
from learning import digest, make_batch, normaliser, snapshot, vector_spec

from actor.policy import PolicySlot
from learner.agents import make_agent
from learner.agents.base import Batch, minibatch
from learner.agents.gqn import Gqn, State
from learner.config import GqnConfig, learner_config
from learner.publisher import encode_policy
from networks import grid
from networks.architecture import ArchitectureError, Grid

pytestmark = pytest.mark.usefixtures("quick_compiles")

SPEC = vector_spec()


def make(spec: Any = SPEC, **changes: Any) -> tuple[Gqn, State]:
    settings = {"hidden": [16], "batch_size": 8, "grow_steps": 40, "utd": 1, **changes}
    agent = make_agent(GqnConfig(**settings), spec)
    assert isinstance(agent, Gqn)
    return agent, agent.init(0, normaliser(agent.arch))


def windows(agent: Gqn, minibatches: int, size: int = 8, seed: int = 0) -> Batch:
    """Stacked minibatches of windows, as the replay gathers them."""
    batch = make_batch(agent.arch, minibatches, size, seed)
    steps = agent.config.n_step
    batch["action"] = np.repeat(batch["action"], steps, axis=-1)
    kept = {"bootstrap": 0.9 * batch["mask"], "valid": np.ones_like(batch["mask"])}
    return batch | kept


def test_every_grid_holds_the_points_of_the_one_before():
    assert grid.stages(2, 9) == [2, 3, 5, 9]
    opened = [grid.points(9)[grid.open_points(9, size) > 0].tolist() for size in (2, 3, 5, 9)]
    assert opened[:3] == [[-1, 1], [-1, 0, 1], [-1, -0.5, 0, 0.5, 1]]
    assert all(set(a) <= set(b) for a, b in itertools.pairwise(opened))
    assert len(opened[3]) == 9


def test_stages_open_at_equal_shares_of_the_steps():
    agent, _ = make(utd=2)
    counts = [int(agent.active(jnp.uint32(step)).sum()) for step in (0, 19, 20, 40, 59, 60, 10_000)]
    assert counts == [2, 2, 3, 5, 5, 9, 9]
    fixed, _ = make(first_bins=9)
    assert int(fixed.active(jnp.uint32(0)).sum()) == 9


def test_actions_are_snapped_to_the_nearest_open_point_and_the_distance_is_told():
    action = jnp.array([[0.3, -0.9], [0.7, 0.1]])
    chosen, off = grid.snapped(action, jnp.asarray(grid.open_points(9, 3)))
    assert chosen.tolist() == [[4, 0], [8, 4]]
    np.testing.assert_allclose(off, [[0.3, 0.1], [0.3, 0.1]], rtol=1e-5)


def test_the_best_action_is_the_best_entry_by_entry_and_no_point_that_is_closed():
    worth = np.zeros((1, 1, 2, 9), np.float32)
    worth[0, 0, 0, [3, 4]] = 9.0, 2.0  # The third point is closed as yet.
    worth[0, 0, 1, 8] = 1.0
    active = jnp.asarray(grid.open_points(9, 3))
    chosen = grid.best(jnp.asarray(worth), active)
    assert chosen.tolist() == [[4, 8]]
    assert grid.taken(jnp.asarray(worth), chosen).tolist() == [[1.5]]  # The mean over the entries, not their sum.


def test_the_target_is_the_lower_target_value_of_what_the_critics_themselves_would_do():
    agent, state = make()
    batch = minibatch(windows(agent, 1), 0)
    moved = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.arange(leaf.size).reshape(leaf.shape) / leaf.size, state.critics)
    state = state._replace(target_critics=moved)
    seen = batch["next_observation"]["state"]
    ours, theirs = (np.asarray(grid.values(each, seen, agent.arch)) for each in (state.critics, moved))
    opened = [0, 8]
    picked = np.array(opened)[ours.mean(0)[..., opened].argmax(-1)]
    told = np.take_along_axis(theirs, np.broadcast_to(picked, theirs.shape[:-1])[..., None], -1)[..., 0].mean(-1)
    wanted = batch["reward"] + batch["bootstrap"] * told.min(axis=0)
    np.testing.assert_allclose(agent.td_target(state, batch), wanted, rtol=1e-4, atol=1e-5)


def test_the_margin_is_demanded_of_what_was_shown_and_less_where_the_grid_cannot_show_it():
    agent, _ = make(margin=0.5)
    worth = jnp.zeros((1, 2, 1, 9)).at[0, :, 0, 8].set(0.2)
    active = jnp.asarray(grid.open_points(9, 2))
    short = agent.demanded(worth, jnp.array([[0], [8]]), jnp.array([[0.0], [0.5]]), active)
    np.testing.assert_allclose(short, [0.7, 0.15], rtol=1e-5)


def test_an_update_moves_the_critics_and_says_how_far_human_actions_were_off_the_grid():
    agent, state = make(utd=2)
    before = snapshot(state)
    batch = windows(agent, 2)
    batch["human"][:, 2:] = 0.0  # Of what is imitated the rest is a past run's own success.
    state, metrics = agent.update(state, batch)
    assert digest(state.critics) != digest(before.critics)
    assert int(state.step) == 2
    shown = batch["action"][:, :2, :2]  # Of a window the first action counts.
    assert float(metrics["human/snap_error"]) == pytest.approx(float((1 - np.abs(shown)).mean()), rel=1e-4)
    assert float(metrics["actor/open_points"]) == 2
    again = agent.update(agent.init(0, normaliser(agent.arch)), windows(agent, 2))[0]
    assert digest(again) == digest(state)


def test_what_travels_acts_on_the_robot_on_open_points_alone():
    spec = toy_env().wire_spec
    agent, state = make(spec, exploration=1.0)
    slot, greedy = PolicySlot(spec), PolicySlot(spec, explores=False)
    state = state._replace(step=jnp.uint32(25))
    for each in (slot, greedy):
        each.load(encode_policy(agent.policy(state), agent.arch, version=3, fingerprint=spec.fingerprint()))
    seen = {"state": np.ones(2, np.float32)}
    tried = {float(entry) for _ in range(60) for entry in slot.act(seen)[0]}
    assert tried == {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert len({tuple(greedy.act(seen)[0]) for _ in range(5)}) == 1


def test_it_finds_the_best_point_of_a_grid_that_grew():
    """One step episodes whose reward falls with the distance to what is seen: the greedy action is near it."""
    agent, state = make(utd=4, grow_steps=60, bc_weight=0.0, learning_rate=3e-3, hidden=[32], polyak=0.05, n_step=1)
    rng = np.random.default_rng(0)
    update = agent.update
    for _ in range(150):
        seen = rng.uniform(-1, 1, (4, 64, 3)).astype(np.float32)
        points = np.asarray(grid.points(9))[np.asarray(agent.active(state.step)) > 0]
        action = rng.choice(points, (4, 64, 2)).astype(np.float32)
        batch = windows(agent, 4, 64) | {"observation": {"state": seen}, "next_observation": {"state": seen}}
        reward = 1 - np.abs(action - seen[..., :2]).mean(-1)
        batch |= {"action": action, "reward": reward, "bootstrap": np.zeros_like(reward)}
        state, _ = update(state, batch)
    seen = rng.uniform(-1, 1, (200, 3)).astype(np.float32)
    params = agent.policy(state)
    chosen = grid.best(grid.values(params["critics"], jnp.asarray(seen), agent.arch), params["active"])
    distance = np.abs(np.asarray(grid.points(9)[chosen]) - seen[:, :2])
    assert distance.mean() < 0.12  # Blind choice is 0.67 off; the nearest point 0.0625.


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"bins": 8}, r"agent.bins must follow from agent.first_bins by doubling the gaps .* got 8 from 2"),
        ({"first_bins": 1}, "agent.bins must follow"),
        ({"n_step": 0}, "agent.n_step must be >= 1, got 0"),
        ({"exploration": 1.5}, r"agent.exploration must be in 0..1, got 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict, text: str):
    with pytest.raises(ValueError, match=text):
        GqnConfig(**changes)


def test_it_learns_beside_actors():
    with pytest.raises(ValueError, match="agent=gqn learns beside actors; drop mode=offline, or agent=gqn"):
        learner_config({"run": "r", "agent": {"name": "gqn"}, "mode": "offline", "archive": ["a"]})


def test_a_grid_that_makes_no_sense_is_no_architecture():
    from networks.architecture import Architecture

    told = Grid(bins=1, critics=2, exploration=0.1)
    with pytest.raises(ArchitectureError, match="no critics decide on such a grid"):
        Architecture(frames={}, vectors={"state": 2}, action_dim=2, hidden=(4,), grid=told)
