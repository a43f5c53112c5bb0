"""A contender of a benchmark: a script of contenders/ in a process of its own, which repeats its work when told to."""

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent


class Contender:
    """A running contender."""

    def __init__(self, name: str, script: str, told: dict[str, Any], python: str) -> None:
        """Start it.

        Args:
            name: What the rows call it.
            script: Its file in contenders/.
            told: What `worker.serve` reads there: block, variant, core, calls.
            python: Interpreter that has what it needs.
        """
        self.name = name
        self._process = subprocess.Popen(
            [python, str(_HERE / "contenders" / script), json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # This folder is on no one's path: its learner.py would be taken for the package.
            env=os.environ | {"PYTHONPATH": str(_HERE.parent), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self.results: list[dict[str, float]] = []
        self.absent = ""

    def wait_ready(self) -> None:
        """Wait until it has built and warmed up everything; notes where it cannot run here."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if '"ready"' not in line:
            _, errors = self._process.communicate()
            last = (errors.strip().splitlines() or ["it left no message"])[-1]
            self.absent = json.loads(line)["absent"] if line else last

    def repeat(self) -> None:
        """Run one repetition."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        self.results.append(json.loads(self._process.stdout.readline()))

    def stop(self) -> None:
        """Let it go."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.kill()
        self._process.wait()
