"""The reward service as a room: training goes on without it, and what it could not be asked is labelled later."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_door import SMALL, Command, read, until
from rewarding import record

from wire.labels import REWARD, SCORE, effective, labels_path, labels_since
from wire.store import StepStore, StoreError
from wire.types import UNSCORED, Step

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

SEEING = ("obs=pixels", "env.image_size=16", "agent.embedding=4", "human=none", "demos=none", "eval_episodes=1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of small frames that has never been trained, and claims nothing."""
    from rewards.calibration import Platt
    from rewards.network import Architecture, Network
    from rewards.success import SuccessClassifier
    from wire.scoring import Rule

    folder = tmp_path_factory.mktemp("model")
    inputs = dict.fromkeys(("front", "wrist"), (16, 16, 3))
    network = Network(Architecture(tuple(inputs), channels=(4,), embedding=4))
    SuccessClassifier(network, inputs, Platt(), Rule(0.999999)).save(folder, {})
    return folder


@pytest.fixture
def command(tmp_path: Path, model: Path) -> Iterator[Command]:
    words = ("sim", *SMALL, *SEEING, f"reward=classifier:{model}", "run=r", "steps=200", "actor.pace=clock")
    words += ("learner.shaping=0.2",)
    started = Command(tmp_path, *[word for word in words if word != "obs=state"])
    yield started
    if started.process.poll() is None:
        started.kill_rooms()


def steps_of(run: Path) -> list[tuple[str, int, Step]]:
    try:
        with StepStore.read(run / "steps.sqlite") as store:
            return [(row.stream, row.seq, row.step) for row in store.rows()]
    except StoreError:
        return []


def service_of(command: Command) -> list[int]:
    """The process of the reward service."""
    pids = command.rooms()
    return [pid for pid in pids if b"rewards" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]


def test_a_killed_service_neither_stops_training_nor_loses_a_label(command: Command, tmp_path: Path):
    run = tmp_path / "r"
    until(lambda: len(steps_of(run)) > 20, command)
    # Steps come by the clock, as on a robot: whether anybody scores them or not.
    (first,) = service_of(command)
    os.kill(first, signal.SIGKILL)
    until(lambda: any(step.reward_by == UNSCORED for _, _, step in steps_of(run)), command)
    until(lambda: service_of(command) not in ([], [first]), command)
    known = len([0 for _, _, step in steps_of(run) if step.reward_by != UNSCORED])
    until(lambda: len([0 for _, _, step in steps_of(run) if step.reward_by != UNSCORED]) > known, command)
    until(lambda: labels_path(run / "steps.sqlite").exists(), command)
    assert command.ends() == 0, command.said
    steps = steps_of(run)
    assert [seq for _, seq, _ in steps] == list(range(1, len(steps) + 1))
    assert len(steps) >= 200
    versions = {step.reward_by for _, _, step in steps}
    assert len(versions) == 2  # The model's and UNSCORED; never the task's.
    assert UNSCORED in versions
    assert "" not in versions
    labels = effective(labels_since(run / "steps.sqlite")[0])
    unscored = [(stream, seq) for stream, seq, step in steps if step.reward_by == UNSCORED]
    late = [key for key in unscored if key in labels]
    print(f"unscored {len(unscored)}, of them labelled before the run ended {len(late)}")
    assert late
    assert not any(label.value for label in labels.values())
    scores = effective(labels_since(run / "steps.sqlite")[0], SCORE)
    assert any(step.reward_by != UNSCORED for stream, seq, step in steps if (stream, seq) in scores)
    assert read(run / "summary.json")["gradient_steps"] > 0  # From steps whose every state was scored.
    with StepStore.read(run / "steps.sqlite") as store:
        assert store.spec.reward == "classifier-1"
        assert store.spec.return_bounds == (0.0, 1.0)
    assert read(run / "summary.json")["env_steps"] >= 200


def test_a_model_that_cannot_be_used_ends_the_run_before_it_begins(tmp_path: Path, model: Path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.json").write_text("{")
    words = [*(word for word in SMALL if word != "obs=state"), *SEEING, f"reward=classifier:{broken}", "run=r"]
    command = Command(tmp_path, "sim", *words)
    assert command.ends() == 2
    assert "model.json is damaged" in command.said
    assert "Traceback" not in command.said
    other = Command(tmp_path, "sim", *[word.replace("16", "32") for word in words[:-2]], f"reward=classifier:{model}")
    assert other.ends() == 2, other.said
    assert "looks at front (16, 16, 3)" in other.said


def preference(folder: Path, seed: int) -> str:
    """A reward of small frames that nobody has taught anything; its version."""
    import torch

    from rewards.network import Architecture, Network
    from rewards.preference import PreferenceReward, Scale

    torch.manual_seed(seed)
    inputs = dict.fromkeys(("front", "wrist"), (16, 16, 3))
    network = Network(Architecture(tuple(inputs), channels=(4,), embedding=4))
    reward = PreferenceReward([network], inputs, Scale((0.0,), (1.0,), -3.0, 3.0))
    reward.save(folder, {})
    return reward.version


def test_a_robot_learns_from_preferences_and_a_new_reward_rewards_its_whole_run_anew(tmp_path: Path):
    first, second = (preference(tmp_path / name, seed) for seed, name in enumerate(("m1", "m2")))
    words = [word for word in (*SMALL, *SEEING, "run=r") if word not in ("obs=state", "demos=none")]
    begun = Command(tmp_path, "sim", *words, "demos=script:1", "steps=60", "reward=preference:m1")
    assert begun.ends() == 0, begun.said
    gone_on = Command(tmp_path, "sim", "run=r", "resume=true", "steps=90", "reward=preference:m2")
    assert gone_on.ends() == 0, gone_on.said
    assert read(tmp_path / "r" / "summary.json")["gradient_steps"] > 100
    rewarded: dict[str, list[int]] = {}
    for label in labels_since(tmp_path / "r" / "steps.sqlite")[0]:
        assert label.kind == REWARD
        assert -1.0 <= label.value <= 0.0
        rewarded.setdefault(label.version, []).append(label.seq)
    assert list(rewarded) == [first, second]
    for seqs in rewarded.values():
        assert len(set(seqs)) == len(seqs), "nothing is rewarded twice"
    assert min(rewarded[second]) == 1, "from the first step on, which the first reward has rewarded"
    assert len(rewarded[second]) > 60 >= max(rewarded[first])


def test_audit_relabel_and_serve_are_verbs(tmp_path: Path, model: Path):
    record(tmp_path / "steps.sqlite", 8)  # Frames of 16 pixels too.
    audit = Command(tmp_path, "rewards", "audit", f"model={model}", "runs=[.]", "json=a.json")
    relabel = Command(tmp_path, "rewards", "relabel", f"model={model}", "runs=[.]")
    serve = Command(tmp_path, "rewards", "serve", f"model={model}", "bind=tcp://127.0.0.1:*")
    assert audit.ends() == 0, audit.said
    figures = read(tmp_path / "a.json")
    assert figures["false_positive_rate"] == 0.0
    assert figures["false_negative_rate"] == 1.0
    assert figures["n"] == 40
    assert relabel.ends() == 0, relabel.said
    assert "success in 0 of 8 episodes, otherwise than recorded in 4" in relabel.said
    until(lambda: " answers at tcp://127.0.0.1:" in serve.said, serve)
    serve.process.send_signal(signal.SIGTERM)
    assert serve.ends() in (0, 130)
