"""A policy served elsewhere drives, in chunks, steered by critics; a late or dead one holds the robot."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acting import ToyCell, toy_env, toy_weights
from learning import normaliser, vector_spec
from proposing import PATIENCE_S, critics_for, fan, leave, linked, offer_for, served, until

from actor.config import ExternalConfig
from actor.external import ExternalPolicy
from actor.human import Nobody
from actor.loop import run_episode
from actor.policy_link import PolicyLink
from actor.steering import CRITIC_FILE, Steerer
from envs.guard import Guard
from envs.ticker import Ticker
from learner.agents import make_agent
from learner.config import AGENTS
from learner.publisher import leave_critics
from networks import critic
from wire.addresses import LinkError
from wire.allowed import ALLOWED, AllowList, learner_keys
from wire.errors import UserError
from wire.keys import actor_keys, make_pair, trust_learner
from wire.proposal_server import serve_policy
from wire.proposing import PolicyMisfit
from wire.specs import ArraySpec
from wire.types import Step

pytestmark = pytest.mark.usefixtures("quick_compiles")

ENV = toy_env()
SPEC = ENV.wire_spec
SEEN = {"state": np.array([0.3, 0.0], np.float32)}


def driven(link: PolicyLink, **options: Any) -> ExternalPolicy:
    settings: dict[str, Any] = {"deadline_s": PATIENCE_S, "patience_s": PATIENCE_S, "candidates": 16}
    policy = ExternalPolicy(link, SPEC, **settings | options)
    assert policy.wait()
    return policy


@pytest.fixture
def link() -> Iterator[PolicyLink]:
    with served(offer_for(SPEC), fan) as address, linked(address) as link:
        yield link


def test_unsteered_it_takes_the_first_proposal(link: PolicyLink):
    action, version = driven(link).act(SEEN)
    np.testing.assert_allclose(action, [-0.9, -0.9])
    assert version == 0


def test_steered_it_takes_the_one_that_the_critics_value_most_by_their_lowest_member(link: PolicyLink, tmp_path: Path):
    _, params = leave(tmp_path / "run", SPEC, version=7)
    steerer = Steerer(tmp_path / "run", SPEC, candidates=16)
    action, version = driven(link, steerer=steerer).act(SEEN)
    proposals = fan(SEEN, 16, True)[:, 0]
    values = critic.apply(params["critics"], np.repeat(SEEN["state"][None], 16, axis=0), proposals)
    np.testing.assert_allclose(steerer.values(SEEN, proposals[:, None]), values.min(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(action, proposals[int(values.min(axis=0).argmax())])
    assert version == 7


def test_critics_of_chunks_judge_as_many_actions_as_they_know_by_their_mean(tmp_path: Path):
    _, params = leave(tmp_path, SPEC, chunk=2)
    steerer = Steerer(tmp_path / CRITIC_FILE, SPEC, candidates=4)
    proposals = np.random.default_rng(0).uniform(-1, 1, (3, 5, 2)).astype(np.float32)  # Fewer than were asked for.
    judged = proposals[:, :2].reshape(3, 4)
    values = critic.apply(params["critics"], np.repeat(SEEN["state"][None], 3, axis=0), judged)
    np.testing.assert_allclose(steerer.values(SEEN, proposals), values.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_temperature_draws_by_the_softmax_of_values(tmp_path: Path):
    leave(tmp_path, SPEC)
    proposals = fan(SEEN, 4, True)
    values = Steerer(tmp_path, SPEC, candidates=4).values(SEEN, proposals)
    spread = float(np.ptp(values))
    steerer = Steerer(tmp_path, SPEC, candidates=4, temperature=spread, seed=1)
    drawn = np.bincount([steerer.choose(SEEN, proposals) for _ in range(2000)], minlength=4) / 2000
    wanted = np.exp(values / spread)
    np.testing.assert_allclose(drawn, wanted / wanted.sum(), atol=0.04)


def test_a_chunk_is_carried_out_as_far_as_was_asked_and_a_reset_is_told(tmp_path: Path):
    asked: list[bool] = []

    def chunks(observation: Any, candidates: int, begins: bool) -> np.ndarray:
        asked.append(begins)
        return np.arange(6, dtype=np.float32).reshape(1, 3, 2) / 10

    with served(offer_for(SPEC, chunk=3), chunks) as address, linked(address) as link:
        policy = driven(link, execute=2)
        firsts = [float(np.asarray(policy.act(SEEN)[0])[0]) for _ in range(4)]
        np.testing.assert_allclose(firsts, [0.0, 0.2, 0.0, 0.2])
        assert asked == [True, False]
        policy.act(SEEN)
        policy.reset()
        policy.act(SEEN)
        assert asked == [True, False, False, True]


def episode(policy: ExternalPolicy) -> tuple[list[Step], ToyCell]:
    env, steps = toy_env(limit=50), []
    run_episode(
        env,
        policy,
        Nobody(),
        Guard(env.limits),
        Ticker(500.0),
        steps.append,
        episode=0,
        seed=0,
        stopped=lambda: bool(policy.trouble),
    )
    return steps, env.cell


def test_a_policy_that_is_late_never_delays_the_robot_it_holds_and_then_the_episode_ends():
    may = threading.Event()

    def slow(observation: Any, candidates: int, begins: bool) -> np.ndarray:
        may.wait()
        return fan(observation, candidates, begins)

    with served(offer_for(SPEC), slow) as address, linked(address) as link:
        policy = driven(link, deadline_s=0.02, patience_s=0.04)
        steps, cell = episode(policy)
        may.set()
        assert steps
        assert all(step.held and step.policy_action is None for step in steps)
        assert not steps[-1].ended
        assert all(command[0] == 0 for command in cell.commands)
        assert cell.holds > len(steps)
        assert "has given no action for 0.04 s" in policy.trouble
        assert "external.deadline_s, now 0.02" in policy.trouble
        assert policy.missed == len(steps)


def test_a_policy_that_died_is_not_waited_for_and_drives_again_once_it_is_back():
    with served(offer_for(SPEC), fan) as address:
        link = PolicyLink(address)
        link.start()
        policy = driven(link, deadline_s=0.05, patience_s=0.01)
        assert policy.act(SEEN)[0] is not None
    try:
        assert policy.act(SEEN)[0] is None
        assert policy.trouble
        assert not policy.wait(lambda: True)
        with served(offer_for(SPEC), fan, bind=address):
            policy = driven(link)
            assert policy.act(SEEN)[0] is not None
            assert policy.trouble == ""
    finally:
        link.close()


def test_what_makes_the_policy_fail_is_said_where_the_robot_is():
    def broken(observation: Any, candidates: int, begins: bool) -> np.ndarray:
        raise RuntimeError("out of memory")

    with served(offer_for(SPEC), broken) as address, linked(address) as link:
        policy = driven(link, patience_s=1e-9)
        assert policy.act(SEEN)[0] is None
        assert "the policy failed: RuntimeError: out of memory" in policy.trouble


def test_a_policy_for_other_observations_is_refused_before_the_robot_moves():
    with served(offer_for(SPEC, action=7), fan) as address, linked(address) as link:
        policy = ExternalPolicy(link, SPEC, deadline_s=1.0, patience_s=1.0)
        with pytest.raises(PolicyMisfit, match=r"toy-1 .* does not fit: its actions have 7 entries, here they have 2"):
            policy.wait()


def test_critics_of_longer_chunks_than_are_proposed_are_refused(link: PolicyLink, tmp_path: Path):
    leave(tmp_path, SPEC, chunk=3)
    with pytest.raises(PolicyMisfit, match="chunks of 1 actions, and the critics of steer= judge 3"):
        driven(link, steerer=Steerer(tmp_path, SPEC, candidates=2))


def test_critics_that_cannot_steer_are_refused_with_the_reason(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no .*critic\.weights"):
        Steerer(tmp_path, SPEC, candidates=2)
    (tmp_path / CRITIC_FILE).write_bytes(toy_weights(SPEC))
    with pytest.raises(UserError, match="the weights of a policy, not of critics"):
        Steerer(tmp_path, SPEC, candidates=2)
    leave(tmp_path, SPEC)
    data = (tmp_path / CRITIC_FILE).read_bytes()
    (tmp_path / CRITIC_FILE).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match="does not match its digest"):
        Steerer(tmp_path, SPEC, candidates=2)


def test_critics_are_read_again_between_episodes_and_damaged_ones_change_nothing(tmp_path: Path):
    leave(tmp_path, SPEC, version=1)
    steerer = Steerer(tmp_path, SPEC, candidates=2)
    before = steerer.values(SEEN, fan(SEEN, 2, True))
    leave(tmp_path, SPEC, version=12, seed=1)
    steerer.refresh()
    assert steerer.version == 12
    after = steerer.values(SEEN, fan(SEEN, 2, True))
    assert not np.allclose(before, after)
    (tmp_path / CRITIC_FILE).write_bytes(b"torn")
    steerer.refresh()
    assert steerer.version == 12
    np.testing.assert_array_equal(steerer.values(SEEN, fan(SEEN, 2, True)), after)


def test_critics_travel_neither_with_a_policys_template_nor_a_policy_with_theirs():
    arch, params = critics_for(SPEC)
    assert set(params) == {"encoder", "normaliser", "critics"}
    assert type(arch).from_json(arch.to_json()) == arch


@pytest.mark.parametrize(
    ("key", "value"),
    [("candidates", 0), ("execute", 0), ("temperature", -1.0), ("deadline_s", 0.0), ("patience_s", 0.0)],
)
def test_settings_out_of_range_are_refused(key: str, value: float):
    with pytest.raises(ValueError, match=f"external.{key} must be"):
        ExternalConfig(address="tcp://127.0.0.1:1", **{key: value})  # type: ignore[arg-type]


def test_a_robot_waits_half_a_control_period_at_most_unless_told_otherwise():
    config = ExternalConfig(address="tcp://127.0.0.1:1")
    assert config.deadline_for(10.0, in_real_time=True) == 0.05
    assert config.deadline_for(10.0, in_real_time=False) == 5.0
    assert ExternalConfig(address="x", deadline_s=0.3).deadline_for(10.0, in_real_time=True) == 0.3


def test_with_keys_a_robot_that_is_on_the_list_is_answered_and_another_is_told_what_to_do(tmp_path: Path):
    learner, known, stranger = (tmp_path / name for name in ("gpu", "known", "stranger"))
    public = make_pair(learner, "learner").public
    for folder in (known, stranger):
        make_pair(folder, folder.name)
        trust_learner(folder, public)
    AllowList(learner / ALLOWED).add("known", actor_keys(known).own.public)
    with served(offer_for(SPEC), fan, keys=learner_keys(learner)) as address:
        with linked(address, actor_keys(known)) as link:
            assert driven(link).act(SEEN)[0] is not None
        with linked(address, actor_keys(stranger)) as link:
            until(lambda: "the served policy does not let this key in" in link.detail)
            assert link.offer is None


def test_an_address_off_this_machine_wants_keys_on_both_sides():
    with pytest.raises(LinkError, match="leaves this machine and the link has no keys"):
        PolicyLink("tcp://gpu:5557").start()
    with pytest.raises(LinkError, match="leaves this machine and the link has no keys"):
        serve_policy(offer_for(SPEC), fan, "tcp://0.0.0.0:5557")


@pytest.mark.parametrize("name", ["iql", "qc"])
def test_what_a_learner_leaves_in_its_run_steers(name: str, tmp_path: Path):
    config = AGENTS[name](hidden=[8])  # type: ignore[call-arg]
    agent = make_agent(config, SPEC)
    state = agent.init(0, normaliser(agent.arch))
    leave_critics(tmp_path, agent, state, version=4, fingerprint=SPEC.fingerprint())
    steerer = Steerer(tmp_path, SPEC, candidates=3)
    proposals = np.random.default_rng(0).uniform(-1, 1, (3, 5, 2)).astype(np.float32)
    values = critic.apply(
        state.target_critics, np.repeat(SEEN["state"][None], 3, axis=0), proposals[:, : steerer.length].reshape(3, -1)
    )
    told = values.mean(axis=0) if name == "qc" else values.min(axis=0)
    np.testing.assert_allclose(steerer.values(SEEN, proposals), told, rtol=1e-3, atol=1e-4)
    assert steerer.version == 4


@pytest.mark.parametrize("name", ["bc", "gqn"])
def test_an_agent_without_critics_of_whole_actions_leaves_none(name: str, tmp_path: Path):
    agent = make_agent(AGENTS[name](hidden=[8]), SPEC)  # type: ignore[call-arg]
    leave_critics(tmp_path, agent, agent.init(0, normaliser(agent.arch)), version=1, fingerprint=SPEC.fingerprint())
    assert list(tmp_path.iterdir()) == []


def test_critics_that_look_at_pictures_steer(tmp_path: Path):
    camera = ArraySpec(shape=(16, 16, 3), dtype="uint8")
    spec = vector_spec(observation={"front": camera, "state": ArraySpec(shape=(3,), dtype="float32")})
    leave(tmp_path, spec)
    steerer = Steerer(tmp_path, spec, candidates=4)
    rng = np.random.default_rng(0)
    proposals = fan({}, 4, True)
    seen = [{"front": rng.integers(0, 256, (16, 16, 3), np.uint8), "state": np.zeros(3, np.float32)} for _ in range(2)]
    values = [steerer.values(each, proposals) for each in seen]
    assert np.isfinite(values).all()
    assert not np.allclose(values[0], values[1])
    with pytest.raises(UserError, match=r"were trained for spec"):
        Steerer(tmp_path, SPEC, candidates=4)
