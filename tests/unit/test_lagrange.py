"""The policy is held near a human who is sure of himself, and let go where he is not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from learning import TINY, digest, make_batch, normaliser, small_sac, snapshot

from learner.agents import lagrange
from learner.agents.base import minibatch
from learner.agents.sac import Sac
from networks import policy
from networks.architecture import Architecture
from networks.layers import Params

pytestmark = pytest.mark.usefixtures("quick_compiles")

ARCH = Architecture(frames={}, vectors={"state": 2}, action_dim=2, hidden=(16,))
REGIONS = jnp.array([[1.0, 0.0], [0.0, 1.0]])
"""In the first the human always does the same, in the second anything."""
HUMAN = 0.4
SLACK = 0.1


def descend(loss: Any, params: Params, steps: int) -> Params:
    optimiser = optax.adam(1e-2)

    def body(carry: Any, key: jax.Array) -> Any:
        params, state = carry
        updates, state = optimiser.update(jax.grad(loss)(params, key), state)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(jax.random.key(0), steps)
    (params, _), _ = jax.lax.scan(body, (params, optimiser.init(params)), keys)
    return params


@pytest.fixture(scope="module")
def human() -> Params:
    """A model of the human of two regions."""

    def loss(params: Params, key: jax.Array) -> jax.Array:
        region = jnp.repeat(REGIONS, 32, axis=0)
        noisy = jax.random.uniform(key, (32, 2), minval=-1.0, maxval=1.0)
        move = jnp.concatenate([jnp.full((32, 2), HUMAN), noisy])
        return lagrange.human_loss(params, region, move, jnp.ones(64))

    return descend(loss, lagrange.human_init(jax.random.key(1), ARCH), 400)


def multipliers(human: Params, mode: jax.Array) -> np.ndarray:
    """lambda in both regions for a policy that goes on acting like this."""
    beyond = lagrange.excess(mode, human, REGIONS, SLACK)
    params = lagrange.multiplier_init(jax.random.key(2), ARCH, first=1.0)
    np.testing.assert_allclose(lagrange.multiplier(params, REGIONS), 1.0, atol=0.1)
    trained = descend(lambda p, key: lagrange.multiplier_loss(p, REGIONS, beyond), params, 300)
    return np.asarray(lagrange.multiplier(trained, REGIONS))


def test_the_model_knows_where_the_human_is_consistent(human: Params):
    mean, log_std = lagrange.human(human, REGIONS)
    np.testing.assert_allclose(mean[0], HUMAN, atol=0.05)
    assert float(jnp.exp(log_std[0]).max()) < 0.1
    # Of a uniform distribution on [-1, 1] it is 0.58.
    np.testing.assert_allclose(jnp.exp(log_std[1]), 0.58, atol=0.12)


def test_equally_far_from_the_human_the_tie_grows_where_he_is_consistent_and_goes_where_he_is_noisy(human: Params):
    mean, _ = lagrange.human(human, REGIONS)
    consistent, noisy = multipliers(human, mean - 0.5)
    assert consistent > 2.0
    assert noisy < 0.1


def test_a_policy_that_does_as_the_human_does_is_free_everywhere(human: Params):
    assert (multipliers(human, lagrange.human(human, REGIONS)[0]) < 0.1).all()


def test_the_model_learns_from_the_humans_actions_alone():
    params = lagrange.human_init(jax.random.key(1), ARCH)
    features, move = jnp.ones((4, 2)), jnp.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]])
    prior = jnp.array([1.0, 0.0, 1.0, 0.0])
    gradient = jax.grad(lagrange.human_loss)(params, features, move, prior)
    other = jax.grad(lagrange.human_loss)(params, features, move.at[1].set(-1.0).at[3].set(-1.0), prior)
    assert digest(gradient) == digest(other)
    assert not any(
        np.any(leaf) for leaf in jax.tree.leaves(jax.grad(lagrange.human_loss)(params, features, move, 0 * prior))
    )


def tied(**changes: Any) -> Sac:
    return Sac(small_sac(utd=2, actor_period=2, prior_share=0.5, bc_weight=1.0, **changes), TINY, None, "lagrange")


def test_the_policys_loss_is_that_of_plain_shrunk_by_the_tie_which_is_added():
    agent = tied(multiplier=2.0)
    plain = Sac(agent.config, TINY, None)
    state = agent.init(0, normaliser(TINY))
    # One multiplier for all states, so that it can be taken out of the mean.
    head = state.multiplier["head"]
    state = state._replace(multiplier=state.multiplier | {"head": head | {"w": jnp.zeros_like(head["w"])}})
    batch = minibatch(make_batch(TINY, 1), 0)
    features = jnp.asarray(batch["observation"]["state"])
    arguments = (state.policy, state, batch, (features, jnp.zeros(8)), jax.random.key(3))
    loss, _ = agent.policy_loss(*arguments)
    free, _ = plain.policy_loss(*arguments)
    mode = jnp.tanh(jnp.zeros((8, 2)))  # Of a policy just made, but for its small last layer.
    tie = jnp.mean(lagrange.distance(mode, lagrange.human(state.human, features)[0]))
    assert float(loss) == pytest.approx((float(free) + 2.0 * float(tie)) / 3.0, abs=0.02)


def test_a_critic_only_step_moves_the_model_and_not_the_multiplier_and_plain_has_neither():
    agent = tied()
    state = agent.init(0, normaliser(TINY))
    before = snapshot(state)
    state, _ = agent.stepper.single[False](state, minibatch(make_batch(TINY, 1), 0))
    assert digest(state.human) != digest(before.human)
    assert digest(state.multiplier) == digest(before.multiplier)
    state, metrics = agent.stepper.single[True](state, minibatch(make_batch(TINY, 1), 0))
    assert digest(state.multiplier) != digest(before.multiplier)
    assert {"human/model_loss", "actor/multiplier", "actor/beyond_human"} <= metrics.keys()
    assert Sac(small_sac(), TINY, None).init(0, normaliser(TINY)).human == {}


def test_what_is_imitated_of_past_runs_and_was_nobodys_doing_says_nothing_of_the_human():
    agent = Sac(small_sac(), TINY, None, "lagrange")
    batch = minibatch(make_batch(TINY, 1), 0)
    batch |= {"human": np.zeros_like(batch["human"]), "prior": np.ones_like(batch["prior"])}
    before = agent.init(0, normaliser(TINY))
    wanted = digest(before.human)
    state, metrics = agent.stepper.single[False](before, batch)
    assert digest(state.human) == wanted
    assert float(metrics["human/model_loss"]) == 0.0


def test_under_a_strong_tie_the_policy_comes_to_act_as_the_human_against_its_critics():
    # Reward pulls to -0.5, the human always does 0.4.
    agent = Sac(
        small_sac(utd=4, learning_rate=3e-3, prior_share=0.5, multiplier=20.0, initial_temperature=1e-4),
        TINY,
        None,
        "lagrange",
    )
    state = agent.init(0, normaliser(TINY))
    rng = np.random.default_rng(0)
    for block in range(120):
        batch = make_batch(TINY, 4, size=32, seed=block)
        his = batch["human"][..., None] > 0
        batch["action"] = np.where(his, HUMAN, rng.uniform(-1, 1, batch["action"].shape)).astype(np.float32)
        batch["reward"] = -((batch["action"] + 0.5) ** 2).sum(-1)
        batch["mask"] = np.zeros_like(batch["mask"])
        state, metrics = agent.update(state, batch)
    features = jnp.asarray(make_batch(TINY, 1, size=64, seed=999)["observation"]["state"][0])
    mode = policy.mode(policy.distribution(state.average_policy, features))
    np.testing.assert_allclose(np.median(mode, axis=0), HUMAN, atol=0.2)
    assert float(metrics["actor/multiplier"]) < 20.0
