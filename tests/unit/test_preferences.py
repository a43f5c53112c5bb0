"""Pairs, answers and who gives them: a model in two stages, a person on the page, a script that errs as told."""

import contextlib
import http.client
import json
import re
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rewarding import episode, record, write
from vlm_server import VlmServer, completion, parts, refusal, serving

from rewards.answerers import parse_answer, script_answers
from rewards.config import PreferConfig
from rewards.page import LabelServer
from rewards.pair_sheet import PairSheet
from rewards.prefer import prefer
from rewards.preferences import (
    LEFT,
    NEITHER,
    RIGHT,
    Moment,
    Pair,
    Preference,
    PreferenceFile,
    counts,
    draw_pairs,
    pictures_of,
    read_preferences,
)
from rewards.score import ModelError
from rewards.vlm.config import VlmConfig
from rewards.vlm.question import VlmError
from wire.database import StoreError
from wire.labels import PROGRESS, Label, append_labels


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return record(tmp_path / "steps.sqlite", 4)


def config(run: Path, **changes) -> PreferConfig:
    fields = {
        "runs": [str(run)],
        "out": str(run.with_name("answers.sqlite")),
        "pairs": 12,
        "question": "make it bright",
    }
    return PreferConfig(**fields | changes)


def by_model(run: Path, server: VlmServer, **changes) -> PreferConfig:
    told = {"model": "m", "endpoint": server.url, "cache": None, "retries": 0, "parallel": 2} | changes.pop("vlm", {})
    return config(run, vlm=VlmConfig(**told), **changes)


def answers(run: Path) -> dict[Pair, Preference]:
    return read_preferences(run.with_name("answers.sqlite"))


def brighter(request) -> tuple[int, dict]:
    """A model that does as it is asked to: it tells the brightness of both, and then decides on what it has read."""
    words, images = parts(request)
    if images:
        return completion(f"The first is [{images[0].mean():.3f}], the second [{images[1].mean():.3f}].")
    first, second = map(float, re.findall(r"\[([\d.]+)\]", words))
    return completion("-1" if abs(first - second) < 1.0 else str(int(second > first)))


def test_pairs_are_of_different_moments_and_the_seed_decides_them(run: Path):
    pairs = draw_pairs([str(run)], 40, seed=1)
    assert pairs == draw_pairs([str(run)], 40, seed=1) != draw_pairs([str(run)], 40, seed=2)
    assert len({frozenset(pair) for pair in pairs}) == 40
    # More than there are: all there are.
    assert len(draw_pairs([str(run)], 10_000, seed=1)) == 24 * 23 // 2


def test_a_model_analyses_first_and_then_decides_on_its_own_words(run: Path):
    with serving(brighter) as server:
        told = by_model(run, server, cameras=["front"])
        prefer(told, lambda line: None)
        shown = [bool(parts(request)[1]) for request in server.requests]
        assert shown.count(True) == shown.count(False) == 12
        assert all("make it bright" in parts(request)[0] for request in server.requests)
    pictures = pictures_of([str(run)], {moment for pair in answers(run) for moment in pair}, ["front"])
    for pair, said in answers(run).items():
        left, right = (pictures.of[moment]["front"].mean() for moment in pair)
        expected = NEITHER if abs(left - right) < 1 else int(right > left)
        assert said.answer == expected
        assert "The first is" in said.words
        assert (said.source, said.who, said.question) == ("vlm", "m", "make it bright")


def test_what_was_answered_is_not_asked_again_and_a_spent_budget_goes_on_later(run: Path):
    lines: list[str] = []
    with serving(brighter) as server:
        prefer(by_model(run, server, vlm={"max_questions": 18}), lines.append)
        asked, first = len(server.requests), answers(run)
        assert asked == 18
        assert len(first) == 6  # All 12 were analysed first.
        assert any("the budget is spent" in line for line in lines)
        prefer(by_model(run, server), lines.append)
        assert len(server.requests) == asked + 12
        prefer(by_model(run, server), lines.append)
        assert len(server.requests) == asked + 12
    assert len(answers(run)) == 12


def test_an_answer_that_turns_round_with_the_pictures_is_dropped(run: Path):
    with serving(lambda request: completion("1")) as server:
        told = by_model(run, server, both_orders=True)
        prefer(told, lambda line: None)
    assert {said.answer for said in answers(run).values()} == {NEITHER}
    run.with_name("answers.sqlite").unlink()
    with serving(brighter) as server:
        told = by_model(run, server, both_orders=True)
        prefer(told, lambda line: None)
    assert {said.answer for said in answers(run).values()} >= {LEFT, RIGHT}


