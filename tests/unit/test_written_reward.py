"""A written reward: run apart, tested on episodes before it counts, sent back with what was wrong, kept whole."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rewarding import episode, record, spec, write
from vlm_server import completion, parts, refusal, serving

from envs.config import EnvConfig
from handrail.values import learned_reward, model_of, rewarder_of
from learner.__main__ import fitting
from learner.config import IqlConfig, LearnerConfig
from learner.pool import open_pool
from rewards.models import load_model
from rewards.relabel import relabel
from rewards.score import ModelError
from rewards.service import RewardService
from rewards.vlm.config import VlmConfig
from rewards.vlm.question import VlmError
from rewards.written.config import WriteConfig
from rewards.written.model import WrittenReward, understood
from rewards.written.prompt import api, program_in
from rewards.written.prompt import parts as parts_of
from rewards.written.sandbox import Limits, Sandbox, WrittenError
from rewards.written.trials import examine, read_trials
from rewards.written.write import write as write_reward
from wire.errors import UserError
from wire.labels import REWARD, labels_since
from wire.specs import ArraySpec, SpecMismatch

GOOD = "def reward(state):\n    return state[0] - 1.0\n"
INVERTED = "def reward(state):\n    return -state[0]\n"
TWO = {"state": np.array([[0.0, 0.5], [1.0, 0.5]], np.float32)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve episodes that ended in success, where state[0] becomes 1, and twelve that did not."""
    return record(tmp_path_factory.mktemp("run") / "steps.sqlite")


@pytest.fixture
def model() -> Iterator[WrittenReward]:
    made = WrittenReward(GOOD, {"state": (2,)})
    yield made
    made.close()


def config(run: Path, out: Path, **changes) -> WriteConfig:
    told = {"model": "m", "cache": None, "retries": 0} | changes.pop("vlm", {})
    return WriteConfig(**{"runs": [str(run)], "out": str(out), "goal": "be bright", "vlm": VlmConfig(**told)} | changes)


def block(text: str) -> tuple[int, dict]:
    return completion(f"Here it is.\n```python\n{text}```\nIt rewards brightness.")


def test_it_says_what_its_text_says_within_its_bounds(model: WrittenReward):
    scores = model.score(TWO | {"front": np.zeros((2, 4, 4, 3), np.uint8)})
    np.testing.assert_array_equal(scores.value, [-1.0, 0.0])
    assert scores.version == model.version
    assert re.fullmatch(r"written-[0-9a-f]{12}", model.version)
    np.testing.assert_array_equal(model.score({"state": TWO["state"] * 7 - 2}).value, [-1.0, 0.0])
    many = np.linspace(0, 1, 2400, dtype=np.float32).reshape(1200, 2)
    np.testing.assert_allclose(model.score({"state": many}).value, many[:, 0] - 1.0)
    with pytest.raises(ModelError, match="looks at state"):
        model.score({"front": TWO["state"]})


def test_what_is_no_finite_number_is_an_error_that_names_the_line_and_never_a_reward():
    text = """
def reward(state):
    if state[1] == 0:
        return np.log(state[0])
    if state[1] == 1:
        return state
    if state[1] == 2:
        return 1 / int(state[0])
    if state[1] == 3:
        return None
    if state[1] == 4:
        return [0.0, [1.0]]
    if state[1] == 5:
        return np.zeros(10**11)
    return reward(state)
"""
    broken = WrittenReward(text, {"state": (2,)})
    wanted = (
        "returned -inf in state 0",
        "array of shape",
        "line 8: ZeroDivisionError",
        "returned None",
        "inhomogeneous",
    )
    for number, said in enumerate([*wanted, "line 14: MemoryError", r"line \d+: RecursionError"]):
        with pytest.raises(ModelError, match=f"{broken.version} cannot judge these states: .*({said})"):
            broken.score({"state": np.array([[0.0, number]], np.float32)})
    broken.close()


def test_a_loop_without_end_is_stopped_and_the_next_question_finds_a_new_process():
    text = "def reward(a):\n    for i in range(10**int(a[0])):\n        pass\n    return 0"
    sandbox = Sandbox(text, Limits(deadline_s=0.3))
    assert sandbox.parameters == ("a",)
    with pytest.raises(WrittenError, match=r"took longer than 0\.3 s and was stopped"):
        sandbox.values({"a": np.array([[15.0]])})
    assert Sandbox.values(sandbox, {"a": np.array([[0.0]])}).tolist() == [0.0]
    sandbox.close()


