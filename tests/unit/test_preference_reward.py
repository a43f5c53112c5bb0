"""A reward from preferences: what it learns, what it may never say, and how it reaches the learner."""

import contextlib
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from rewarding import SIZE, episode, look, spec, write

from learner.config import IqlConfig, LearnerConfig
from learner.pool import open_pool
from rewards.audit import audit
from rewards.calibration import spearman
from rewards.config import AuditConfig, TrainConfig
from rewards.fit_preference import train_preference
from rewards.models import load_model
from rewards.network import Architecture, Network
from rewards.preference import PreferenceReward, Scale
from rewards.preferences import LEFT, NEITHER, RIGHT, Moment, Preference, PreferenceFile, draw_pairs
from rewards.relabel import relabel
from rewards.score import ModelError
from rewards.service import RewardService
from wire.errors import UserError
from wire.labels import PROGRESS, REWARD, Label, append_labels, labels_since
from wire.types import UNSCORED

STREAM = "a" * 32


def glowing(rng: np.random.Generator, much: float) -> dict[str, np.ndarray]:
    """A square in the middle of noise, the brighter the more."""
    seen = look(rng, False)
    for name in ("front", "wrist"):
        seen[name][4:12, 4:12] = int(40 + 200 * much)
    return seen


def glow(path: Path, n: int, seed: int) -> dict[Moment, float]:
    """An archive of episodes in which the square glows at random, and how much after each step."""
    rng, truth, episodes = np.random.default_rng(seed), {}, []
    for number in range(n):
        steps = episode(rng, number, success=number == 0)
        much = rng.uniform(size=len(steps) + 1)
        states = [glowing(rng, each) for each in much]
        steps = [msgspec.structs.replace(step, observation=states[t]) for t, step in enumerate(steps)]
        steps[-1] = msgspec.structs.replace(steps[-1], final_observation=states[-1])
        truth |= {Moment(STREAM, len(steps) * number + t + 1): float(much[t + 1]) for t in range(len(steps))}
        episodes.append(steps)
    write(path, episodes, STREAM)
    labels = [Label(*moment, value, source="outcome", kind=PROGRESS) for moment, value in truth.items()]
    append_labels(path, labels)
    return truth


def answer(path: Path, run: Path, truth: dict[Moment, float], n: int, wrong: float = 0.0) -> Path:
    """A file of answers by somebody who knows, and who errs this often."""
    rng = np.random.default_rng(0)
    with contextlib.closing(PreferenceFile(path)) as file:
        for pair in draw_pairs([str(run)], n, 0):
            right = truth[pair.right] > truth[pair.left]
            file.append([Preference(pair, RIGHT if right != (rng.uniform() < wrong) else LEFT, "vlm", "m", "glow")])
    return path


def quick(run: Path, answers: Path, out: Path, **changes) -> TrainConfig:
    fields = {"iterations": 60, "batch_size": 32, "shift_pixels": 1, "colour": 0.1, "members": 2}
    return TrainConfig(
        kind="preference", runs=[str(run)], preferences=str(answers), out=str(out), **{**fields, **changes}
    )


