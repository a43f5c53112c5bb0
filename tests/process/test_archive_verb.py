"""`handrail archive` as a person uses it: a command, its exit code, and nothing but JSON where JSON was asked for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from archives import SPEC, episode, some_run

from wire.store import StepStore

pytestmark = pytest.mark.process


def handrail(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "handrail.cli", "archive", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_a_run_that_another_process_writes_is_listed_and_is_not_pruned(tmp_path: Path):
    path = some_run(tmp_path / "runs" / "live")
    with StepStore.open(path, SPEC) as store:
        for seq, step in enumerate(episode(SPEC, 9)[:2], start=18):
            store.insert("0123456789abcdef" * 2, seq, step)
        store.commit()
        listed = handrail(tmp_path, "list", "--json")
        assert (listed.returncode, listed.stderr) == (0, "")
        (run,) = json.loads(listed.stdout)["runs"]
        assert (run["state"], run["steps"]) == ("writing", 19)
        pruned = handrail(tmp_path, "prune", "runs", "max_steps=100", "yes=true")
        assert pruned.returncode == 0
        assert "kept runs/live: it is being written" in pruned.stdout
    assert path.exists()


def test_whoever_has_read_enough_gets_no_traceback(tmp_path: Path):
    for number in range(300):
        (tmp_path / "runs" / f"run-{number}").mkdir(parents=True)
        (tmp_path / "runs" / f"run-{number}" / "steps.sqlite").write_bytes(b"")
    command = f"{sys.executable} -m handrail.cli archive list | head -1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == ""
    assert done.stdout.startswith("run")


def test_what_the_user_got_wrong_ends_with_2_and_one_sentence(tmp_path: Path):
    done = handrail(tmp_path, "show", "gone")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is nothing at gone")
    assert done.stderr.count("\n") == 1
