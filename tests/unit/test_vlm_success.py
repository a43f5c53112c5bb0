"""A success classifier over a real, untrained vision-language model, made on the spot: its head is what learns."""

import builtins
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rewarding import look, quick, record
from tiny_vlm import make_tiny_vlm

from rewards.audit import audit
from rewards.config import AuditConfig, TrainConfig
from rewards.models import load_model
from rewards.relabel import relabel
from rewards.score import ModelError, stack
from rewards.service import RewardService
from rewards.train import train
from rewards.vlm_success import VlmClassifier
from wire.labels import effective, labels_since

QUESTION = "is the square bright?"


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_vlm(tmp_path_factory.mktemp("vlm") / "vlm")


def asking(vlm: Path, **changes: Any) -> TrainConfig:
    told = {"kind": "vlm", "model": str(vlm), "question": QUESTION, "iterations": 300, "learning_rate": 3e-3}
    return quick(**told | changes)


@pytest.fixture(scope="module")
def trained(vlm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained classifier."""
    folder = tmp_path_factory.mktemp("trained")
    run = record(folder / "steps.sqlite", 24)
    train(asking(vlm, runs=[str(run)], out=str(folder / "model")))
    return folder / "model"


def judged(model: Any, seed: int = 9) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return model.score(stack([look(rng, True), look(rng, False)], ["front", "wrist"])).value


@pytest.mark.learn
def test_it_is_trained_calibrated_audited_and_relabels_as_every_success_classifier(trained: Path, tmp_path: Path):
    record(tmp_path / "steps.sqlite", 16, seed=5)  # Runs that it has not seen.
    figures = audit(AuditConfig(model=str(trained), runs=[str(tmp_path)]))
    print(figures["accuracy"], figures["false_positive_rate"], figures["false_negative_rate"])
    assert figures["auc"] > 0.99
    assert figures["false_positive_rate"] <= 0.02
    assert "is none" in (trained / "report.md").read_text()
    done = relabel(load_model(trained), str(tmp_path))
    assert (done.episodes, done.changed) == (16, 0)
    labels = effective(labels_since(tmp_path / "steps.sqlite")[0])
    assert sum(label.value for label in labels.values()) == 8
    service = RewardService(load_model(trained), "tcp://127.0.0.1:*")
    assert service.model.inputs.keys() == {"front", "wrist"}
    service.close()


@pytest.mark.learn
def test_a_loaded_one_says_the_same_and_its_file_names_question_and_model(trained: Path, vlm: Path):
    first, again = load_model(trained), load_model(trained)
    assert isinstance(first, VlmClassifier)
    assert first.version.startswith("vlm-")
    np.testing.assert_array_equal(judged(first), judged(again))
    yes, no = judged(first)
    assert yes > 0.5 > no
    asked = json.loads((trained / "model.json").read_text())["asked"]
    assert (asked["question"], asked["folder"]) == (QUESTION, str(vlm))
    assert (trained / "model.safetensors").stat().st_size < 20_000  # The head, never the model that it stands on.


@pytest.mark.learn
def test_one_frame_is_judged_as_it_is_among_others(trained: Path):
    model = load_model(trained)
    rng = np.random.default_rng(3)
    batch = stack([look(rng, n % 2 == 0) for n in range(20)], ["front", "wrist"])
    alone = [model.score({name: column[n : n + 1] for name, column in batch.items()}).value[0] for n in range(20)]
    np.testing.assert_allclose(model.score(batch).value, alone, atol=1e-3)


@pytest.mark.learn
def test_another_model_in_its_place_is_noticed_and_one_that_was_moved_can_be_named(trained: Path, tmp_path: Path):
    mine, moved = tmp_path / "mine", tmp_path / "moved"
    shutil.copytree(trained, mine)
    told = json.loads((mine / "model.json").read_text())
    shutil.copytree(told["asked"]["folder"], moved)
    told["asked"]["folder"] = str(moved)
    (mine / "model.json").write_text(json.dumps(told))
    assert load_model(mine).version == told["version"]
    make_tiny_vlm(moved, seed=1)
    with pytest.raises(ModelError, match="trained with another vision-language model"):
        load_model(mine)
    shutil.rmtree(moved)
    with pytest.raises(ModelError, match=r"which is not there; bring it back, or say in .*model\.json"):
        load_model(mine)


def test_another_question_is_another_model(trained: Path, tmp_path: Path):
    mine = tmp_path / "mine"
    shutil.copytree(trained, mine)
    text = (mine / "model.json").read_text()
    (mine / "model.json").write_text(text.replace(QUESTION, "is the square dark?"))
    with pytest.raises(ModelError, match="its files were changed or mixed"):
        load_model(mine)


def test_a_folder_without_a_model_is_refused_before_anything_is_gathered_for_long(tmp_path: Path):
    run = record(tmp_path / "steps.sqlite", 16)
    with pytest.raises(ModelError, match=r"no vision-language model in .*nowhere \(config.json is missing\)"):
        train(asking(tmp_path / "nowhere", runs=[str(run)], out=str(tmp_path / "model")))
    (tmp_path / "config.json").write_text('{"model_type": "no such thing"}')
    with pytest.raises(ModelError, match=r"cannot load the vision-language model .*as transformers saves them"):
        train(asking(tmp_path, runs=[str(run)], out=str(tmp_path / "model")))


def test_without_transformers_it_is_said_what_to_install(trained: Path, monkeypatch: pytest.MonkeyPatch):
    load = builtins.__import__

    def missing(name: str, *rest: Any, **named: Any) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return load(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModelError, match=r"needs the package transformers: pip install -e '\.\[vlm\]'"):
        load_model(trained)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "vml"}, "kind must be one of success, vlm, preference, got vml; did you mean vlm"),
        ({"kind": "vlm", "model": "m"}, r'set model=<folder> and question="is the cube lifted\?"'),
        ({"kind": "vlm", "question": "q"}, "set model=<folder> and question="),
        ({"question": "is it?"}, "question=is it. goes with kind=vlm, got kind=success; drop it"),
    ],
)
def test_kind_model_and_question_belong_together(fields: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        TrainConfig(runs=["r"], out="o", **fields)
