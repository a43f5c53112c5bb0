"""Runs of the front door for tables: each in a folder of its own, several at once, never twice."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def handrail(*words: str, log: Path) -> None:
    """Carry out one command; raises CalledProcessError, with the log named, where it does not succeed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        done = subprocess.run([sys.executable, "-m", "handrail.cli", *words], stdout=file, stderr=file, check=False)
    if done.returncode:
        raise SystemExit(f"handrail {' '.join(words)} ended with {done.returncode}: {log.read_text()[-600:]}")


@contextlib.contextmanager
def beside(*words: str, log: Path) -> Iterator[None]:
    """For the block, one command that does not end by itself."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", "handrail.cli", *words], stdout=file, stderr=file)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def finished(run: Path, *words: str) -> dict[str, Any]:
    """The summary of a run with these words, which is made unless its folder holds it already."""
    if not (run / "eval.json").exists():
        handrail(*words, f"run={run}", log=run.with_name(f"{run.name}.log"))
    if not (run / "eval.json").exists():
        handrail("eval", f"run={run}", "episodes=100", log=run.with_name(f"{run.name}.eval.log"))
    return json.loads((run / "summary.json").read_text()) | {"eval": json.loads((run / "eval.json").read_text())}


def each(jobs: int, calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """The results of all calls, in their order, at most `jobs` at once."""
    with ThreadPoolExecutor(jobs) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]