@pytest.mark.process
def test_processor_time_ends_too():
    sandbox = Sandbox("def reward(a): return 10**10**10", Limits(deadline_s=120.0, cpu_s=1))
    with pytest.raises(WrittenError, match="computed for longer than it may"):
        sandbox.values({"a": np.zeros((1, 1))})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"values": [0.0]}', "answered .* numbers, wanted 2"),
        ('{"values": [0.0, NaN]}', "answered no answer"),
        ('{"values": [0.0, 1e999]}', "answered no answer|wanted 2 finite"),
        ('{"values": "no"}', "answered no answer"),
        ('{"more": 1}', "answered no answer"),
        ("x" * 30_000, "more than 20064 bytes"),
        (None, "ended by exit code 3"),
    ],
)
def test_its_process_is_believed_nothing(answer: str | None, said: str):
    say = "sys.exit(3)" if answer is None else f"print({answer!r}, flush=True)"
    script = f"import sys\ninput(); print('{{}}', flush=True); input(); {say}\ninput()"
    sandbox = Sandbox(GOOD, command=(sys.executable, "-S", "-c", script))
    with pytest.raises(WrittenError, match=said):
        sandbox.values(TWO)
    sandbox.close()


def test_only_what_tells_success_from_failure_within_bounds_passes(run: Path):
    trials = read_trials([str(run)])
    for text, problem in (
        (GOOD, ""),
        (INVERTED, "it does not tell success from failure: AUC of the return 0.000, wanted 0.9"),
        ("def reward(state): return -1", "it does not .* AUC of the return 0.500"),
        ("def reward(state): return state[0]", "it says between 0 and 1, wanted -1 .* to 0"),
    ):
        reward = understood(text, trials.spec)
        figures, found = examine(reward, trials, 0.9)
        reward.close()
        assert re.match(problem, found)
        assert bool(found) == bool(problem)
        assert (figures["successes"], figures["failures"]) == (12, 12)
    with pytest.raises(WrittenError, match="no observation cube; there are state"):
        understood("def reward(cube): return 0", trials.spec)


def test_episodes_whose_outcome_is_not_known_test_nothing(tmp_path: Path):
    rng = np.random.default_rng(0)
    known = [episode(rng, number, success=number % 2 == 0) for number in range(10)]
    thrown = episode(rng, 10, success=True)
    thrown[-1] = msgspec.structs.replace(thrown[-1], discarded=True)
    claimed = [msgspec.structs.replace(step, reward_by="success-1") for step in episode(rng, 11, success=True)]
    run = write(tmp_path / "steps.sqlite", [*known, thrown, claimed])
    assert sum(each.success for each in read_trials([str(run)]).episodes) == 5
    assert len(read_trials([str(run)]).episodes) == 10
    few = write(tmp_path / "few.sqlite", known[:9])
    with pytest.raises(ModelError, match="5 episodes ended in success and 4 without one, wanted 5"):
        read_trials([str(few)])
    blind = spec()
    blind = msgspec.structs.replace(blind, observation={"state": blind.observation["state"]}, task="other")
    for steps in known:
        steps[:] = [
            msgspec.structs.replace(
                step,
                observation={"state": step.observation["state"]},
                final_observation=step.final_observation and {"state": step.final_observation["state"]},
            )
            for step in steps
        ]
    other = write(tmp_path / "other.sqlite", known, of=blind)
    with pytest.raises(ModelError, match="of another environment"):
        read_trials([str(run), str(other)])


def test_what_was_wrong_goes_back_to_the_model_until_a_reward_passes(run: Path, tmp_path: Path):
    answers = iter(["I cannot.", "```python\nimport os\ndef reward(state): return 0\n```", INVERTED, GOOD])
    lines: list[str] = []

    def reply(request):
        text = next(answers)
        return block(text) if text.startswith("def") else completion(text)

    with serving(reply) as server:
        told = config(run, tmp_path / "model", vlm={"endpoint": server.url})
        made = write_reward(told, lines.append)
        asked = [parts(request)[0] for request in server.requests]
    assert made.source == GOOD
    assert "be bright" in asked[0]
    assert "state: shape (2,)" in asked[0]
    assert all(question.startswith(asked[0]) for question in asked)
    for question, wanted in zip(
        asked[1:], ("0 blocks of code", "line 1: import os is not allowed", "AUC of the return 0.000"), strict=True
    ):
        assert wanted in question
    assert INVERTED in asked[3]
    assert any(line.startswith("attempt 3 of 5: it does not tell") for line in lines)
    kept = json.loads((tmp_path / "model" / "conversation.json").read_text())
    assert [each["prompt"] for each in kept] == asked
    assert [bool(each["problem"]) for each in kept] == [True, True, True, False]
    assert GOOD in kept[3]["answer"]
    facts = json.loads((tmp_path / "model" / "model.json").read_text())["facts"]
    assert (facts["by"], facts["attempts"], facts["figures"]["auc"]) == ("m", 4, 1.0)
    assert load_model(tmp_path / "model").version == made.version
    with pytest.raises(ModelError, match="holds a model already"):
        write_reward(told, lines.append)


