"""Each offline loss is the one of its paper, shown where the answer is known beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learning import TINY, digest, make_batch, normaliser, snapshot

from learner.agents.base import minibatch
from learner.agents.calql import CalQl, conservative_gap
from learner.agents.iql import Iql, expectile_loss
from learner.agents.td3bc import Td3Bc
from learner.config import CalQlConfig, CqlConfig, IqlConfig, Td3BcConfig
from learner.neighbours import Neighbours, require_vectors
from networks import critic, encoder, policy
from networks.architecture import Architecture
from wire.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compiles")
SMALL = {"batch_size": 8, "hidden": [8], "utd": 2}
BANDIT = Architecture(frames={}, vectors={"state": 1}, action_dim=1, hidden=(32, 32))


def bandit(minibatches: int, size: int = 64, seed: int = 0) -> dict:
    """One state, no future, and three actions in the data, of reward 0, 0.3 and 1; nothing near 0.6 was ever tried."""
    rng = np.random.default_rng(seed)
    which = rng.integers(3, size=(minibatches, size))
    batch = make_batch(BANDIT, minibatches, size)
    seen = {"state": np.zeros((minibatches, size, 1), np.float32)}
    return batch | {
        "observation": seen,
        "next_observation": seen,
        "action": np.array([-0.8, 0.0, 0.3], np.float32)[which][..., None],
        "reward": np.array([0.0, 0.3, 1.0], np.float32)[which],
        "mask": np.zeros((minibatches, size), np.float32),
    }


# Implicit Q-learning.


def test_an_expectile_of_a_half_is_the_mean_and_one_near_one_the_maximum():
    rewards = jnp.array([0.0, 0.3, 1.0])
    for expectile, wanted in ((0.5, 1.3 / 3), (0.99, 1.0), (0.01, 0.0)):
        grid = jnp.linspace(-0.2, 1.2, 1401)
        losses = jax.vmap(lambda v, e=expectile: expectile_loss(rewards - v, e).sum())(grid)
        assert float(grid[jnp.argmin(losses)]) == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize(("expectile", "wanted"), [(0.5, 1.3 / 3), (0.98, 0.98)])
def test_the_value_of_a_bandit_approaches_the_best_action_in_the_data(expectile: float, wanted: float):
    config = IqlConfig(hidden=[32, 32], expectile=expectile, learning_rate=3e-3, polyak=0.1, policy_polyak=0.1)
    agent = Iql(config, BANDIT)
    state = agent.init(0, normaliser(BANDIT))
    for block in range(15):
        state, metrics = agent.update(state, bandit(40, seed=block))
    value = float(metrics["critic/q_mean"] - metrics["critic/advantage"])  # Near enough: the targets have settled.
    assert value == pytest.approx(wanted, abs=0.08)
    if expectile > 0.9:
        acts = policy.act(agent.policy(state), {"state": jnp.zeros((1, 1))}, None, BANDIT)
        assert float(acts[0, 0]) == pytest.approx(0.3, abs=0.1), "the best action of the data, and none beyond it"


def test_actions_are_imitated_by_the_exponential_of_their_advantage_and_no_more_than_the_limit():
    agent = Iql(IqlConfig(**SMALL, inverse_temperature=2.0, largest_weight=5.0), TINY)
    params = agent.init(0, normaliser(TINY)).policy
    features, action = jnp.ones((1, 3)), jnp.full((1, 2), 0.5)
    losses = [float(agent.policy_loss(params, features, action, jnp.array([a]))) for a in (0.0, 0.5, 10.0)]
    assert losses[1] / losses[0] == pytest.approx(np.e, rel=1e-4)
    assert losses[2] / losses[0] == pytest.approx(5.0, rel=1e-4)


# CQL and Cal-QL.


def conservative(kind: type[CqlConfig] = CqlConfig, **changes: object) -> CalQl:
    settings: dict = {"critics": 2, "subset": 2, "compared_actions": 3, "backup_actions": 2, "shift_pixels": 0}
    return CalQl(kind(**SMALL | settings | changes), TINY, None)


def gap_of(agent: CalQl, returns: float) -> tuple[float, dict]:
    """The critics' loss, and its gradient, for batches whose returns-to-go are all the same."""
    state = agent.init(0, normaliser(TINY))
    batch = minibatch(make_batch(TINY, 1), 0) | {"return_to_go": jnp.full(8, returns)}
    batch = agent.prepared(state, batch, jax.random.key(1))
    trained = {"encoder": state.encoder, "critics": state.critics}
    loss, gradient = jax.value_and_grad(lambda t: agent.critic_loss(t, state.normaliser, batch, batch["reward"])[0])(
        trained
    )
    return float(loss), gradient


def test_calibrated_by_returns_below_every_value_it_is_cql():
    plain, plain_gradient = gap_of(conservative(), -1e9)
    for returns in (-1e9, -np.inf):
        loss, gradient = gap_of(conservative(CalQlConfig), returns)
        assert loss == plain
        assert digest(gradient) == digest(plain_gradient)