def test_words_that_are_no_answer_count_as_neither_and_no_words_are_asked_for_again(run: Path):
    lines: list[str] = []
    with serving(lambda request: completion("I would say both 0 and 1.")) as server:
        prefer(by_model(run, server), lines.append)
    assert counts(answers(run)) == {"left": 0, "right": 0, "neither": 12}
    run.with_name("answers.sqlite").unlink()
    replies = iter([completion(f"fine {n}") for n in range(12)] + [completion("")] * 5 + [completion("0")] * 7)
    with serving(lambda request: next(replies)) as server:
        prefer(by_model(run, server, vlm={"parallel": 1}), lines.append)
    assert counts(answers(run)) == {"left": 7, "right": 0, "neither": 0}
    assert any("5 pairs had no answer and may be asked again" in line for line in lines)


def test_a_model_that_only_fails_ends_it(run: Path):
    with serving(lambda request: refusal(400, "no pictures here")) as server, pytest.raises(VlmError, match="in a row"):
        prefer(by_model(run, server), lambda line: None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        *(("0", 0), ("1", 1), ("-1", -1), (" **0**. ", 0), ("Answer: -1", -1), ("Final answer: **1**", 1)),
        *(("The second is nearer.\n\n1", 1), ("0\n0", 0), ("'-1'", -1)),
        *(("", None), ("0\n1", None), ("10", None), ("0.5", None), ("Image 1 is nearer", None), ("--1", None)),
        *(("0 or 1", None), ("none", None), ("2", None)),
    ],
)
def test_only_a_line_that_says_nothing_else_is_an_answer(text: str, answer: int | None):
    assert parse_answer(text) == answer


def test_pictures_that_look_the_same_are_asked_of_nobody(tmp_path: Path):
    steps = episode(np.random.default_rng(0), 0, success=False)
    same = [msgspec.structs.replace(step, observation=steps[0].observation) for step in steps]
    same[-1] = msgspec.structs.replace(same[-1], final_observation=steps[0].observation)
    run = write(tmp_path / "steps.sqlite", [same])
    lines: list[str] = []
    with serving(brighter) as server:
        prefer(by_model(run, server), lines.append)
        assert not server.requests
    assert lines[0].startswith("12 pairs look the same")
    assert counts(answers(run))["neither"] == 12


def test_a_script_errs_as_often_as_it_is_told():
    moments = [Moment("a" * 32, n) for n in range(4000)]
    pairs = [Pair(one, other) for one, other in zip(moments[::2], moments[1::2], strict=True)]
    rng = np.random.default_rng(0)
    progress = {tuple(moment): float(rng.uniform(-50, 0)) for moment in moments}
    said = np.array([each.answer for each in script_answers(pairs, progress, [0.4, 0.9], 0.4, seed=3)])
    gaps = np.array([progress[pair.right] - progress[pair.left] for pair in pairs])
    right, order = said == (gaps > 0), np.argsort(np.abs(gaps))
    near, far = order[:400], order[-400:]
    assert right[near].mean() == pytest.approx(0.45, abs=0.08)
    assert (said[near] == NEITHER).mean() == pytest.approx(0.36, abs=0.08)
    assert right[far].mean() == pytest.approx(0.85, abs=0.08)
    assert (said[far] == NEITHER).mean() < 0.1
    with pytest.raises(ModelError, match="true progress of 2 moments is not known"):
        script_answers([Pair(Moment("b", 1), Moment("b", 2))], progress, [0.4, 0.9], 0.4, seed=3)


def test_a_script_needs_a_simulation_that_knows(run: Path):
    with pytest.raises(ModelError, match="only a simulation can"):
        prefer(config(run, answerer="script"), lambda line: None)
    told = config(run, answerer="script", accuracy=[1.0, 1.0], abstain=0.0)
    labels = [Label("a" * 32, seq, float(seq), source="outcome", kind=PROGRESS) for seq in range(1, 25)]
    append_labels(run, labels)
    prefer(told, lambda line: None)
    assert all(said.answer == int(pair.right.seq > pair.left.seq) for pair, said in answers(run).items())


