"""What the machine itself can do with the same bytes.

Variants: `null` and `curve` are a DEALER and a ROUTER that pass the observations on as bytes, without and with
encryption; `disk` is a plain file, written on and synced every ten steps, which is what durability costs at the least.
"""

import os
from pathlib import Path

import numpy as np
import zmq
from traffic import STEP_BYTES, Observation, Receiver, serve

_GROUP = 10
_CREDIT = 32


def _bytes(observation: Observation) -> bytes:
    return b"".join(value.tobytes() for value in observation.values())


class Disk:
    """A file."""

    def __init__(self, folder: str) -> None:
        self._file = os.open(Path(folder) / "bytes", os.O_WRONLY | os.O_CREAT)
        self._count = 0

    def record(self, seen: Observation, action: np.ndarray, then: Observation, t: int) -> None:
        """Write, and every tenth time sync."""
        os.write(self._file, _bytes(seen))
        self._count += 1
        if self._count % _GROUP == 0:
            self.finish()

    def finish(self) -> None:
        """Sync."""
        os.fdatasync(self._file)


class Peer:
    """A DEALER that has at most so many messages unanswered."""

    def __init__(self, address: str, variant: str) -> None:
        self._socket = zmq.Context().socket(zmq.DEALER)
        if variant == "curve":
            address, _, server = address.partition(" ")
            self._socket.curve_publickey, self._socket.curve_secretkey = zmq.curve_keypair()
            self._socket.curve_serverkey = server.encode()
        self._socket.connect(address)
        self._unanswered = 0

    def record(self, seen: Observation, action: np.ndarray, then: Observation, t: int) -> None:
        """Send, once there is room."""
        self._answered(_CREDIT - 1)
        self._socket.send(_bytes(seen))
        self._unanswered += 1

    def finish(self) -> None:
        """Wait for all answers."""
        self._answered(0)

    def _answered(self, most: int) -> None:
        while self._unanswered > most:
            self._unanswered -= int(self._socket.recv())


def actor(address: str, variant: str, folder: str) -> Disk | Peer:
    """The one that the variant asks for."""
    return Disk(folder) if variant == "disk" else Peer(address, variant)


def learner(variant: str, folder: str) -> tuple[Receiver, str]:
    """A ROUTER that says how many came; the disk has none."""
    if variant == "disk":
        return lambda: 1, ""
    socket, keys = zmq.Context().socket(zmq.ROUTER), ""
    if variant == "curve":
        public, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_server = True
        keys = f" {public.decode()}"
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def receive() -> int:
        peer, data = socket.recv_multipart()
        if len(data) != STEP_BYTES:
            raise SystemExit(f"a message of {len(data)} bytes came, wanted {STEP_BYTES}")
        socket.send_multipart((peer, b"1"))
        return 1

    return receive, f"tcp://127.0.0.1:{port}{keys}"


if __name__ == "__main__":
    serve(actor, learner)
