"""What SERL and HIL-SERL send steps with, done as agentlace does it (github.com/youliangtan/agentlace, 76984f9).

Written anew after trainer.py, zmq_wrapper/req_rep.py, internal/utils.py and data/data_store.py; HIL-SERL's
examples/train_rlpd.py (5d02aed) calls `update` at the end of each episode. Transitions wait in a queue in memory; an
update asks the server for the last id that it has, sends everything newer in one message, lz4 over pickle, and waits
for the answer, all in the control loop. The learner keeps them in memory. Pickle writes an object that it meets again
as a reference, so the observation that two transitions of a message share crosses once. Both versions format every
message for a log line that is off by default; variant `quiet` leaves that out.
"""

import logging
import pickle  # noqa: TID251  # It is what is measured, between two processes of this benchmark.
import queue
import threading
from collections import deque
from typing import Any

import lz4.frame
import numpy as np
import zmq
from traffic import EPISODE, Observation, Receiver, serve

_TIMEOUT_MS = 30_000
_CAPACITY = 2000


def _pack(message: Any) -> bytes:
    return lz4.frame.compress(pickle.dumps(message))


def _unpack(data: bytes) -> Any:
    return pickle.loads(lz4.frame.decompress(data))  # noqa: S301


class Actor:
    """A queue of transitions and a REQ socket."""

    def __init__(self, address: str, variant: str, folder: str) -> None:
        self._socket = zmq.Context().socket(zmq.REQ)
        # Theirs give up after 0.8 or 3 s and drop the socket; here nothing may be lost, so that all send as much.
        self._socket.rcvtimeo = _TIMEOUT_MS
        self._socket.connect(address)
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_CAPACITY)
        self._newest = -1

    def record(self, seen: Observation, action: np.ndarray, then: Observation, t: int) -> None:
        """Insert the transition; at the end of the episode send what the learner lacks."""
        last = t == EPISODE - 1
        transition = {"observations": seen, "actions": action, "next_observations": then}
        self._newest += 1
        self._waiting.append(transition | {"rewards": 0.0, "masks": 1.0 - last, "dones": last})
        if last:
            self._update()

    def finish(self) -> None:
        """Send what is left."""
        self._update()

    def _update(self) -> None:
        have = self._request({"type": "get_last_update_id", "payload": {"store_name": "actor_env"}})["payload"]
        if self._newest > have:
            data = list(self._waiting)[have - self._newest :]
            payload = {"data": data, "last_id": self._newest}
            self._request({"type": "datastore", "store_name": "actor_env", "payload": payload})

    def _request(self, message: dict[str, Any]) -> dict[str, Any]:
        self._socket.send(_pack(message))
        return _unpack(self._socket.recv())


def learner(variant: str, folder: str) -> tuple[Receiver, str]:
    """A thread with a REP socket that inserts what comes; the trainer sees how many there are."""
    socket = zmq.Context().socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    arrived: queue.SimpleQueue[int] = queue.SimpleQueue()
    store: deque[dict[str, Any]] = deque(maxlen=2 * EPISODE)  # Theirs keeps all; here the memory is not the matter.

    def run() -> None:
        last_id = -1
        while True:
            message = _unpack(socket.recv())
            if variant != "quiet":
                logging.debug(f"Received new request: {message}")
            answer: dict[str, Any] = {"success": True}
            if message["type"] == "datastore":
                store.extend(message["payload"]["data"])
                last_id = message["payload"]["last_id"]
                arrived.put(len(message["payload"]["data"]))
            else:
                answer["payload"] = last_id
            socket.send(_pack(answer))

    threading.Thread(target=run, daemon=True).start()
    return arrived.get, f"tcp://127.0.0.1:{port}"


if __name__ == "__main__":
    serve(Actor, learner)