def test_calibrated_by_returns_above_every_value_the_policys_actions_are_not_pushed():
    rng = np.random.default_rng(0)
    compared, values = jnp.asarray(rng.normal(size=(2, 6, 5))), jnp.asarray(rng.normal(size=(2, 5)))
    density = jnp.zeros((6, 5))
    gradient = jax.grad(lambda c: conservative_gap(c, values, density, jnp.full(5, 1e9)).sum())(compared)
    np.testing.assert_array_equal(gradient, 0.0)
    # Below, each is pushed down by its share of the exponentials.
    gradient = jax.grad(lambda c: conservative_gap(c, values, density, jnp.full(5, -1e9)).sum())(compared)
    np.testing.assert_allclose(gradient.sum(axis=1), 1.0, rtol=1e-5)


def test_uniform_actions_stay_uncalibrated():
    compared = jnp.zeros((1, 3, 1)).at[0, 0].set(-4.0)
    gap = conservative_gap(compared, jnp.zeros((1, 1)), jnp.zeros((3, 1)), jnp.array([2.0]))
    assert float(gap[0, 0]) == pytest.approx(np.log(np.exp(-4.0) + 2 * np.exp(2.0)), rel=1e-5)


def test_the_temperature_of_the_gap_is_in_the_unit_of_the_return():
    """Rewards ten times as large at temperature 1 are the same loss, ten times as large."""
    compared, density = jax.random.normal(jax.random.key(0), (2, 9, 5)), jax.random.normal(jax.random.key(1), (9, 5))
    values, floor = jnp.ones((2, 5)), jnp.zeros(5)
    tenfold = conservative_gap(10 * compared, 10 * values, density, 10 * floor)
    np.testing.assert_allclose(10 * conservative_gap(compared, values, density, floor, 0.1), tenfold, rtol=1e-4)


def test_the_density_of_a_uniform_action_is_one_half_per_dimension_and_divides_its_weight():
    agent = conservative()
    state = agent.init(0, normaliser(TINY))
    batch = agent.prepared(state, minibatch(make_batch(TINY, 1), 0), jax.random.key(0))
    np.testing.assert_allclose(batch["log_density"][:3], 2 * np.log(0.5), rtol=1e-6)
    assert float(jnp.abs(batch["compared"]).max()) < 1.0
    # With importance weights the mean of exp(Q) over uniform actions is the integral of exp(Q) over the square.
    third = jnp.zeros((1, 3, 1))
    gap = conservative_gap(third, jnp.zeros((1, 1)), jnp.full((3, 1), 2 * jnp.log(0.5)), jnp.array([-jnp.inf]))
    assert float(gap[0, 0]) == pytest.approx(np.log(3 * 4.0), rel=1e-5)


def test_the_conservative_loss_pulls_the_data_up_and_without_weight_it_is_sac():
    agent, none = conservative(conservatism=1.0), conservative(conservatism=0.0)
    state = none.init(0, normaliser(TINY))
    batch = none.prepared(state, minibatch(make_batch(TINY, 1), 0), jax.random.key(1))
    trained = {"encoder": state.encoder, "critics": state.critics}
    loss, (_, values) = none.critic_loss(trained, state.normaliser, batch, batch["reward"])
    assert float(loss) == pytest.approx(float(jnp.mean((values - batch["reward"]) ** 2)), rel=1e-5)
    gradient = jax.grad(
        lambda v: jnp.sum(conservative_gap(jnp.zeros((2, 9, 8)), v, batch["log_density"], batch["floor"]))
    )(values)
    np.testing.assert_array_equal(gradient, -1.0)
    assert float(agent.critic_loss(trained, state.normaliser, batch, batch["reward"])[0]) > float(loss)


def test_the_target_takes_the_best_of_several_next_actions():
    one, many = conservative(backup_actions=1, discount=1.0), conservative(backup_actions=32, discount=1.0)
    state = one.init(0, normaliser(TINY))
    batch = minibatch(make_batch(TINY, 1), 0)
    few = np.mean([one.td_target(state, batch, jax.random.key(k)) for k in range(8)])
    best = np.mean(many.td_target(state, batch, jax.random.key(0)))
    assert best > few


# TD3+BC and PRDC.


def near_data(**changes: object) -> Td3Bc:
    return Td3Bc(Td3BcConfig(**SMALL, **changes), TINY, None)


