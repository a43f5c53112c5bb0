"""The client of vision-language models: what it asks, what it keeps, what it costs, and all that may go wrong."""

import itertools
import math
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from vlm_server import VlmServer, completion, parts, refusal, serving

from rewards.vlm.client import BUDGET, Vlm, opened
from rewards.vlm.config import VlmConfig
from rewards.vlm.question import Question, VlmError
from wire.database import StoreError

IMAGES = [np.full((8, 8, 3), 20 * n, np.uint8) for n in range(12)]
QUESTIONS = [Question("What is this?", (image,)) for image in IMAGES]
CHOICE = Question("Is it done?", (IMAGES[0],), ("Yes", "No"))


def config(server: VlmServer, **changes) -> VlmConfig:
    fields = {"model": "m", "endpoint": server.url, "cache": None, "timeout_s": 20.0, "retries": 2, "parallel": 2}
    return VlmConfig(**fields | changes)


def test_words_and_pictures_arrive_as_they_were(monkeypatch):
    monkeypatch.setenv("MY_KEY", "s3cret")
    with serving(lambda request: completion(str(len(parts(request)[1])))) as server:
        vlm = Vlm(config(server, key_env="MY_KEY"))
        (answer,) = vlm.ask([Question("Which?", (IMAGES[3], IMAGES[5]))])
        assert answer.text == "2"
        assert (answer.tokens_in, answer.tokens_out) == (100, 10)
        words, images = parts(server.requests[0])
        assert words == "Which?"
        np.testing.assert_array_equal(images[0], IMAGES[3])
        np.testing.assert_array_equal(images[1], IMAGES[5])
        assert server.keys == ["Bearer s3cret"]
        assert server.requests[0]["temperature"] == 0


def test_answers_stand_in_the_order_of_their_questions_however_many_are_under_way():
    with serving(lambda request: completion(str(parts(request)[1][0].mean()))) as server:
        answers = Vlm(config(server, parallel=5)).ask(QUESTIONS)
    assert [float(answer.text) for answer in answers] == [20.0 * n for n in range(12)]


def test_what_was_answered_is_never_asked_again(tmp_path: Path):
    with serving(lambda request: completion("once")) as server:
        told = config(server, cache=str(tmp_path / "cache.sqlite"))
        with opened(told) as vlm:
            assert [answer.text for answer in vlm.ask([*QUESTIONS[:3], QUESTIONS[0]])] == ["once"] * 4
            assert vlm.bill.asked == 3
        with opened(told) as vlm:
            assert all(answer.cached for answer in vlm.ask(QUESTIONS[:3]))
            assert (vlm.bill.asked, vlm.bill.cached, vlm.bill.tokens_in) == (0, 3, 0)
            # Other words, another model, another length are other questions.
            vlm.ask([QUESTIONS[0]._replace(prompt="And this?")])
        with opened(config(server, cache=str(tmp_path / "cache.sqlite"), model="n")) as vlm:
            vlm.ask(QUESTIONS[:1])
        assert len(server.requests) == 5


def test_a_cache_that_is_none_or_in_use_is_refused_and_a_damaged_answer_is_asked_again(tmp_path: Path):
    (tmp_path / "other.sqlite").write_bytes(b"something else" * 100)
    path = tmp_path / "cache.sqlite"
    with serving(lambda request: completion("again")) as server:
        with pytest.raises(StoreError, match="no SQLite file"):
            Vlm(config(server, cache=str(tmp_path / "other.sqlite")))
        with opened(config(server, cache=str(path))) as vlm:
            vlm.ask(QUESTIONS[:1])
            with pytest.raises(StoreError, match="being written by process"):
                Vlm(config(server, cache=str(path)))
        with sqlite3.connect(path) as db:
            db.execute("UPDATE answers SET answer = '[{}, [NaN'")
        db.close()
        with opened(config(server, cache=str(path))) as vlm:
            (answer,) = vlm.ask(QUESTIONS[:1])
            assert (answer.text, answer.cached) == ("again", False)


def test_no_more_is_asked_than_the_budget_allows():
    with serving(lambda request: completion("yes")) as server:
        vlm = Vlm(config(server, max_questions=4))
        answers = vlm.ask(QUESTIONS)
        assert len(server.requests) == 4
        assert vlm.spent
        assert [answer.problem for answer in answers].count(BUDGET) == 8
        costly = Vlm(config(server, max_cost=0.03, price_in=50.0, price_out=500.0, parallel=1))
        costly.ask(QUESTIONS)
        # Each takes 100 tokens of 50 and 10 of 500 a million: a cent.
        assert costly.bill.cost == pytest.approx(0.03)
        assert "0.03 spent" in str(costly.bill)
        assert costly.bill.dropped == 9


