"""The success classifier: what it is trained on, what it promises, and how it is kept."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rewarding import episode, look, quick, record, spec, write

from rewards.audit import audit
from rewards.config import AuditConfig
from rewards.dataset import gather, split
from rewards.episodes import UNKNOWN, archive_of, episodes_of, labels_of, truth
from rewards.models import load_model
from rewards.score import Gate, ModelError, parse_gate, stack
from rewards.train import fit, train
from wire.labels import Label, append_labels
from wire.store import StepStore


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    run = record(folder / "steps.sqlite", 32)
    train(quick(runs=[str(run)], out=str(folder / "model")))
    return folder / "model"


@pytest.mark.learn
def test_a_model_tells_success_in_episodes_it_has_never_seen(trained: Path, tmp_path: Path):
    run = record(tmp_path / "steps.sqlite", 40, seed=9)
    figures = audit(AuditConfig(model=str(trained), runs=[str(run)], json=str(tmp_path / "audit.json")))
    print(figures)
    assert figures["accuracy"] >= 0.97
    assert figures["false_positive_rate"] <= 0.01
    assert figures["n"] == 40 * 6 - 20 * 2  # The two states before a success are left open.
    assert figures["episodes"]["without_success"] == 20
    written = json.loads((tmp_path / "audit.json").read_text())
    wanted = {"accuracy", "false_positive_rate", "false_negative_rate", "threshold", "n", "auc"}
    assert wanted <= written.keys()


def test_the_report_has_confusion_reliability_and_how_it_was_made(trained: Path):
    text = (trained / "report.md").read_text()
    assert "false-positive rate" in text
    assert "threshold" in text
    assert "training: {" in text
    assert (trained / "reliability.png").stat().st_size > 1000


def test_what_is_loaded_scores_as_what_was_trained(trained: Path):
    rng = np.random.default_rng(3)
    batch = stack([look(rng, done) for done in (True, False) * 4], ["front", "wrist"])
    first, again = load_model(trained), load_model(trained)
    np.testing.assert_array_equal(first.score(batch).value, again.score(batch).value)
    assert first.version == again.version == first.score(batch).version


def test_the_same_frames_and_seed_give_the_same_weights(tmp_path: Path):
    run = str(record(tmp_path / "steps.sqlite", 8))
    frames = gather([run], margin=2, per_episode=4, seed=0)
    first, again, other = (
        fit(frames, quick(runs=[run], out="x", iterations=20, seed=seed)).head[4].weight for seed in (0, 0, 1)
    )
    assert first.equal(again)
    assert not first.equal(other)


def test_a_model_is_never_overwritten(trained: Path, tmp_path: Path):
    run = record(tmp_path / "steps.sqlite")
    with pytest.raises(ModelError, match="holds a model already"):
        train(quick(runs=[str(run)], out=str(trained)))


@pytest.mark.parametrize("change", ["tensors", "threshold", "kind", "format", "text", "missing"])
def test_a_changed_or_damaged_model_is_refused_in_one_sentence(trained: Path, tmp_path: Path, change: str):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    path = folder / "model.json"
    told = json.loads(path.read_text())
    if change == "tensors":
        data = bytearray((folder / "model.safetensors").read_bytes())
        data[-3] ^= 0x10
        (folder / "model.safetensors").write_bytes(data)
    elif change == "threshold":
        told["rule"][0] = 0.01
    elif change == "kind":
        told["kind"] = "unheard"
    elif change == "format":
        told["format"] = 99
    if change == "missing":
        path.unlink()
    else:
        path.write_text("{" if change == "text" else json.dumps(told))
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_cameras_of_another_size_are_named(trained: Path):
    rng = np.random.default_rng(0)
    with pytest.raises(ModelError, match=r"front \(16, 16, 3\).*front of shape \(8, 8, 3\)"):
        load_model(trained).score(stack([look(rng, True, size=8)], ["front", "wrist"]))
    with pytest.raises(ModelError, match="wrist"):
        load_model(trained).score(stack([look(rng, True)], ["front"]))


def test_runs_without_frames_or_of_other_cameras_are_named(tmp_path: Path):
    run = record(tmp_path / "steps.sqlite")
    with pytest.raises(ModelError, match="no camera side; it has front, wrist"):
        gather([str(run)], ["side"], margin=0, per_episode=None, seed=0)
    with pytest.raises(ModelError, match="there is no run in"):
        gather([str(tmp_path / "nowhere")], margin=0, per_episode=None, seed=0)
    blind = spec()
    blind = msgspec.structs.replace(blind, observation={"state": blind.observation["state"]})
    with StepStore.open(tmp_path / "blind.sqlite", blind):
        pass
    with pytest.raises(ModelError, match="obs=pixels"):
        gather([str(tmp_path / "blind.sqlite")], margin=0, per_episode=None, seed=0)


def test_one_class_alone_is_refused_before_anything_is_trained(tmp_path: Path):
    rng = np.random.default_rng(0)
    run = write(tmp_path / "steps.sqlite", [episode(rng, n, success=False) for n in range(6)])
    with pytest.raises(ModelError, match="no frame of success"):
        train(quick(runs=[str(run)], out=str(tmp_path / "model")))


def test_no_episode_is_on_both_sides_of_the_split(tmp_path: Path):
    run = record(tmp_path / "steps.sqlite", 20)
    frames = gather([str(run)], margin=2, per_episode=3, seed=0)
    training, validation = split(frames, 0.25, seed=0)
    assert not set(training.episode) & set(validation.episode)
    assert len(training) + len(validation) == len(frames)
    for part in (training, validation):
        assert 0 < int((part.truth == 1).sum()) < len(part)
    assert split(frames, 0.25, seed=1)[1].where != validation.where


def test_an_episode_in_two_archives_is_on_one_side_of_the_split_and_counts_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run = record(tmp_path / "steps.sqlite", 20)
    copy = shutil.copy(run, tmp_path / "merged.sqlite")
    alone = gather([str(run)], margin=2, per_episode=3, seed=0)
    assert not caplog.records
    frames = gather([str(run), str(copy), str(run)], margin=2, per_episode=3, seed=0)
    assert frames.where == alone.where
    assert [record.getMessage() for record in caplog.records] == [
        f"20 episodes of {path} are in the runs named before it, and are left out here" for path in (copy, run)
    ]
    sides = [{tuple(each) for each in part.stretches.values()} for part in split(frames, 0.25, seed=0)]
    assert len(sides[0] | sides[1]) == 20
    assert not sides[0] & sides[1]


def test_a_part_of_an_episode_is_that_episode(tmp_path: Path):
    """An archive copied while its last episode went on has only the beginning of it."""
    rng = np.random.default_rng(0)
    whole = [episode(rng, number, success=True) for number in range(2)]
    run = write(tmp_path / "steps.sqlite", whole)
    early = write(tmp_path / "early.sqlite", [whole[0], whole[1][:4]])
    frames = gather([str(early), str(run)], margin=2, per_episode=None, seed=0)
    assert [tuple(each)[1:] for each in frames.stretches.values()] == [(1, 6), (7, 9)]


def test_an_episode_that_one_archive_leaves_unjudged_is_taken_from_the_one_that_judges_it(tmp_path: Path):
    rng = np.random.default_rng(0)
    steps = [episode(rng, 0, success=True, reward_by="unscored")]
    first, second = (write(tmp_path / name, steps, of=spec("classifier-1")) for name in ("a.sqlite", "b.sqlite"))
    append_labels(second, [Label("a" * 32, 6, 1.0, source="person")])
    frames = gather([str(first), str(second)], margin=2, per_episode=None, seed=0)
    assert frames.where == [f"{second} episode 0 t 5"]


def test_an_audit_on_episodes_that_the_model_knows_says_so(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    known = shutil.copy(trained.parent / "steps.sqlite", tmp_path / "copy.sqlite")
    twice = audit(AuditConfig(model=str(trained), runs=[str(known), str(known)]))
    assert f"{trained} was trained on 32 of these 32 episodes" in caplog.text
    assert twice["episodes"]["with_success"] == 16
    caplog.clear()
    rng = np.random.default_rng(9)
    new = write(tmp_path / "new.sqlite", [episode(rng, n, success=n == 0) for n in range(2)], stream="b" * 32)
    audit(AuditConfig(model=str(trained), runs=[str(new)]))
    assert not caplog.records


def test_too_few_episodes_to_hold_one_out_are_refused(tmp_path: Path):
    run = record(tmp_path / "steps.sqlite", 3)
    with pytest.raises(ModelError, match="too few"):
        split(gather([str(run)], margin=0, per_episode=None, seed=0), 0.25, seed=0)


def known(path: Path, margin: int = 2) -> list[list[int]]:
    with StepStore.read(path) as store:
        return [truth(episode, labels_of(path), margin=margin).tolist() for episode in episodes_of(store)]


def test_the_outcome_says_what_each_state_was_and_leaves_its_neighbours_open(tmp_path: Path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "steps.sqlite", [episode(rng, 0, success=True), episode(rng, 1, success=False)])
    assert known(path) == [[0, 0, 0, UNKNOWN, UNKNOWN, 1], [0] * 6]


def test_a_models_own_claims_are_no_truth_but_a_persons_no_is(tmp_path: Path):
    rng = np.random.default_rng(0)
    claimed = episode(rng, 0, success=True, reward_by="success-1")
    refused = episode(rng, 1, success=True, reward_by="success-1")
    refused[-1] = msgspec.structs.replace(refused[-1], reward=0.0, success=False, reward_by="")
    path = write(tmp_path / "steps.sqlite", [claimed, refused], of=spec(reward="classifier-1"))
    assert known(path) == [[UNKNOWN] * 6, [0] * 6]
    frames = gather([str(path)], margin=2, per_episode=2, seed=0)
    assert frames.hard.tolist() == [False, False, True]  # What was refused is kept, whatever else is drawn.


def test_labels_count_for_more_than_the_outcome_and_a_persons_for_more_than_all(tmp_path: Path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "steps.sqlite", [episode(rng, 0, success=False)])
    append_labels(path, [Label("a" * 32, 4, 1.0, source="outcome"), Label("a" * 32, 3, 0.0, source="person")])
    append_labels(path, [Label("a" * 32, 1, 1.0, version="a-model")])
    # A person has marked the one before it, nobody that before, nor whether it stayed done.
    assert known(path) == [[0, UNKNOWN, 0, 1, UNKNOWN, UNKNOWN]]
    append_labels(path, [Label("a" * 32, 4, 0.0, source="person"), Label("a" * 32, 4, 1.0, source="outcome")])
    assert known(path) == [[0] * 6]


@pytest.mark.parametrize(
    ("marks", "found"),
    [
        ({2: 1.0, 5: 1.0}, [0, 1, UNKNOWN, UNKNOWN, 1, UNKNOWN]),
        ({2: 1.0, 4: 0.0}, [0, 1, UNKNOWN, 0, 0, 0]),
        ({3: 0.0}, [0] * 6),
    ],
    ids=["two successes", "a success and a failure", "a failure"],
)
def test_what_follows_a_marked_success_is_open_until_somebody_says_that_it_is_none(
    tmp_path: Path, marks: dict[int, float], found: list[int]
):
    path = write(tmp_path / "steps.sqlite", [episode(np.random.default_rng(0), 0, success=False)])
    append_labels(path, [Label("a" * 32, seq, value, source="person") for seq, value in marks.items()])
    assert known(path, margin=0) == [found]
    frames = gather([str(path)], margin=0, per_episode=None, seed=0)
    assert frames.counts()["negatives"] == found.count(0)


def test_the_end_of_an_episode_is_what_it_was_whatever_was_marked_before(tmp_path: Path):
    rng = np.random.default_rng(0)
    failed, done = episode(rng, 0, success=False), episode(rng, 1, success=True)
    failed[-1] = msgspec.structs.replace(failed[-1], terminated=True, truncated=False)
    path = write(tmp_path / "steps.sqlite", [failed, done])
    append_labels(path, [Label("a" * 32, seq, 1.0, source="person") for seq in (4, 10)])
    assert [states[3:] for states in known(path, margin=0)] == [[1, UNKNOWN, 0], [1, UNKNOWN, 1]]


@pytest.mark.learn
def test_goal_pictures_are_the_successes_where_nobody_has_judged_a_run(tmp_path: Path):
    from PIL import Image

    rng = np.random.default_rng(0)
    steps = [episode(rng, n, success=False, reward_by="unscored") for n in range(12)]
    run = write(tmp_path / "steps.sqlite", steps)
    goals = tmp_path / "goals"
    goals.mkdir()
    for n in range(12):
        for name, image in look(rng, True, size=32).items():
            if name != "state":
                Image.fromarray(image).save(goals / f"{n}-{name}.png")
    model = train(quick(runs=[str(run)], goals=str(goals), out=str(tmp_path / "model")))
    batch = stack([look(rng, True), look(rng, False)], ["front", "wrist"])
    yes, no = model.score(batch).value
    assert yes > 0.5 > no
    (goals / "3-wrist.png").unlink()
    with pytest.raises(ModelError, match=r"3-wrist\.png"):
        train(quick(runs=[str(run)], goals=str(goals), out=str(tmp_path / "other")))


@pytest.mark.learn
def test_refused_frames_are_drawn_into_every_batch(tmp_path: Path):
    """Retrained with an operator's no, a model no longer claims what it had claimed."""
    rng = np.random.default_rng(0)
    run = record(tmp_path / "steps.sqlite", 24)
    lookalikes = [episode(rng, n, success=False) for n in range(12)]
    for steps in lookalikes:  # As bright, but only in one camera.
        seen = look(rng, True) | {"wrist": look(rng, False)["wrist"]}
        steps[-1] = msgspec.structs.replace(steps[-1], final_observation=seen, terminated=True, truncated=False)
    again = write(tmp_path / "second.sqlite", lookalikes, stream="b" * 32)
    first = train(quick(runs=[str(run)], out=str(tmp_path / "first")))
    second = train(quick(runs=[str(run), str(again)], out=str(tmp_path / "second"), iterations=60))
    batch = stack([steps[-1].final_observation or {} for steps in lookalikes], ["front", "wrist"])
    claims = [(model.score(batch).value >= model.rule.threshold).mean() for model in (first, second)]
    print(claims)
    assert second.version != first.version
    assert claims[1] <= 0.1


@pytest.mark.learn
def test_the_gate_shuts_out_what_the_pictures_cannot_tell(tmp_path: Path):
    run = record(tmp_path / "steps.sqlite", 32)
    model = train(quick(runs=[str(run)], out=str(tmp_path / "model"), gate="state[0]>0.5"))
    assert model.rule.gate == Gate("state", 0, low=0.5)
    frames = gather([str(run)], margin=2, per_episode=None, seed=0, gate=model.rule.gate)
    np.testing.assert_array_equal(frames.open, frames.truth == 1)


@pytest.mark.parametrize("text", ["proprio>1", "proprio[x]>1", "proprio[1]=1", "", "__import__('os')"])
def test_a_gate_that_is_none_is_refused(text: str):
    with pytest.raises(ModelError, match="gate must look like"):
        parse_gate(text)


def test_a_run_is_named_by_its_folder_or_its_file(tmp_path: Path):
    path = record(tmp_path / "steps.sqlite", 2)
    assert archive_of(tmp_path) == archive_of(path) == path
