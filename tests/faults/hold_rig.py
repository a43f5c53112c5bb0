"""An actor to do things to: the real loop and the real watchdog on a cell in real time, in a process of its own.

`python hold_rig.py <socket of the cell> <watched|alone>`: for every line on standard input it forks an actor and
answers with its process id. An actor that gets SIGUSR1 hogs the interpreter's lock in a thread, and has written when
it began into the file `hog` beside the socket. All the while the wall clock leaps by hours.
"""

import contextlib
import ctypes
import itertools
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from actor.attention import Attention, BackgroundPolicy
from actor.human import Nobody
from actor.loop import UNWATCHED, run_episode
from actor.pacing import CellPace
from actor.watchdog import watched
from envs.guard import Guard
from envs.sim.realtime import RealtimeCell
from envs.tasks import TASKS
from envs.workcell import Outcome, WorkcellEnv
from wire.types import Action, Observation

HOG_S = 0.6


class BackAndForth:
    """Drives the arm at full speed from one side to the other."""

    def __init__(self) -> None:
        self._way = 1.0

    def reset(self) -> None:
        pass

    def act(self, observation: Observation) -> tuple[Action, int]:
        y = observation["proprio"][9]
        self._way = -1.0 if y > 0.15 else 1.0 if y < -0.15 else self._way
        return np.array([0.0, self._way, 0.0, 1.0], np.float32), 1


def act(path: str, *, alone: bool) -> None:
    """Run episodes for ever."""
    task = TASKS["reach"]()
    # Nothing of it is ever reached.
    task.evaluate = lambda cell: Outcome(0.0)
    env = WorkcellEnv(RealtimeCell(task, path=path), task)
    with watched(env.stopper) if not alone else contextlib.nullcontext(UNWATCHED) as heart:
        human = Attention(Nobody(), heart)
        env.pause = human.pause
        policy, guard = BackgroundPolicy(BackAndForth(), human), Guard(env.limits)
        for episode in itertools.count():
            run_episode(
                env,
                policy,
                human,
                guard,
                CellPace(),
                lambda step: None,
                episode=episode,
                seed=episode,
                stopped=lambda: False,
                heart=heart,
            )


def hog(began: Path) -> None:
    """Keep the interpreter's lock from everybody else, in one long call, whenever SIGUSR1 comes."""
    while True:
        signal.sigwait({signal.SIGUSR1})
        began.with_suffix(".part").write_text(str(time.monotonic_ns()))
        began.with_suffix(".part").replace(began)
        # Through PyDLL a call keeps the lock until it returns, as a careless driver's does.
        ctypes.PyDLL(None).usleep(int(1e6 * HOG_S))


def main() -> None:
    path, alone = sys.argv[1], sys.argv[2] == "alone"
    leaps = random.Random(0)
    real = time.time  # noqa: TID251
    time.time = lambda: real() + leaps.choice((-3600.0, 0.0, 3600.0))  # noqa: TID251
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
            threading.Thread(target=hog, args=(Path(path).with_name("hog"),), daemon=True).start()
            act(path, alone=alone)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