@pytest.fixture(scope="module")
def glowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, answers of which a fifth is wrong, and the reward that was learned from them."""
    folder = tmp_path_factory.mktemp("glow")
    truth = glow(folder / "steps.sqlite", 40, 1)
    answer(folder / "answers.sqlite", folder / "steps.sqlite", truth, 300, wrong=0.2)
    train_preference(quick(folder / "steps.sqlite", folder / "answers.sqlite", folder / "model"))
    return folder


def test_it_ranks_states_that_it_has_not_seen_though_a_fifth_of_the_answers_was_wrong(glowed: Path, tmp_path: Path):
    glow(tmp_path / "steps.sqlite", 20, 2)
    told = AuditConfig(model=str(glowed / "model"), runs=[str(tmp_path)], json=str(tmp_path / "a.json"))
    figures = audit(told)
    print(figures)
    assert figures["n"] == 120
    assert figures["spearman"] > 0.9
    assert json.loads((tmp_path / "a.json").read_text()) == figures
    facts = json.loads((glowed / "model" / "model.json").read_text())["facts"]
    assert facts["figures"]["preferences"] == 300
    assert 0.65 < facts["figures"]["agreement"] < 0.9, "it agrees with what is right of the answers, not with all"
    assert facts["by"] == ["vlm m"]
    assert (glowed / "model" / "ranked.png").exists()
    assert "glow" in (glowed / "model" / "report.md").read_text()


def test_rewards_are_from_minus_one_to_nothing_and_doubt_is_said(glowed: Path):
    model = load_model(glowed / "model")
    rng = np.random.default_rng(5)
    states = [glowing(rng, much) for much in np.linspace(-0.15, 1.05, 40).clip(-0.15, 1.0)]
    scores = model.score({name: np.stack([state[name] for state in states]) for name in model.inputs})
    assert ((scores.value >= -1) & (scores.value <= 0)).all()
    assert scores.value.max() == 0.0
    assert scores.value.min() < -0.9
    assert ((scores.confidence >= 0) & (scores.confidence <= 1)).all()
    assert scores.version == model.version
    assert model.rule is None


def test_a_model_that_was_changed_mixed_or_has_no_number_is_refused(glowed: Path, tmp_path: Path):
    for name, change, said in (
        ("mixed", {"scale": [[0.0, 0.0], [1.0, 1.0], -1.0, 0.0]}, "not the one that"),
        ("short", {"scale": [[0.0] * 3, [1.0] * 3, -1.0, 0.0]}, "cannot be used"),
        ("odd", {"architecture": "x"}, "cannot be used"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        told = json.loads((glowed / "model" / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps(told | change))
        (folder / "model.safetensors").write_bytes((glowed / "model" / "model.safetensors").read_bytes())
        with pytest.raises(ModelError, match=said):
            load_model(folder)
    network = Network(Architecture(("front",), channels=(4,), embedding=4))
    with torch.no_grad():
        network.head[1].weight.fill_(float("nan"))  # pyright: ignore
    broken = PreferenceReward([network], {"front": (SIZE, SIZE, 3)}, Scale((0.0,), (1.0,), -1.0, 0.0))
    with pytest.raises(ModelError, match="NaN or infinity"):
        broken.score({"front": np.zeros((1, SIZE, SIZE, 3), np.uint8)})


def test_too_few_answers_and_a_folder_that_is_taken_are_refused(glowed: Path, tmp_path: Path):
    few = tmp_path / "few.sqlite"
    with contextlib.closing(PreferenceFile(few)) as file:
        pairs = draw_pairs([str(glowed)], 50, 0)
        file.append(Preference(pair, LEFT if n < 19 else NEITHER, "person") for n, pair in enumerate(pairs))
    with pytest.raises(ModelError, match="holds 19 answers that say which is nearer, of 50"):
        train_preference(quick(glowed, few, tmp_path / "m"))
    with pytest.raises(ModelError, match="holds a model already"):
        train_preference(quick(glowed, few, glowed / "model"))
    with pytest.raises(ValueError, match="kind=preference goes with preferences"):
        TrainConfig(runs=["r"], out="m", kind="preference")
    with pytest.raises(ValueError, match="did you mean preference"):
        TrainConfig(runs=["r"], out="m", kind="preferences")


def test_it_cannot_be_served_because_it_ends_no_episode(glowed: Path):
    with pytest.raises(ModelError, match="gives rewards, not success"):
        RewardService(load_model(glowed / "model"), "tcp://127.0.0.1:*")


def told(run: Path, version: str) -> LearnerConfig:
    return LearnerConfig(
        run="unused", agent=IqlConfig(), mode="offline", archive=[str(run)], reward="preference", reward_version=version
    )


def test_the_rewards_of_one_version_reach_every_transition_and_recorded_ends_count_no_more(
    glowed: Path, tmp_path: Path
):
    run = tmp_path / "steps.sqlite"
    glow(run, 6, 3)
    model = load_model(glowed / "model")
    said: list[str] = []
    learned = msgspec.structs.replace(spec(), reward=model.version, return_bounds=None)
    with pytest.raises(
        UserError, match=rf"{model.version} has not given its steps their rewards: handrail rewards rel"
    ):
        open_pool(learned, told(run, model.version), say=said.append)
    done = relabel(model, str(run))
    assert (done.steps, done.episodes, done.successes) == (36, 6, 0)
    # Another version's are beside them, and are not taken.
    labels = [each for each in labels_since(run)[0] if each.kind == REWARD]
    append_labels(run, [label._replace(value=-7.0, version="preference-other") for label in labels])
    pool, _ = open_pool(learned, told(run, model.version), say=said.append)
    rewards = pool.replay.rewards(pool.rows)
    assert len(pool) == 36
    np.testing.assert_allclose(np.sort(rewards), np.sort([label.value for label in labels]), atol=1e-6)
    assert (pool.replay.gather(pool.rows)["mask"] == 1).all(), "episode 0 was recorded as a success"


def test_a_step_without_a_reward_of_that_version_is_left_out_and_said(glowed: Path, tmp_path: Path):
    run = tmp_path / "steps.sqlite"
    glow(run, 3, 4)
    append_labels(run, [Label(STREAM, seq, -0.5, version="v1", kind=REWARD) for seq in range(1, 15)])
    said: list[str] = []
    pool, _ = open_pool(
        msgspec.structs.replace(spec(), reward="v1", return_bounds=None), told(run, "v1"), say=said.append
    )
    assert len(pool) == 14
    assert said[0].startswith("4 transitions have no reward by v1 and are left out")
    assert UNSCORED not in said[0]


def test_settings_of_the_learner_that_cannot_be_are_refused():
    for changes, wanted in (
        ({"reward": "preference"}, "reward_version go together"),
        ({"reward_version": "v"}, "reward_version go together"),
        ({"reward": "preference", "reward_version": "v", "demos": "d.sqlite"}, "name demonstrations in archive="),
        ({"reward": "preferences"}, "did you mean preference"),
    ):
        with pytest.raises(ValueError, match=wanted):
            LearnerConfig(**{"run": "r", "agent": IqlConfig(), "archive": ["a"], "mode": "offline"} | changes)


def test_rank_correlation_is_that_of_ranks():
    assert spearman(np.array([1.0, 2.0, 30.0]), np.array([-5.0, 0.0, 1.0])) == pytest.approx(1.0)
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])) == pytest.approx(-1.0)
    # Ties share their mean rank: (1, 2.5, 2.5, 4) against (1, 2, 3, 4).
    assert spearman(np.array([1, 2, 2, 3]), np.array([1, 2, 3, 4])) == pytest.approx(0.9486833)
    assert spearman(np.ones(3), np.arange(3)) is None
