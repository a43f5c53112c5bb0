"""Every benchmark runs at a tiny size and writes the document that people script against."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *options: str, out: Path) -> dict:
    command = [sys.executable, str(ROOT / "benchmarks" / script), "--json", str(out), *options]
    done = subprocess.run(command, cwd=out.parent, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


def check_document(document: dict, name: str) -> None:
    assert document.keys() == {"name", "machine", "rows", "ratios"}
    assert document["name"] == name
    assert {"cpu", "cores", "date", "versions"} <= document["machine"].keys()
    assert document["rows"]
    assert document["ratios"]
    assert all(isinstance(value, float) for value in document["ratios"].values())


def interpreter_without_packages(folder: Path) -> str:
    """One that has no torch, Stable-Baselines3, lz4 or gRPC, whatever is installed here."""
    bare = folder / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    return str(bare)


def test_the_update_is_timed_and_what_is_not_installed_is_reported_absent(tmp_path):
    bare = interpreter_without_packages(tmp_path)
    options = ("--tiny", "--repetitions", "2", "--blocks", "small", "--torch-python", bare)
    document = run("learner.py", *options, out=tmp_path / "learner.json")
    check_document(document, "learner")
    rows = {row["contender"]: row for row in document["rows"]}
    assert rows["handrail"]["cpu_ms"].keys() == {"median", "p25", "p75", "min", "n"}
    assert rows["peak jax"]["gflop_per_s"]["median"] > 0
    assert all("absent" in rows[name] for name in rows if name.startswith(("torch", "stable")))


def test_learning_on_a_device_is_timed_from_pictures_and_from_features(tmp_path):
    bare = interpreter_without_packages(tmp_path)
    document = run("gpu.py", "--tiny", "--torch-python", bare, out=tmp_path / "gpu.json")
    check_document(document, "gpu")
    assert [row for row in document["rows"] if "torch" in row["what"] and "absent" in row]
    assert [row["precision"] for row in document["rows"] if row["what"] == "scaling"] == ["float32"]
    steps = [row for row in document["rows"] if row["what"].startswith("environment step")]
    assert {row["encoder"] for row in steps} == {"conv", "trunk"}
    assert all(row["gradient_steps_per_s"] > 0 for row in steps)


def test_the_loop_is_timed_beside_a_learner_at_work(tmp_path):
    document = run("loop.py", "--obs", "state", "--task", "reach", "--steps", "12", out=tmp_path / "loop.json")
    check_document(document, "loop")
    (row,) = document["rows"]
    assert row["periods"] >= 12  # The actor goes on until the learner has told it to stop.
    assert row["period_ms"]["p50"] <= row["period_ms"]["p99"] <= row["period_ms"]["p100"]
    assert row["added_ms"]["p50"] < row["period_ms"]["p50"]


def test_a_touch_is_timed_from_the_raw_report_to_the_command(tmp_path):
    document = run("override.py", "--touches", "3", "--task", "reach", out=tmp_path / "override.json")
    check_document(document, "override")
    (row,) = document["rows"]
    assert row["touches"] >= 1
    assert 0.0 < row["wait_ms"]["p50"] <= row["wait_ms"]["p99"] <= row["wait_ms"]["p100"]
    assert row["human_steps"] >= row["touches"] - row["unanswered"]


def test_restarts_are_timed_from_the_start_of_a_process_to_its_first_step(tmp_path):
    counts = ("--tiny", "--transitions", "300", "--repetitions", "1", "--task", "reach")
    document = run("restart.py", *counts, "--folder", str(tmp_path), out=tmp_path / "restart.json")
    check_document(document, "restart")
    rows = {row["start"]: row for row in document["rows"]}
    marks = [rows["learner"][mark]["median"] for mark in ("connected_s", "first_record_s", "first_gradient_step_s")]
    assert 0 < marks[0] <= marks[1] <= marks[2]
    assert rows["actor"]["first_step_s"]["median"] > 0
    assert document["ratios"].keys() >= {"learner: first_record_s / the bar of 2 s"}


def test_training_is_timed_with_keys_and_without(tmp_path):
    document = run(
        "curve.py", "--tiny", "--steps", "60", "--repetitions", "1", "--task", "reach", out=tmp_path / "c.json"
    )
    check_document(document, "curve")
    assert [row["link"] for row in document["rows"]] == ["without keys", "CURVE"]
    assert all(row["steps_per_s"]["median"] > 0 and row["cpu_ms"]["median"] > 0 for row in document["rows"])


def test_an_interpreter_without_handrail_is_named_before_anything_is_measured(tmp_path):
    script = tmp_path / "ours.py"
    script.write_text("import a_package_that_is_not_here\n")
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
import wire
wire._CONTENDERS["handrail"] = ({str(script)!r}, "")
sys.argv = ["wire.py"]
wire.main()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    *_, error = done.stderr.splitlines()
    assert error.startswith(f"error: {sys.executable} cannot run Handrail itself (ModuleNotFoundError: ")
    assert "a_package_that_is_not_here" in error
    assert "start this with the interpreter that Handrail is installed in" in error
    assert "Traceback" not in done.stderr


def test_the_way_of_a_step_is_timed_end_to_end_beside_what_the_machine_allows(tmp_path):
    counts = ("--repetitions", "1", "--steps", "120", "--paced", "1", "--paced-steps", "10", "--rate-hz", "50")
    peers = ("--peers-python", interpreter_without_packages(tmp_path))
    document = run("wire.py", *counts, *peers, out=tmp_path / "wire.json")
    check_document(document, "wire")
    rows = {row["contender"]: row for row in document["rows"]}
    ours = rows["handrail"]
    assert ours["steps_per_s"]["median"] > 0
    assert ours["call_ms"]["p50"]["median"] <= ours["call_ms"]["p100"]["median"]
    assert ours["acknowledged_ms"]["p50"]["median"] > 0
    assert rows["limit: write and fdatasync"]["mb_per_s"]["median"] > 0
    assert all("absent" in row for name, row in rows.items() if name.startswith(("agentlace", "lerobot")))
    assert "steps/s: handrail / limit: ZeroMQ" in document["ratios"]


def test_drawing_from_replays_is_timed_and_weighed_and_what_does_not_fit_says_so(tmp_path):
    bare = interpreter_without_packages(tmp_path)
    options = ("--pictures", "600", "10000000", "--features", "2000", "4000", "--repetitions", "2")
    document = run("replay.py", *options, "--lerobot-python", bare, out=tmp_path / "replay.json")
    check_document(document, "replay")
    rows = {(row["kept"], row["transitions"], row["contender"]): row for row in document["rows"]}
    assert 1.0 < rows["pictures", 600, "handrail"]["of_one_observation"] < 1.5
    assert rows["pictures", 600, "naive"]["of_one_observation"] == pytest.approx(2.0, rel=0.1)
    assert "GB of memory" in rows["pictures", 10_000_000, "handrail"]["absent"]
    assert "absent" in rows["features", 2000, "lerobot"]
    assert "4,000 features: handrail / at 2,000" in document["ratios"]


def test_listing_an_archive_is_timed_and_reads_a_fraction_of_it(tmp_path):
    options = ("--runs", "4", "--steps", "400", "--repeat", "1")
    document = run("archive.py", *options, out=tmp_path / "archive.json")
    check_document(document, "archive")
    rows = {row["archive"]: row for row in document["rows"]}
    assert all((row["runs"], row["steps"]) == (4, 1600) for row in rows.values())
    assert (
        rows["catalogue"]["read_mb"]["median"]
        < rows["no catalogue"]["read_mb"]["median"]
        < rows["catalogue"]["stored_mb"]
    )
