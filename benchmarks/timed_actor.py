"""The actor process with a stopwatch: `python -m benchmarks.timed_actor <actor config> <file for the figures>`.

It runs `actor.act.act` as the front door does. Only the environment's `step` and the pace's `wait` are watched, so that
all else of a control period is what the loop itself adds: policy, person, guard, the step's record and its hand-over.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from actor.__main__ import prepare_jax
from actor.config import ActorConfig
from actor.priority import raise_process


class _Stopwatch:
    """Wraps an episode's environment and pace; every finished control period is one line of figures."""

    def __init__(self) -> None:
        self.periods: list[dict[str, float]] = []
        self.overruns = 0
        self._env_s = self._began_s = 0.0

    def run_episode(self, env: Any, policy: Any, human: Any, guard: Any, pace: Any, record: Any, **more: Any) -> bool:
        """`actor.loop.run_episode`, watched."""
        from actor.loop import run_episode

        return run_episode(_Env(env, self), policy, human, guard, _Pace(pace, self), record, **more)

    def stepped(self, seconds: float) -> None:
        """The environment took this long."""
        self._env_s = seconds

    def begin(self) -> None:
        """An episode begins."""
        self._began_s = time.monotonic()

    def waited(self, entered_s: float) -> None:
        """A control period is over; the loop had come to its end at `entered_s`."""
        now_s = time.monotonic()
        added_s = entered_s - self._began_s - self._env_s
        self.periods.append({"period_s": now_s - self._began_s, "env_s": self._env_s, "added_s": added_s})
        self._began_s = now_s


class _Env:
    def __init__(self, env: Any, watch: _Stopwatch) -> None:
        self._env, self._watch = env, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def step(self, action: Any) -> Any:
        began_s = time.monotonic()
        result = self._env.step(action)
        self._watch.stepped(time.monotonic() - began_s)
        return result


class _Pace:
    def __init__(self, pace: Any, watch: _Stopwatch) -> None:
        self._pace, self._watch = pace, watch

    def begin(self) -> None:
        self._pace.begin()
        self._watch.begin()

    def wait(self) -> None:
        entered_s = time.monotonic()
        self._pace.wait()
        self._watch.waited(entered_s)
        self._watch.overruns = self._pace.overruns


def main() -> int:
    """Act until the learner has had enough, then write the figures."""
    config = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ActorConfig)
    watch = _Stopwatch()
    raise_process()
    prepare_jax()
    import actor.act

    actor.act.run_episode = watch.run_episode
    try:
        return actor.act.act(config)
    finally:
        Path(sys.argv[2]).write_text(json.dumps({"overruns": watch.overruns, "periods": watch.periods}))


if __name__ == "__main__":
    sys.exit(main())