def test_a_model_that_never_gets_it_right_leaves_no_reward_but_what_it_tried(run: Path, tmp_path: Path):
    with serving(lambda request: block(INVERTED)) as server:
        told = config(run, tmp_path / "model", attempts=2, vlm={"endpoint": server.url})
        with pytest.raises(ModelError, match=r"none of 2 attempts was accepted.*AUC.*conversation\.json"):
            write_reward(told, lambda line: None)
        told = config(run, tmp_path / "model", vlm={"endpoint": server.url, "max_questions": 1})
        with pytest.raises(ModelError, match="the budget is spent, and no reward has passed"):
            write_reward(told, lambda line: None)
        assert len(server.requests) == 3
    assert not (tmp_path / "model" / "model.json").exists()
    assert len(json.loads((tmp_path / "model" / "conversation.json").read_text())) == 1
    with serving(lambda request: refusal(401, "no key")) as server, pytest.raises(VlmError, match="refuses the key"):
        write_reward(config(run, tmp_path / "model", vlm={"endpoint": server.url}), lambda line: None)


def test_a_person_writes_one_under_the_same_test(run: Path, tmp_path: Path):
    source = tmp_path / "mine.py"
    told = config(run, tmp_path / "model", source=str(source), goal="", vlm={"model": ""})
    for text, said in ((INVERTED, r"mine\.py is not accepted: it does not tell"), ("def reward(x", "no Python")):
        source.write_text(text)
        with pytest.raises(ModelError, match=said):
            write_reward(told, lambda line: None)
    source.write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="cannot be read"):
        write_reward(told, lambda line: None)
    source.write_text(GOOD)
    made = write_reward(told, lambda line: None)
    facts = json.loads((tmp_path / "model" / "model.json").read_text())["facts"]
    assert facts["by"] == str(source)
    source.unlink()
    assert load_model(tmp_path / "model").version == made.version


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_line_ends_of_another_system_make_no_other_reward(run: Path, tmp_path: Path, ends: str):
    mine = tmp_path / "mine.py"
    mine.write_bytes(GOOD.replace("\n", ends).encode())
    made = write_reward(config(run, tmp_path / "m", source=str(mine)), lambda line: None)
    assert made.version == WrittenReward(GOOD, {"state": (2,)}).version
    assert load_model(tmp_path / "m").version == made.version
    (tmp_path / "m" / "reward.py").write_bytes(GOOD.replace("\n", ends).encode())
    assert load_model(tmp_path / "m").version == made.version, "a copy by way of another system"


def test_a_model_that_was_kept_with_other_line_ends_still_loads(tmp_path: Path):
    kept = WrittenReward(GOOD.replace("\n", "\r\n"), {"state": (2,)})
    kept.save(tmp_path, {})
    again = load_model(tmp_path)
    assert again.version == kept.version
    np.testing.assert_array_equal(again.score(TWO).value, [-1.0, 0.0])
    kept.close()
    assert isinstance(again, WrittenReward)
    again.close()


def test_a_text_that_was_changed_after_its_test_is_refused(model: WrittenReward, tmp_path: Path):
    model.save(tmp_path, {})
    assert load_model(tmp_path).version == model.version
    (tmp_path / "reward.py").write_text(INVERTED)
    with pytest.raises(ModelError, match=r"reward\.py is not the text that was tested as written-"):
        load_model(tmp_path)
    (tmp_path / "reward.py").unlink()
    with pytest.raises(ModelError, match="cannot be used"):
        load_model(tmp_path)


