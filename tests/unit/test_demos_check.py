"""Whether demonstrations are fit to learn from: every verdict on a file that deserves it."""

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from experience import make_spec
from test_quality import SPEC, episode

from handrail import cli
from handrail.demos_check import Finding, Verdict, find
from handrail.demos_contents import read_contents
from wire.specs import EnvSpec
from wire.store import StepStore
from wire.types import Step

STILL, GO, FAST = [0.0, 0.0, 0.0, 1.0], [0.5, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]


def write(path: Path, *episodes: list[Step], spec: EnvSpec = SPEC) -> Path:
    with StepStore.open(path, spec) as store:
        seq = 0
        for steps in episodes:
            for step in steps:
                seq += 1
                store.insert("a" * 32, seq, step)
        store.commit()
    return path


def good(number: int, steps: int = 10) -> list[Step]:
    return episode([[0.1 + number / 100, 0.3, 0.0, 1.0]] * steps, number=number)


def findings(path: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in find(read_contents(path))}


def bad_or_worth_a_look(path: Path) -> dict[str, Verdict]:
    return {what: finding.verdict for what, finding in findings(path).items() if finding.verdict is not Verdict.OK}


def stamped(steps: list[Step], period_s: float, start_s: float = 100.0) -> list[Step]:
    return [msgspec.structs.replace(step, stamps={"monotonic": start_s + step.t * period_s}) for step in steps]


def test_good_demonstrations_are_called_so(tmp_path: Path):
    path = write(tmp_path / "d.sqlite", *[stamped(good(n), 0.1) for n in range(12)])
    assert bad_or_worth_a_look(path) == {}
    assert findings(path)["rate"].found.startswith("a step every 100.0 ms, wanted 100.0 ms, 0.0% of them late")
    assert findings(path)["amount"].found == "12 episodes, 120 steps, 0.2 minutes"
    assert "x, y, z, gripper (base)" in findings(path)["spec"].found
    assert "demo 100%" in findings(path)["human share"].found


def shaking(number: int, size: float = 0.1) -> list[Step]:
    return episode([[size * (-1) ** t, 0, 0.01 * number, 1.0] for t in range(9)])


ELEVEN = [good(number) for number in range(11)]
FAILURES = [episode([GO] * (n + 5), success=False, number=n) for n in range(11)]
WRONG = [
    ("amount", Verdict.LOOK, "3 episodes", ELEVEN[:3]),
    ("success", Verdict.LOOK, "9 of 11", ELEVEN[:9] + FAILURES[9:]),
    ("success", Verdict.BAD, "0 of 11", FAILURES),
    ("idle steps", Verdict.LOOK, "the longest wait at a start is 1.2 s", [*ELEVEN, episode([STILL] * 12 + [GO] * 9)]),
    ("saturated", Verdict.LOOK, "75%", [episode([FAST] * 9 + [GO] * 3)]),
    ("held", Verdict.LOOK, "held by the guard", [*ELEVEN, episode([GO] * 9, held=True)]),
    ("length", Verdict.LOOK, "more than twice the median: episodes 11", [*ELEVEN, good(11, steps=25)]),
    ("smoothness", Verdict.LOOK, "more than twice the median: episodes 0", [shaking(0, 0.5), *map(shaking, range(9))]),
    ("duplicates", Verdict.BAD, "episodes 0 and 11", [*ELEVEN, good(0)]),
    ("whole", Verdict.LOOK, "1 episodes have no end", [*ELEVEN, good(11)[:4]]),
]


@pytest.mark.parametrize(("what", "verdict", "said", "episodes"), WRONG, ids=[f"{w[0]}-{w[1]}" for w in WRONG])
def test_what_is_wrong_is_named_with_a_cure(
    tmp_path: Path, what: str, verdict: Verdict, said: str, episodes: list[list[Step]]
):
    found = findings(write(tmp_path / "d.sqlite", *episodes))[what]
    assert found.verdict is verdict
    assert said in found.found
    assert found.do


def test_nothing_at_all_is_bad(tmp_path: Path):
    assert bad_or_worth_a_look(write(tmp_path / "d.sqlite")) == {"amount": Verdict.BAD, "rate": Verdict.LOOK}


