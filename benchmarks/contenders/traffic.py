"""What the contenders of wire.py send, and the two roles that each of them plays in a process of its own.

A role answers one line of JSON with another. Both are told how many steps there will be; the actor makes them, as fast
as they are taken or at a rate, and the learner says when it had each of them. Monotonic seconds are the machine's, so
the two can be compared. Needs nothing but numpy: the peers' interpreter has no Handrail.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

EPISODE = 100
CAMERAS = {"front": (128, 128, 3), "wrist": (128, 128, 3)}
STATE, ACTION = 12, 7
STEP_BYTES = sum(int(np.prod(shape)) for shape in CAMERAS.values()) + 4 * STATE
"""Of one observation: what every contender has to get across, whatever else it sends."""

Observation = dict[str, np.ndarray]


class Sender(Protocol):
    """The actor's side of a contender."""

    def record(self, seen: Observation, action: np.ndarray, then: Observation, t: int) -> None:
        """What the control loop calls once per step; `then` is the very observation that the next step will see."""
        ...

    def finish(self) -> None:
        """Return once nothing is left to send."""
        ...


Receiver = Callable[[], int]
"""The learner's side: waits a little for steps and says how many came, as they would be used: decoded, in memory."""


def observations(seed: int = 0) -> Iterator[Observation]:
    """For ever new pictures: smooth ones with a sensor's noise of a few grey levels, which hardly compress."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:1:128j, 0:1:128j]
    scene = (120 + 80 * np.sin(5 * x) * np.cos(7 * y))[..., None] + np.array([0.0, 15.0, -20.0])
    pictures = [np.clip(scene + random.normal(0, 2, scene.shape), 0, 255).astype(np.uint8) for _ in range(64)]
    number = 0
    while True:
        # A camera fills a new array every time; an old one would be found in the processor's cache.
        frames = {name: pictures[(number + 32 * i) % 64].copy() for i, name in enumerate(CAMERAS)}
        yield frames | {"state": random.random(STATE, np.float32)}
        number += 1


def act(sender: Sender, steps: int, rate_hz: float, source: Iterator[Observation]) -> dict[str, Any]:
    """Record `steps` steps, `rate_hz` a second or, where that is 0, one after the other."""
    called_s, call_s = [], []
    action = np.zeros(ACTION, np.float32)
    began_s, cpu_s, seen = time.monotonic(), time.process_time(), next(source)
    for number in range(steps):
        then = next(source)
        called_s.append(time.monotonic())
        sender.record(seen, action, then, number % EPISODE)
        call_s.append(time.monotonic() - called_s[-1])
        seen = then
        if rate_hz:
            time.sleep(max(0.0, began_s + (number + 1) / rate_hz - time.monotonic()))
    sender.finish()
    now_s = time.monotonic()
    cpu_s = time.process_time() - cpu_s
    return {"began_s": began_s, "done_s": now_s, "cpu_s": cpu_s, "called_s": called_s, "call_s": call_s}


def learn(receive: Receiver, steps: int) -> dict[str, Any]:
    """Wait until all of them came."""
    arrived_s: list[float] = []
    cpu_s = time.process_time()
    while len(arrived_s) < steps:
        arrived_s += receive() * [time.monotonic()]
    return {"done_s": time.monotonic(), "cpu_s": time.process_time() - cpu_s, "arrived_s": arrived_s}


def serve(
    actor: Callable[[str, str, str], Sender], learner: Callable[[str, str], tuple[Receiver, Any]], extra: Any = None
) -> None:
    """Play the role that the command line names until there are no more lines.

    Args:
        actor: Connects to an address as a variant, with a folder for its files.
        learner: Listens as a variant, with a folder for its files; gives the receiver and its address.
        extra: Called with the sender after each repetition: more for the actor to report.
    """
    told = json.loads(sys.argv[1])
    # Nobody else may write into the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    try:
        if told["role"] == "learner":
            receive, address = learner(told["variant"], told["folder"])
            first = {"ready": True, "address": address}
        else:
            sender, source = actor(told["address"], told["variant"], told["folder"]), observations()
            first = {"ready": True}
    except ImportError as error:
        print(json.dumps({"absent": str(error)}), file=answers, flush=True)
        return
    print(json.dumps(first), file=answers, flush=True)
    for line in sys.stdin:
        run = json.loads(line)
        if told["role"] == "learner":
            answer = learn(receive, run["steps"])
        else:
            answer = act(sender, run["steps"], run["rate_hz"], source)
            answer |= extra(sender) if extra is not None else {}
        print(json.dumps(answer), file=answers, flush=True)
