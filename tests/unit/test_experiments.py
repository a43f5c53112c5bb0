"""The table of experiments: its rows are commands that exist, finished runs are read, and what failed is said."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from handrail.compose import compose_verb

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "experiments.py"


def finished(runs: Path, name: str, seed: int, **facts: object) -> None:
    """A run's folder as `handrail sim` leaves it."""
    run = runs / f"{name}-{seed}"
    run.mkdir(parents=True)
    summary = {
        "env_steps": 2009,
        "human_steps": 300,
        "steps_to_80": 1100,
        "steps_to_95": 1500,
        "gradient_steps": 4000,
        "wall_s": 60.0,
        "mean_steps": 15.0,
        "success": {"rate": 1.0, "n": 100, "ci95": [0.96, 1.0]},
        "link": {},
    }
    (run / "summary.json").write_text(json.dumps(summary | facts))
    (run / "eval.json").write_text("{}")


def table(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--runs", str(tmp_path / "runs"), "--json", str(tmp_path / "e.json")]
    return subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.process
def test_human_steps_to_95_percent_are_in_the_table_and_set_against_plain(tmp_path: Path):
    for seed, (plain, tied) in enumerate([(200, 100), (300, 150), (400, 210)]):
        finished(tmp_path / "runs", "pick_cube-plain-noisy", seed, human_steps_to_95=plain)
        finished(tmp_path / "runs", "pick_cube-lagrange-noisy", seed, human_steps_to_95=tied)
        late = None if seed == 1 else 90
        finished(tmp_path / "runs", "pick_cube-takeover-noisy", seed, human_steps_to_95=late)
    rows = [f"pick_cube-{scheme}-noisy" for scheme in ("plain", "lagrange", "takeover")]
    done = table(tmp_path, "--rows", *rows)
    assert done.returncode == 0, done.stderr
    head, _, plain, tied, late = done.stdout.splitlines()
    assert "human steps to 95 %" in head
    assert plain == "| pick_cube-plain-noisy | 1.00 1.00 1.00 | 2009 | 300 | 1100 | 1500 | 300 | - | 15 | 1.0 1.0 1.0 |"
    assert "| 150 |" in tied
    assert "| never |" in late
    document = json.loads((tmp_path / "e.json").read_text())
    key = "human steps to 95 %: pick_cube-lagrange-noisy / pick_cube-plain-noisy"
    assert document["ratios"] == {key: 0.5}


@pytest.mark.process
def test_a_run_that_fails_is_named_with_its_log_and_the_others_are_reported(tmp_path: Path):
    finished(tmp_path / "runs", "hil", 0)
    (tmp_path / "runs" / "rlpd-0").mkdir()
    (tmp_path / "runs" / "rlpd-0" / "steps.sqlite").write_text("no archive at all")
    done = table(tmp_path, "--rows", "rlpd", "hil", "--seeds", "0")
    assert done.returncode == 1
    assert "| hil | 1.00 |" in done.stdout
    assert "error: handrail sim obs=state steps=1000 human=none seed=0" in done.stderr
    assert "rlpd-0.log" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_more_jobs_than_cores_are_refused(tmp_path: Path):
    done = table(tmp_path, "--jobs", "9999")
    assert done.returncode == 1
    assert "error: --jobs must be 1 to" in done.stderr


def test_every_row_is_a_command_that_exists():
    code = f"import runpy, json; print(json.dumps(runpy.run_path({str(SCRIPT)!r})['ROWS']))"
    rows = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert {"pick_cube-lagrange-noisy", "peg_insert-takeover-lazy", "pick_cube-discrete-expert"} <= rows.keys()
    assert "peg_insert-discrete-expert" not in rows, "there is no gripper"
    for words in rows.values():
        config = compose_verb("sim", words.split())
        assert config.steps >= 1000