def test_its_rewards_reach_past_runs_and_a_learner_under_its_version(model: WrittenReward, tmp_path: Path):
    run = record(tmp_path / "steps.sqlite", 4)
    model.save(tmp_path / "model", {})
    done = relabel(model, str(run))
    assert (done.steps, done.episodes, done.rewards) == (24, 4, -22.0)
    assert {label.version for label in labels_since(run)[0] if label.kind == REWARD} == {model.version}
    kind, version = learned_reward(f"written:{tmp_path / 'model'}")
    assert (kind, version) == ("written", model.version)
    told = LearnerConfig(
        run="r", agent=IqlConfig(), mode="offline", archive=[str(run)], reward=kind, reward_version=version
    )
    pool, _ = open_pool(
        msgspec.structs.replace(spec(), reward=version, return_bounds=None), told, say=lambda line: None
    )
    assert sorted(pool.replay.rewards(pool.rows)) == [-1.0] * 22 + [0.0] * 2
    with pytest.raises(UserError, match="holds a model of kind written, and reward=preference"):
        learned_reward(f"preference:{tmp_path / 'model'}")
    with pytest.raises(UserError, match="have one written: handrail rewards write"):
        learned_reward(f"written:{tmp_path}")
    with pytest.raises(ModelError, match="gives rewards, not success"):
        RewardService(model, "tcp://127.0.0.1:*")


def test_live_it_is_the_actors_to_ask_and_the_learner_sees_that_it_did(model: WrittenReward, tmp_path: Path):
    model.save(tmp_path, {})
    reward = f"written:{tmp_path}"
    assert (model_of(reward), rewarder_of(reward), rewarder_of("task")) == (None, str(tmp_path), None)
    kind, version = learned_reward(reward)
    told = LearnerConfig(run="r", agent=IqlConfig(), reward=kind, reward_version=version)
    assert told.labelled_by == "", "what the actor has recorded counts"
    assert (
        LearnerConfig(
            run="r", agent=IqlConfig(), mode="offline", archive=["a"], reward=kind, reward_version=version
        ).labelled_by
        == version
    )
    fits = fitting(told)
    fits(spec(reward=version))
    with pytest.raises(SpecMismatch, match=f"the actor is rewarded by sparse-1, this run by {version}"):
        fits(spec())
    # Preferences come afterwards, whatever the actor records.
    fitting(LearnerConfig(run="r", agent=IqlConfig(), reward="preference", reward_version="preference-1"))(spec())


def test_the_model_is_told_of_every_element_what_it_is_and_how_far_it_went(run: Path):
    cube = ArraySpec(shape=(8,), dtype="float32", unit="cube m [3], cube - tool m [3], cos and sin of 4 yaw")
    assert parts_of(cube) == [(0, 3, "cube m"), (3, 6, "cube - tool m"), (6, 8, "cos and sin of 4 yaw")]
    assert parts_of(ArraySpec(shape=(2,), dtype="float32")) == [(0, 2, "")]
    assert parts_of(ArraySpec(shape=(1,), dtype="float32", unit="m [3], rad")) == [(0, 1, "m")]
    assert api(read_trials([str(run)])).splitlines() == [
        "  state: shape (2,)",
        "    state[0:2]  no unit is given  [0..1, 0.5..0.5]",
    ]


def test_one_program_is_found_in_an_answer_or_none():
    assert program_in(f"Well.\n```python\n{GOOD}```\nDone. ```\nx = 1\n```") == GOOD
    assert program_in(f"```\r\n{GOOD}```") == GOOD
    assert program_in(GOOD) == GOOD
    for text in ("", "no", f"```python\n{GOOD}", f"```python\n{GOOD}```\n```python\n{GOOD}```", "```\nx = 1\n```"):
        with pytest.raises(ModelError, match="wanted one"):
            program_in(text)


def test_settings_that_cannot_be_are_refused(run: Path, tmp_path: Path):
    for changes, said in (
        ({"goal": " "}, "goal must say what is wanted"),
        ({"vlm": {"model": ""}}, r"set vlm\.model"),
        ({"runs": [], "env": EnvConfig(obs="pixels")}, "a script records episodes with env=sim obs=state, got env=sim"),
        ({"attempts": 0}, "attempts must be >= 1"),
        ({"min_auc": 0.5}, "min_auc must be in"),
        ({"episodes": 3}, "episodes must be >= 10"),
    ):
        with pytest.raises(ValueError, match=said):
            config(run, tmp_path, **changes)
    with pytest.raises(UserError, match="did you mean written"):
        model_of("writen:x")
