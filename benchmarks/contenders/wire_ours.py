"""Handrail's own path, as the front door starts it: Uplink, outbox.sqlite, ZeroMQ, Inbox, steps.sqlite, drained rows.

A step counts as arrived once its row was drained, which is after the commit with synchronous=FULL. Whoever waits here
looks every two milliseconds, so that the looking takes no part of the processor worth mentioning.
"""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from traffic import ACTION, CAMERAS, EPISODE, STATE, Observation, Receiver, serve

from actor.uplink import Uplink
from learner.inbox import Inbox
from wire.specs import ArraySpec, EnvSpec
from wire.types import Source, Step

_WINDOW = 128
_LOOK_S = 0.002
_SPEC = EnvSpec(
    env="sim",
    task="traffic",
    robot="arm",
    observation={name: ArraySpec(shape=shape, dtype="uint8") for name, shape in CAMERAS.items()}
    | {"state": ArraySpec(shape=(STATE,), dtype="float32")},
    action=ArraySpec(shape=(ACTION,), dtype="float32", low=-1, high=1),
    action_names=tuple("xyzrpwg"),
    action_frame="base",
    rate_hz=20,
    max_episode_steps=EPISODE,
    reward="sparse-1",
)


class Actor:
    """Appends; a thread of its own notes when the learner's disk has which step."""

    def __init__(self, address: str, variant: str, folder: str) -> None:
        self._uplink = Uplink(address, Path(folder) / "outbox.sqlite", _SPEC, **_keys(variant, folder, "actor"))
        self._uplink.start()
        self._episode = 0
        self._acked_s: list[float] = []
        self._acked = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def record(self, seen: Observation, action: np.ndarray, then: Observation, t: int) -> None:
        """`Uplink.append`, behind a little back-pressure: a control loop would never be so far ahead."""
        while self._uplink.status.unacked > _WINDOW:
            time.sleep(_LOOK_S)
        last = t == EPISODE - 1
        self._uplink.append(
            Step(
                episode=self._episode,
                t=t,
                observation=seen,
                action=action,
                policy_action=action,
                source=Source.POLICY,
                reward=0.0,
                terminated=False,
                truncated=last,
                final_observation=then if last else None,
                stamps={"monotonic": time.monotonic(), "act_s": 0.001, "guard_s": 0.0001},
            )
        )
        self._episode += last

    def finish(self) -> None:
        """Wait until the learner has acknowledged every step."""
        if not self._uplink.flush(60):
            raise SystemExit(f"not acknowledged: {self._uplink.status}")
        while self._acked < self._uplink.status.acked_seq:
            time.sleep(_LOOK_S)

    def acknowledged(self) -> dict[str, Any]:
        """When each step of this repetition was known to be on the learner's disk."""
        acked_s, self._acked_s = self._acked_s, []
        return {"acked_s": acked_s}

    def _watch(self) -> None:
        while True:
            new = self._uplink.status.acked_seq - self._acked
            self._acked_s += new * [time.monotonic()]
            self._acked += new
            time.sleep(_LOOK_S)


def learner(variant: str, folder: str) -> tuple[Receiver, str]:
    """An inbox, and what training does with it."""
    keys = _keys(variant, folder, "learner")
    inbox = Inbox("tcp://127.0.0.1:*", Path(folder) / "steps.sqlite", _SPEC, run="wire", **keys)
    inbox.start()

    def receive() -> int:
        rows = inbox.drain(256)
        if not rows:
            time.sleep(_LOOK_S)
        return len(rows)

    return receive, inbox.address


def _keys(variant: str, folder: str, role: str) -> dict[str, Any]:
    """The role's keys, where the variant has any; the learner, which is started first, makes them for both."""
    if variant == "null":
        return {}
    from wire.allowed import ALLOWED, AllowList, learner_keys
    from wire.keys import LEARNER, actor_keys, make_pair

    keys = Path(folder) / "keys"
    if role == "actor":
        return {"keys": actor_keys(keys)}
    make_pair(keys, LEARNER)
    AllowList(keys / ALLOWED).add("robot-1", make_pair(keys, "robot-1").public)
    return {"keys": learner_keys(keys)}


if __name__ == "__main__":
    serve(Actor, learner, Actor.acknowledged)