def test_a_cost_that_nobody_can_count_is_refused():
    with (
        serving(lambda request: completion("yes", usage=None)) as server,
        pytest.raises(VlmError, match=r"set vlm\.max_questions"),
    ):
        Vlm(config(server, max_cost=1.0, price_in=1.0)).ask(QUESTIONS)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (completion(""), "the answer is empty"),
        (completion(None), "the answer is empty"),
        (completion("x", choices=[]), "malformed"),
        ((200, {"error": "out of memory"}), "malformed"),
        ((200, b"<html>busy</html>"), "malformed"),
        ((200, b""), "malformed"),
        (refusal(400, "too many images"), "too many images"),
        (refusal(500, "out of memory"), "out of memory"),
    ],
)
def test_an_answer_that_is_none_is_dropped_with_its_reason(body, problem):
    with serving(lambda request: body) as server:
        (answer,) = Vlm(config(server, retries=0)).ask(QUESTIONS[:1])
    assert answer.text is None
    assert answer.probabilities is None
    assert problem in answer.problem


def test_a_busy_endpoint_is_asked_again():
    replies = itertools.chain([refusal(429, "slow down"), refusal(503, "loading")], itertools.repeat(completion("ok")))
    with serving(lambda request: next(replies)) as server:
        vlm = Vlm(config(server))
        assert vlm.ask(QUESTIONS[:1])[0].text == "ok"
        assert len(server.requests) == 3
        assert vlm.bill.asked == 1


def test_an_answer_that_comes_too_late_is_dropped_and_the_others_are_not():
    def reply(request):
        if parts(request)[1][0].mean() == 20:
            server.released.wait()
        return completion("in time")

    with serving(reply) as server:
        answers = Vlm(config(server, timeout_s=2.0, retries=0)).ask(QUESTIONS[:4])
    assert [answer.text for answer in answers] == ["in time", None, "in time", "in time"]
    assert answers[1].problem == "no answer within 2 s"


def test_one_failure_after_another_ends_it_and_keeps_what_was_answered(tmp_path: Path):
    replies = itertools.chain([completion("good")] * 2, itertools.repeat(refusal(400, "no images, please")))
    with (
        serving(lambda request: next(replies)) as server,
        opened(config(server, cache=str(tmp_path / "c.sqlite"), parallel=1)) as vlm,
    ):
        with pytest.raises(VlmError, match=r"8 questions in a row had no answer.*no images, please"):
            vlm.ask(QUESTIONS)
        assert [answer.cached for answer in vlm.ask(QUESTIONS[:2])] == [True, True]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (refusal(401, "wrong key"), "refuses the key in OPENAI_API_KEY"),
        (refusal(404, "no such model"), r"has no model m, or no /chat/completions \(.*no such model"),
    ],
)
def test_what_no_other_question_could_mend_ends_it_at_once(body, said):
    with serving(lambda request: body) as server:
        with pytest.raises(VlmError, match=said):
            Vlm(config(server)).ask(QUESTIONS)
        assert len(server.requests) <= 2


def test_an_endpoint_that_is_not_there_is_named():
    with serving(lambda request: completion("x")) as server:
        gone = config(server, retries=0)
    with pytest.raises(VlmError, match=r"cannot reach http://127.0.0.1:\d+/v1 .* in 1 attempts; is the server running"):
        Vlm(gone).ask(QUESTIONS)


def test_a_choice_is_read_from_the_first_tokens_probabilities():
    likely = {"Yes": math.log(0.6), " no": math.log(0.2), "yes": -math.inf, "Maybe": math.log(0.1)}
    with serving(lambda request: completion("Yes", likely)) as server:
        (answer,) = Vlm(config(server)).ask([CHOICE])
        assert server.requests[0]["logprobs"] is True
    assert answer.probabilities == pytest.approx((0.75, 0.25))


@pytest.mark.parametrize(
    ("text", "probabilities"),
    [("No.", (0.0, 1.0)), ("**Yes**, it is.", (1.0, 0.0)), ("Yes and no", None), ("Perhaps", None), ("Nothing", None)],
)
def test_where_a_server_tells_no_probabilities_its_words_decide(text, probabilities):
    with serving(lambda request: completion(text)) as server:
        (answer,) = Vlm(config(server)).ask([CHOICE])
    assert answer.probabilities == probabilities
    assert bool(answer.problem) == (probabilities is None)


def test_what_a_server_does_not_know_is_left_out():
    def reply(request):
        for name in ("max_tokens", "temperature", "logprobs"):
            if name in request:
                return refusal(400, f"Unsupported parameter: '{name}' is not supported with this model.")
        return completion("Yes")

    with serving(reply) as server:
        vlm = Vlm(config(server, parallel=1))
        assert vlm.ask([CHOICE])[0].probabilities == (1.0, 0.0)
        assert server.requests[-1]["max_completion_tokens"] == 16
        before = len(server.requests)
        vlm.ask(QUESTIONS[:1])
        assert len(server.requests) == before + 1


def test_settings_that_cannot_be_are_refused():
    for changes, said in (
        ({"endpoint": "localhost:8000"}, "must begin with http:// or https://"),
        ({"timeout_s": 0.0}, r"vlm\.timeout_s must be > 0, got 0"),
        ({"parallel": 0}, r"vlm\.parallel must be >= 1"),
        ({"max_questions": -1}, r"vlm\.max_questions must be >= 0"),
        ({"max_cost": 1.0}, r"set vlm\.price_in and vlm\.price_out"),
    ):
        with pytest.raises(ValueError, match=said):
            VlmConfig(model="m", **changes)
    with pytest.raises(VlmError, match="no model is named"):
        Vlm(VlmConfig(cache=None))