def test_the_policys_gradient_does_not_depend_on_the_scale_of_the_reward():
    agent = near_data()
    state = agent.init(0, normaliser(TINY))
    batch = minibatch(make_batch(TINY, 1), 0)
    features = encoder.apply(state.encoder, state.normaliser, batch["observation"], TINY)
    gradients = []
    for scale in (1.0, 1000.0):
        head = jax.tree.map(lambda leaf, s=scale: leaf * s, state.critics["head"])
        gradient_of = jax.grad(agent.policy_loss, has_aux=True)
        gradient, _ = gradient_of(state.policy, state.critics | {"head": head}, features, batch, features)
        gradients.append(gradient)
    for a, b in zip(jax.tree.leaves(gradients[0]), jax.tree.leaves(gradients[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def test_without_value_the_policy_clones():
    agent = near_data(alpha=0.0)
    state = agent.init(0, normaliser(TINY))
    batch = minibatch(make_batch(TINY, 1), 0)
    features = encoder.apply(state.encoder, state.normaliser, batch["observation"], TINY)
    loss, _ = agent.policy_loss(state.policy, state.critics, features, batch, features)
    mode = policy.mode(policy.distribution(state.policy, features))
    assert float(loss) == pytest.approx(float(jnp.mean((mode - batch["action"]) ** 2)), rel=1e-5)


def test_the_target_shakes_the_target_policys_action_no_further_than_the_clip():
    still, shaken = near_data(target_noise=0.0), near_data(target_noise=100.0, noise_clip=0.1)
    state = still.init(0, normaliser(TINY))
    batch = minibatch(make_batch(TINY, 1), 0)
    features = encoder.apply(state.encoder, state.normaliser, batch["next_observation"], TINY)
    action = policy.mode(policy.distribution(state.average_policy, features))

    def target(action: jax.Array) -> jax.Array:
        value = jnp.min(critic.apply(state.target_critics, features, action), axis=0)
        return batch["reward"] + still.config.discount * value

    np.testing.assert_allclose(still.td_target(state, batch, jax.random.key(0)), target(action), rtol=1e-5)
    corners = [target(jnp.clip(action + 0.1 * jnp.array(c), -1, 1)) for c in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    off = shaken.td_target(state, batch, jax.random.key(0))
    assert bool((jnp.min(jnp.abs(jnp.stack(corners) - off), axis=0) < 1e-4).all())


def test_the_actor_moves_every_second_step_and_its_targets_with_it():
    agent = near_data()
    state, _ = agent.update(agent.init(0, normaliser(TINY)), make_batch(TINY, 4))
    counts = {name: int(optimiser[0].count) for name, optimiser in state.optimisers.items()}
    assert counts == {"critics": 4, "policy": 2, "encoder": 4}


def test_the_nearest_pair_is_found_though_this_observations_own_action_is_bad():
    # At 0 the data did something bad; a neighbour at 0.1 did what the policy wants.
    data = Neighbours(np.array([[0.0], [0.1], [5.0]]), np.array([[-1.0], [0.8], [0.9]]), observation_weight=2.0)
    np.testing.assert_allclose(data.nearest_action(np.array([[0.0]]), np.array([[0.9]])), [[0.8]], rtol=1e-6)
    # Observations that count for more keep it at its own.
    stern = Neighbours(np.array([[0.0], [0.1]]), np.array([[-1.0], [0.8]]), observation_weight=100.0)
    np.testing.assert_allclose(stern.nearest_action(np.array([[0.0]]), np.array([[0.9]])), [[-1.0]])


def test_with_neighbours_the_policy_is_drawn_to_theirs_inside_the_compiled_update():
    agent = near_data(neighbours=True, alpha=0.0, learning_rate=1e-2, polyak=0.5)
    wanted = np.array([[0.5, -0.5]], np.float32)
    agent.study(Neighbours(np.zeros((1, 3)), wanted, observation_weight=1.0))
    state = agent.init(0, normaliser(TINY))
    for block in range(10):
        state, _ = agent.update(state, make_batch(TINY, 40, seed=block))  # Their own actions are random.
    seen = {"state": make_batch(TINY, 1, 16)["observation"]["state"][0]}
    acts = policy.act(agent.policy(state), seen, None, TINY)
    np.testing.assert_allclose(acts, np.broadcast_to(wanted, (16, 2)), atol=0.1)


def test_neighbours_among_pictures_are_refused():
    from experience import make_spec

    with pytest.raises(UserError, match="observes front, wrist; set obs=state"):
        require_vectors(make_spec())


@pytest.mark.parametrize("kind", ["iql", "cql", "td3bc"])
def test_equal_seeds_give_equal_states_with_cameras_too(kind: str):
    from learning import SEEING

    makers = {
        "iql": lambda: Iql(IqlConfig(**SMALL, shift_pixels=2), SEEING),
        "cql": lambda: CalQl(CqlConfig(**SMALL, critics=2, compared_actions=2, backup_actions=2), SEEING, (0.0, 1.0)),
        "td3bc": lambda: Td3Bc(Td3BcConfig(**SMALL, shift_pixels=2), SEEING, (0.0, 1.0)),
    }
    agent, digests = makers[kind](), []
    for seed in (0, 0, 1):
        state, metrics = agent.update(agent.init(seed, normaliser(SEEING)), make_batch(SEEING, 2))
        assert np.isfinite(float(metrics["critic/loss"]))
        digests.append(digest(snapshot(state)))
    assert digests[0] == digests[1] != digests[2]
