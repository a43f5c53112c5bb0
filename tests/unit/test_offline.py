"""Learning from past runs alone: equal seeds give equal policies, a stop loses nothing, a new run may go on from it."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from learning import digest, normaliser, vector_spec
from test_replay import step

from learner.agents import make_agent
from learner.config import LearnerConfig, learner_config
from learner.console import LearnerConsole
from learner.offline import POLICIES, OfflineTrainer, offline_spec
from learner.publisher import POLICY_FILE
from learner.run import ARCHIVE, open_run
from learner.warm_start import adopted, warm_start
from networks.architecture import architecture_for
from wire.errors import UserError
from wire.labels import Label, append_labels
from wire.specs import EnvSpec
from wire.store import StepStore
from wire.types import Source

pytestmark = pytest.mark.usefixtures("quick_compiles")
SPEC = vector_spec(state=1, actions=1)


def record(path: Path, spec: EnvSpec = SPEC, episodes: int = 6, length: int = 5) -> Path:
    path.mkdir(parents=True)
    with StepStore.open(path / ARCHIVE, spec) as store:
        for episode in range(episodes):
            for t in range(length):
                last = t == length - 1
                seen = step(episode, t, 0.1 * t, reward=float(last), final=0.9 if last else None)
                store.insert("a" * 32, episode * length + t + 1, seen)
        store.commit()
    return path


def taken_over(path: Path) -> None:
    """A run in which a person took over after the third step of every episode."""
    path.mkdir()
    with StepStore.open(path / ARCHIVE, SPEC) as store:
        for number in range(30):
            t = number % 5
            changes = {"source": Source.HUMAN if t > 2 else Source.POLICY, "final": 0.9 if t == 4 else None}
            store.insert("a" * 32, number + 1, step(number // 5, t, 0.1 * t, reward=float(t == 4), **changes))
        store.commit()


def config(folder: Path, run: str = "mine", agent: str = "iql", **changes: Any) -> LearnerConfig:
    settings: dict[str, Any] = {
        "run": str(folder / run),
        "mode": "offline",
        "archive": [str(folder / "past")],
        "steps": 80,
        "evaluate_period": 40,
        "tensorboard": False,
        "agent": {"name": agent, "hidden": [8], "batch_size": 8} | changes.pop("agent_keys", {}),
    }
    return learner_config(settings | changes)


def trained(told: LearnerConfig, stop_after: int | None = None) -> OfflineTrainer:
    """Train to the end, or be interrupted."""
    run = open_run(told)
    spec = offline_spec(told)
    StepStore.open(run.archive, spec).close()
    trainer = OfflineTrainer(told, run, spec, LearnerConsole())
    trainer.train(lambda: stop_after is not None and trainer.done >= stop_after)
    trainer.save()
    trainer.close()
    return trainer


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offline")
    record(folder / "past")
    trained(config(folder, "first"))
    return folder


def test_a_run_holds_its_policy_its_losses_and_policies_to_judge(shared):
    run = shared / "first"
    assert (run / POLICY_FILE).exists()
    assert (run / "losses.png").stat().st_size > 1000
    left = sorted(path.name for path in (run / POLICIES).iterdir())
    assert left == ["000000040.weights", "000000080.weights", "last"]
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["gradient_steps"], summary["env_steps"], summary["archive"]["transitions"]) == (80, 0, 30)
    with StepStore.read(run / ARCHIVE) as store:
        assert (store.count(), store.spec) == (0, SPEC)


def test_equal_seeds_give_equal_policies_and_an_interruption_changes_nothing(shared):
    wanted = (shared / "first" / POLICY_FILE).read_bytes()
    trained(config(shared, "stopped"), stop_after=40)
    assert (shared / "stopped" / POLICY_FILE).read_bytes() != wanted
    again = trained(config(shared, "stopped", resume=True))
    assert again.done == 80
    assert (shared / "stopped" / POLICY_FILE).read_bytes() == wanted


def test_a_run_is_not_begun_on_top_of_another(shared):
    with pytest.raises(UserError, match="holds a run already; set resume=true"):
        open_run(config(shared, "first"))


@pytest.mark.parametrize("agent", ["bc", "calql", "td3bc"])
def test_every_agent_learns_offline(shared, agent: str):
    small = {"calql": {"compared_actions": 2, "backup_actions": 2, "critics": 2}, "td3bc": {"neighbours": True}}
    trainer = trained(config(shared, agent, agent, steps=40, agent_keys=small.get(agent, {})))
    assert trainer.done == 40
    assert np.isfinite([float(value) for name, value in trainer._metrics.items() if "td_error" not in name]).all()


def test_without_past_runs_there_is_nothing_to_learn_from_offline():
    with pytest.raises(ValueError, match="mode=offline learns from past runs, and none are named"):
        LearnerConfig(run="r", mode="offline", agent=config(Path()).agent)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stop_at": 0.9}, "with mode=offline there are none: say how long by steps=, and drop stop_at=0.9"),
        ({"devices": 2}, "mode=offline learns on one device, got learner.devices=2"),
        ({"devices": 0}, "mode=offline learns on one device, got learner.devices=0"),
    ],
)
def test_what_has_no_effect_offline_is_refused(changes: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        config(Path(), **changes)


def test_the_same_run_teaches_another_policy_with_another_cost_of_takeovers(tmp_path):
    taken_over(tmp_path / "past")
    keys = {"critics": 2, "utd": 2, "takeover_steps": 2}

    def learned(run: str, interventions: str, cost: float = 0.0) -> str:
        told = config(
            tmp_path, run, "rlpd", steps=40, interventions=interventions, agent_keys=keys | {"takeover_cost": cost}
        )
        return digest(trained(told)._state.critics)

    plain = learned("plain", "plain")
    assert learned("free", "takeover") == plain
    assert learned("dear", "takeover", 0.2) != plain


def test_offline_too_the_policy_is_tied_to_the_human_on_request(tmp_path):
    taken_over(tmp_path / "past")
    told = config(tmp_path, agent="rlpd", steps=40, interventions="lagrange", agent_keys={"critics": 2})
    trainer = trained(told)
    assert np.isfinite(float(trainer._metrics["human/model_loss"]))
    assert jax.tree.leaves(trainer._state.human)


CLASSIFIED = vector_spec(state=1, actions=1, reward="classifier-1", return_bounds=(0.0, 1.0))


def test_where_a_classifier_gives_the_reward_its_runs_serve_and_so_do_labelled_ones_of_the_task(tmp_path):
    past = tmp_path / "past"
    record(past / "judged", CLASSIFIED, episodes=2)
    record(past / "labelled", episodes=3)
    append_labels(past / "labelled" / ARCHIVE, [Label("a" * 32, 5, 0.0, version="m")])
    record(past / "bare", episodes=4)
    trainer = trained(config(tmp_path, reward="classifier", steps=20))
    assert (trainer.spec.reward, trainer.spec.return_bounds) == ("classifier-1", (0.0, 1.0))
    assert {run.path.parent.name: bool(run.reason) for run in trainer._past} == {
        "judged": False,
        "labelled": False,
        "bare": True,
    }
    with StepStore.read(Path(trainer.config.run) / ARCHIVE) as store:
        assert store.spec.reward == "classifier-1"


def test_demonstrations_of_the_tasks_own_reward_want_labels_before_a_classifier_counts_offline(tmp_path):
    demos = record(tmp_path / "demos", episodes=2) / ARCHIVE
    told = config(tmp_path, reward="classifier", archive=[], demos=str(demos), steps=20)
    with pytest.raises(UserError, match=r"is rewarded by toy-1, this run by a classifier: label it first"):
        trained(told)
    append_labels(demos, [Label("a" * 32, 5, 0.0, version="m")])
    trainer = trained(config(tmp_path, "other", reward="classifier", archive=[], demos=str(demos), steps=20))
    assert trainer.replay.rewards(np.arange(10)).sum() == 1.0, "of two recorded successes one is none"


# Beginning with what an earlier run learned.


def fresh(agent: str, spec: EnvSpec = SPEC, **keys: Any) -> tuple[Any, Any]:
    told = config(Path(), agent=agent, agent_keys=keys).agent
    made = make_agent(told, spec)
    return made, made.init(9, normaliser(architecture_for(spec, hidden=(8,))))


def test_the_same_agent_begins_with_everything_but_its_seed(shared):
    said: list[str] = []
    _, state = fresh("iql")
    started = warm_start(state, shared / "first", SPEC, said.append)
    assert int(started.step) == 80
    assert int(started.seed) == 9
    assert int(jax.tree.leaves(started.optimisers["policy"])[0]) == 80, "Adam's own count of steps"
    assert digest(started.policy) != digest(state.policy)
    assert "everything restored" in said[0]


def test_another_agent_takes_what_it_knows_and_says_what_begins_anew(shared):
    said: list[str] = []
    _, state = fresh("rlpd", critics=2)
    started = warm_start(state, shared / "first", SPEC, said.append)
    _, of_iql = fresh("iql")
    same = warm_start(of_iql, shared / "first", SPEC, said.append)
    for part in ("policy", "average_policy", "critics", "target_critics", "normaliser", "encoder"):
        assert digest(getattr(started, part)) == digest(getattr(same, part)), part
    assert digest(started.log_temperature) == digest(state.log_temperature)
    assert said[0].endswith("begin anew, for it has none that fit: log_temperature, optimiser of log_temperature")


def test_where_the_critics_are_new_the_pull_to_prior_actions_is_too(shared):
    said: list[str] = []
    trained(config(shared, "cloned", "bc", steps=40))
    agent, state = fresh("rlpd", critics=2)
    started = warm_start(state, shared / "cloned", SPEC, said.append)
    assert int(started.step) == 0
    assert float(agent._fade(started)) == 1.0
    assert digest(started.policy) != digest(state.policy)
    assert "critics, " in said[0]
    assert ", step, " in said[0]


def test_as_many_critics_as_there_were_are_taken_where_nobody_asked_for_a_number(shared):
    told = config(Path(), agent="rlpd").agent
    assert adopted(told, str(shared / "first")).critics == 2  # type: ignore[union-attr]
    assert adopted(told, None) is told


def test_another_network_or_other_observations_are_refused_and_both_sides_named(shared):
    _, state = fresh("rlpd", critics=3, subset=2)
    with pytest.raises(UserError, match=r"critics/head/b is \(2, 1\) there, \(3, 1\) here and .* set agent.hidden"):
        warm_start(state, shared / "first", SPEC, print)
    with pytest.raises(UserError, match=r"cannot begin with .* observation state"):
        warm_start(state, shared / "first", vector_spec(state=2, actions=1), print)
    with pytest.raises(UserError, match=r"init= names a run, and there is none"):
        warm_start(state, shared / "past" / "deep", SPEC, print)


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"layer_norm": False}, "its critics have agent.layer_norm=true, this run's agent.layer_norm=false; set"),
        ({"batch_norm": True}, "its critics have agent.layer_norm=true, this run's agent.batch_norm=true; set"),
        ({"hyperspherical": True}, "its critics have agent.layer_norm=true, this run's agent.hyperspherical=true; set"),
    ],
)
def test_critics_of_another_norm_are_refused_by_the_name_of_the_setting(shared, keys: dict[str, Any], wanted: str):
    _, state = fresh("sac", **keys)
    with pytest.raises(UserError, match=wanted):
        warm_start(state, shared / "first", SPEC, print)


@pytest.mark.parametrize(("agent", "keys"), [("rlpd", {}), ("sac", {"layer_norm": True}), ("calql", {})])
def test_conservative_critics_go_on_as_the_page_says(shared, agent: str, keys: dict[str, Any]):
    if not (shared / "conservative").exists():
        small = {"compared_actions": 2, "backup_actions": 2}
        trained(config(shared, "conservative", "cql", steps=40, agent_keys=small))
    told = config(Path(), agent=agent, agent_keys=keys).agent
    made = make_agent(adopted(told, str(shared / "conservative")), SPEC)
    state = made.init(9, normaliser(architecture_for(SPEC, hidden=(8,))))
    said: list[str] = []
    assert int(warm_start(state, shared / "conservative", SPEC, said.append).step) == 40
    assert "everything restored" in said[0]


def test_a_run_without_a_whole_checkpoint_cannot_be_begun_with(shared):
    _, state = fresh("iql")
    with pytest.raises(UserError, match="has no whole checkpoint to begin with"):
        warm_start(state, shared / "past", SPEC, print)


def test_the_warm_up_is_three_hundred_steps_with_init_and_none_without():
    told = config(Path())
    assert told.warmup == 0
    assert config(Path(), init="r").warmup == 300
    assert config(Path(), init="r", warmup_steps=7).warmup == 7
