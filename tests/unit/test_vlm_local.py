"""A real vision-language model, made on the spot: in this process, and behind a real endpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_vlm import make_tiny_vlm
from vlm_server import completion, parts, serving

from rewards.vlm.client import Vlm, opened
from rewards.vlm.config import VlmConfig
from rewards.vlm.local import LocalModel
from rewards.vlm.question import Question, VlmError

IMAGES = [np.random.default_rng(n).integers(0, 256, (40, 40, 3), np.uint8) for n in range(3)]
WORDS = ("Yes", "No")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_vlm(tmp_path_factory.mktemp("vlm"))


@pytest.fixture(scope="module")
def model(folder: Path) -> LocalModel:
    return LocalModel(VlmConfig(model=str(folder), cache=None, max_tokens=4))


def ask(model: LocalModel, *questions: Question) -> list:
    return Vlm(VlmConfig(model="tiny", cache=None), model).ask(questions)


def test_it_sees_the_picture_and_answers_in_probabilities(model: LocalModel):
    answers = ask(model, *(Question("Is it lifted?", (image,), WORDS) for image in IMAGES))
    assert all(sum(answer.probabilities) == pytest.approx(1.0) for answer in answers)
    assert len({answer.probabilities for answer in answers}) == 3
    # One in a batch, and the same one alone.
    (alone,) = ask(model, Question("Is it lifted?", IMAGES[1:2], WORDS))
    assert alone.probabilities == pytest.approx(answers[1].probabilities, abs=1e-4)


def test_texts_choices_and_questions_without_pictures_may_come_together(model: LocalModel):
    questions = (Question("Go on."), Question("What?", tuple(IMAGES[:2])), Question("Is it?", (IMAGES[0],), WORDS))
    text, pair, choice = ask(model, *questions)
    assert text.text
    assert text.tokens_out <= 4
    assert pair.tokens_in > choice.tokens_in > text.tokens_in > 0
    assert choice.text in WORDS


def hurried(folder: Path, cache: Path) -> VlmConfig:
    """Settings under which time is up after the first token."""
    return VlmConfig(model=str(folder), cache=str(cache), max_tokens=4, timeout_s=1e-9)


def test_an_answer_that_time_has_cut_is_none_and_is_asked_again(folder: Path, tmp_path: Path):
    question = Question("Go on.")
    with opened(hurried(folder, tmp_path / "cache.sqlite")) as vlm:
        (late,) = vlm.ask([question])
    assert late.text is None
    assert late.problem == "no answer within 1e-09 s"
    assert late.tokens_out == 1, "what was computed is on the bill"
    told = replace(hurried(folder, tmp_path / "cache.sqlite"), timeout_s=60.0)
    with opened(told) as vlm:
        (answer,) = vlm.ask([question])
        assert (answer.text is not None, answer.cached, vlm.bill.asked) == (True, False, 1)


def test_of_a_batch_that_time_has_cut_the_rows_that_had_ended_are_answers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = LocalModel(replace(hurried(folder, tmp_path / "c"), cache=None, timeout_s=5.0))
    said, end, pad = (model._tokenizer.convert_tokens_to_ids(word) for word in ("Yes", "</s>", "<pad>"))
    rows = torch.tensor([[said, end, pad], [said, said, said]])
    monkeypatch.setattr(model._model, "generate", lambda input_ids, **_: torch.cat([input_ids, rows], 1))
    ended, cut = ask(model, Question("Is it?"), Question("Is it not?"))
    assert ended.text == "Yes"
    assert (cut.text, cut.problem) == (None, "no answer within 5 s")


def test_words_that_begin_alike_are_no_choice(model: LocalModel):
    with pytest.raises(VlmError, match="begin alike"):
        ask(model, Question("Which?", (IMAGES[0],), ("Yes", "Yes, it is")))


def test_behind_an_endpoint_it_says_what_it_says_here(model: LocalModel):
    def reply(request):
        prompt, images = parts(request)
        return completion(ask(model, Question(prompt, tuple(images)))[0].text)

    questions = [Question("What is this?", (image,)) for image in IMAGES]
    here = [answer.text for answer in ask(model, *questions)]
    with serving(reply) as server, opened(VlmConfig(model="tiny", endpoint=server.url, cache=None, parallel=1)) as vlm:
        assert [answer.text for answer in vlm.ask(questions)] == here


def test_what_is_no_such_model_is_named(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(VlmError, match=r"cannot load the vision-language model .*set|name a folder of one"):
        LocalModel(VlmConfig(model=str(tmp_path), cache=None))
