"""No bytes become code: Python's own audit events say so, in a process that decodes mutants of everything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from counts import count

FUZZ = Path(__file__).parent
FRAMES = count(ci=10_000, nightly=300_000)


def audited(*arguments: str) -> dict[str, dict[str, int]]:
    paths = [str(path) for path in (FUZZ, FUZZ.parent, FUZZ.parents[1])]
    command = [sys.executable, str(FUZZ / "audited.py"), *arguments]
    done = subprocess.run(
        command, env={"PYTHONPATH": ":".join(paths)}, capture_output=True, text=True, check=False, timeout=3600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(3600)
def test_decoding_executes_compiles_imports_and_starts_nothing():
    said = audited(str(FRAMES))
    assert not any(said["banned"].values()), said
    # It did listen: reading archives opens files.
    assert said["heard"]["sqlite3.connect"] > 0
    print(f"S2: {said['decoded']} inputs decoded, 0 of {', '.join(said['banned'])}")


def test_the_hook_hears_what_it_should():
    assert audited("100", "--prove")["banned"]["compile"] == 1