def test_segments_are_shown_as_strips_and_compared_by_what_was_gained_in_them(run: Path):
    with serving(brighter) as server:
        prefer(by_model(run, server, segment=2, pairs=5, cameras=["front"]), lambda line: None)
        shown = [parts(request) for request in server.requests]
    assert {image.shape for _, images in shown for image in images} == {(16, 48, 3)}
    assert all("how a stretch of 2 steps began" in words for words, images in shown if images)
    assert len(read_preferences(run.with_name("answers.sqlite"), 2)) == 5
    assert answers(run) == {}, "of moments nobody has said anything"
    # The script: progress rises by the number of the step, and in the second episode not at all.
    labels = [
        Label("a" * 32, seq, float(seq**2 if not 7 <= seq <= 12 else 0), source="outcome", kind=PROGRESS)
        for seq in range(1, 25)
    ]
    append_labels(run, labels)
    out = str(run.with_name("script.sqlite"))
    prefer(config(run, out=out, answerer="script", accuracy=[1.0, 1.0], abstain=0.0, segment=2, pairs=60), print)
    found = read_preferences(Path(out), 2)
    gain = {seq: 0 if 7 <= seq <= 12 else seq**2 - (seq - 2) ** 2 for seq in range(1, 25)}
    assert len(found) == 60
    for pair, said in found.items():
        left, right = gain[pair.left.seq], gain[pair.right.seq]
        assert said.answer == (NEITHER if left == right else int(right > left))


def test_a_person_outweighs_a_model_and_their_newest_answer_counts(tmp_path: Path):
    pair = Pair(Moment("a", 1), Moment("a", 2))
    with contextlib.closing(PreferenceFile(tmp_path / "p.sqlite")) as file:
        for source, answer in (("vlm", LEFT), ("person", RIGHT), ("person", NEITHER), ("vlm", LEFT)):
            file.append([Preference(pair, answer, source)])
        with pytest.raises(StoreError, match="being written by process"):
            PreferenceFile(tmp_path / "p.sqlite")
    assert read_preferences(tmp_path / "p.sqlite")[pair].answer == NEITHER
    (tmp_path / "other.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(StoreError):
        read_preferences(tmp_path / "other.sqlite")


def test_moments_that_are_in_none_of_the_runs_are_counted(run: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="1 of the 1 moments that were compared are in none of"):
        pictures_of([str(run)], [Moment("f" * 32, 1)], None)


def test_a_person_answers_the_same_pairs_on_the_page(run: Path):
    out = run.with_name("answers.sqlite")
    pairs = draw_pairs([str(run)], 3, seed=0)
    pictures = pictures_of([str(run)], {moment for pair in pairs for moment in pair}, None)
    with contextlib.closing(PreferenceFile(out)) as file:
        sheet = PairSheet(out, file, pictures, pairs, question="brighter?", who="ann")
        server = LabelServer(sheet, 0)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def ask(method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.server_address[1])) as connection:
                connection.request(method, f"{path}?token={server.token}", body)
                answer = connection.getresponse()
                return answer.status, answer.read()

        try:
            assert b"Which is nearer" in ask("GET", "/")[1]
            assert json.loads(ask("GET", "/frames")[1])["captions"] == ["brighter?"] * 3
            assert ask("GET", "/frame/2")[1].startswith(b"\x89PNG")
            assert ask("POST", "/marks", '{"0": "right", "2": "neither"}')[0] == 200
            for bad in ('{"0": true}', '{"0": "up"}', '{"3": "left"}'):
                assert ask("POST", "/marks", bad)[0] == 400
            assert json.loads(ask("GET", "/frames")[1])["marks"] == {"0": "right", "2": "neither"}
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        known = read_preferences(out)
        assert [known[pair].answer for pair in (pairs[0], pairs[2])] == [RIGHT, NEITHER]
        assert {said.who for said in known.values()} == {"ann"}
        # Later those come first that nobody has answered.
        again = PairSheet(out, file, pictures, pairs, question="brighter?", who="ann")
        assert again.marks() == {1: "right", 2: "neither"}
        assert again.summary() == "2 of 3 pairs are answered"


def test_settings_that_cannot_be_are_refused(run: Path):
    for changes, said in (
        ({"answerer": "vml"}, "did you mean vlm"),
        ({}, r"answerer=vlm needs vlm\.model"),
        ({"question": " ", "answerer": "person"}, "question must say what the goal is"),
        ({"answerer": "script", "accuracy": [0.5]}, "accuracy must be two shares"),
        ({"answerer": "script", "abstain": 1.2}, r"abstain must be in 0\.\.1, got 1\.2"),
        ({"pairs": 0}, "pairs must be >= 1"),
        ({"runs": []}, "runs must name"),
    ):
        with pytest.raises(ValueError, match=said):
            config(run, **changes)