def test_a_loop_that_was_too_slow_is_bad_on_a_robot_and_says_nothing_in_a_simulation(tmp_path: Path):
    slow = [stamped(good(n), 0.15) for n in range(12)]
    robot = msgspec.structs.replace(SPEC, env="ros")
    found = findings(write(tmp_path / "r.sqlite", *slow, spec=robot))["rate"]
    assert (found.verdict, found.found) == (Verdict.BAD, "a step every 150.0 ms, wanted 100.0 ms")
    assert findings(write(tmp_path / "s.sqlite", *slow))["rate"].verdict is Verdict.OK
    jumpy = [stamped(good(n), 0.1)[:5] + stamped(good(n), 0.1, start_s=100.1)[5:] for n in range(12)]
    found = findings(write(tmp_path / "j.sqlite", *jumpy, spec=robot))["rate"]
    assert found.verdict is Verdict.LOOK
    assert "11.1% of them late" in found.found


def test_a_camera_that_stands_still_while_the_robot_moves_is_bad(tmp_path: Path):
    from experience import make_step

    spec = make_spec()
    steps = [make_step(spec, number) for number in range(10)]
    assert findings(write(tmp_path / "g.sqlite", steps, spec=spec))["cameras"].verdict is Verdict.OK
    frozen = [
        msgspec.structs.replace(step, observation=step.observation | {"wrist": steps[0].observation["wrist"]})
        for step in steps
    ]
    found = findings(write(tmp_path / "b.sqlite", frozen, spec=spec))["cameras"]
    assert found.verdict is Verdict.BAD
    assert "wrist in 100%" in found.found
    assert "front" not in found.found


def test_a_robot_that_stands_still_makes_no_frozen_camera(tmp_path: Path):
    from experience import make_step

    spec = make_spec()
    first = make_step(spec, 0)
    steps = [msgspec.structs.replace(make_step(spec, n), observation=first.observation) for n in range(5)]
    assert findings(write(tmp_path / "d.sqlite", steps, spec=spec))["cameras"].verdict is Verdict.OK


def test_steps_that_are_damaged_are_bad(tmp_path: Path):
    path = write(tmp_path / "d.sqlite", *map(good, range(11)))
    data = path.read_bytes()
    action = np.array([0.15, 0.3], np.float32).tobytes()
    path.write_bytes(data.replace(action, action[::-1]))
    found = findings(path)["whole"]
    assert (found.verdict, found.found) == (Verdict.BAD, "10 steps are damaged")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.run(["demos", "check", *words])
    return code, capsys.readouterr().out


@pytest.fixture(autouse=True)
def _no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "stop_on_sigterm", lambda: None)


def test_the_exit_code_says_whether_something_is_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    fine = write(tmp_path / "d.sqlite", *map(good, range(12)))
    code, text = run(capsys, str(fine))
    assert code == 0
    assert "  ok   success     12 of 12 episodes succeed" in text
    assert "\n        3     10      1.0     1.0      yes" in text
    twins = write(tmp_path / "t.sqlite", *map(good, range(11)), good(0))
    assert run(capsys, str(twins))[0] == 1


def test_json_is_one_document_and_a_file_gets_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path / "steps.sqlite", *map(good, range(12)))
    code, text = run(capsys, str(tmp_path), "--json", f"json={tmp_path}/check.json")
    document = json.loads(text)
    assert code == 0
    assert document == json.loads((tmp_path / "check.json").read_text())
    assert (document["path"], document["verdict"]) == (str(path), "look")
    assert document["episodes"][3]["steps"] == 10
    assert {finding["verdict"] for finding in document["findings"]} == {"ok", "look"}


def test_against_names_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ours = write(tmp_path / "a.sqlite", *map(good, range(12)))
    same = write(tmp_path / "b.sqlite", good(1))
    other = write(tmp_path / "c.sqlite", good(1), spec=msgspec.structs.replace(SPEC, task="peg"))
    assert run(capsys, str(ours), f"against={same}")[0] == 0
    code, text = run(capsys, str(ours), f"against={other}")
    assert code == 1
    assert "task: toy here, peg there" in text


def test_findings_are_plain_values():
    assert dataclasses.asdict(Finding(Verdict.OK, "a", "b")) == {"verdict": "ok", "what": "a", "found": "b", "do": ""}
