"""The actor with a finger on its SpaceMouse: `python -m benchmarks.touched_actor <config> <touches> <figures>`.

It runs `actor.act.act` as the front door does: the real driver, loop, guard and outbox. Only the library `hid` is ours:
a cable whose other end is finger.py. After so many touches the person ends it.
"""

import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from actor.__main__ import prepare_jax
from actor.config import ActorConfig
from actor.priority import raise_process
from wire.types import Source, Step


class _Device:
    """`hid.device`, read from a cable."""

    def __init__(self, cable: socket.socket) -> None:
        self._cable = cable

    def open_path(self, path: bytes) -> None:
        """It is open."""

    def set_nonblocking(self, on: int) -> None:
        """It does not block."""

    def read(self, most: int, timeout_ms: int = 0) -> list[int]:
        """The next report, or nothing after so long."""
        ready, _, _ = select.select([self._cable], [], [], timeout_ms / 1000)
        return list(self._cable.recv(most)) if ready else []

    def close(self) -> None:
        """It is closed."""


def plug_in(cable: socket.socket, path: Path) -> None:
    """Put a module `hid` in place that knows one SpaceMouse, at the end of this cable."""
    path.touch()
    facts = {"path": str(path).encode(), "vendor_id": 0x256F, "product_id": 0xC635, "usage_page": 1, "usage": 8}
    hid: Any = ModuleType("hid")
    hid.enumerate = lambda: [facts]
    hid.device = lambda: _Device(cable)
    sys.modules["hid"] = hid


class _Watch:
    """Notes when every step's command reached the cell, and ends the run after so many touches."""

    def __init__(self, touches: int) -> None:
        self._touches = touches
        self.steps: list[dict[str, Any]] = []
        self._taken_over = 0

    def run_episode(self, env: Any, policy: Any, human: Any, guard: Any, pace: Any, record: Any, **more: Any) -> bool:
        """`actor.loop.run_episode`, watched."""
        from actor.loop import run_episode

        def noted(step: Step) -> None:
            record(step)
            self._note(step, env.cell._newest.commanded_ns / 1e9)
            if self._taken_over >= self._touches:
                more["end"]()

        return run_episode(env, policy, human, guard, pace, noted, **more)

    def _note(self, step: Step, commanded_s: float) -> None:
        mine = step.source is Source.HUMAN
        before = self.steps[-1] if self.steps else None
        self._taken_over += mine and before is not None and not before["human"] and before["episode"] == step.episode
        self.steps.append(
            {
                "episode": step.episode,
                "began_s": step.stamps["monotonic"],
                "ended_s": time.monotonic(),
                "commanded_s": commanded_s,
                "human": mine,
                "held": step.held,
                "both": step.policy_action is not None,
            }
        )


def main() -> int:
    """Act until there were enough touches, then write what was noted."""
    config = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ActorConfig)
    watch, figures = _Watch(int(sys.argv[2])), Path(sys.argv[3])
    raise_process()
    prepare_jax()
    import actor.act

    actor.act.run_episode = watch.run_episode
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with tempfile.TemporaryDirectory() as folder:
        moments = Path(folder) / "touches.json"
        plug_in(ours, Path(folder) / "hidraw0")
        words = [sys.executable, "-m", "benchmarks.finger", str(theirs.fileno()), str(moments)]
        finger = subprocess.Popen(words, pass_fds=[theirs.fileno()])
        theirs.close()
        try:
            actor.act.act(config)
        finally:
            ours.close()
            finger.wait(60)
        touches = json.loads(moments.read_text())
    figures.write_text(json.dumps({"touches": touches, "steps": watch.steps}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
