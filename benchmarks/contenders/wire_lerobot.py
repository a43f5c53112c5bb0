"""What LeRobot's HIL-SERL sends steps with, done as it does it (github.com/huggingface/lerobot, 7427f31).

Written anew after transport/utils.py, rl/actor.py and rl/learner_service.py: transitions gather in a list in memory; at
the end of the episode it is saved by torch.save, put into a multiprocessing queue, and streamed by a thread over gRPC
in chunks of 2 MB; the learner's service joins them, puts them into another such queue, and the trainer loads the list.
Images are float32. Its messages are protobuf with a state and bytes; here the state is a byte before the bytes.
Variant `pickle` is the kindest reading: uint8 images, pickle instead of torch. As on a machine without an accelerator,
two transitions share the observation between them, and both ways of saving write it once.
"""

import io
import multiprocessing
import pickle  # noqa: TID251  # It is what is measured, between two processes of this benchmark.
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
from traffic import EPISODE, Observation, Receiver, serve

_CHUNK = 2 << 20
_OPTIONS = [("grpc.max_receive_message_length", 4 << 20), ("grpc.max_send_message_length", 4 << 20)]
_SERVICE, _METHOD = "transport.LearnerService", "SendTransitions"
_BEGIN, _MIDDLE, _END = b"\1", b"\2", b"\3"


def _save(variant: str, transitions: list[dict[str, Any]]) -> bytes:
    if variant == "pickle":
        return pickle.dumps(transitions)
    import torch

    file = io.BytesIO()
    torch.save(transitions, file)
    return file.getvalue()


def _load(variant: str, data: bytes) -> list[dict[str, Any]]:
    if variant == "pickle":
        return pickle.loads(data)  # noqa: S301
    import torch

    return torch.load(io.BytesIO(data), weights_only=True)


def _processed(variant: str, observation: Observation) -> Any:
    """Its environment processor's work: batched float images, channels first."""
    if variant == "pickle":
        return observation
    import torch

    tensors = {name: torch.from_numpy(value).unsqueeze(0) for name, value in observation.items()}
    return {
        name: value if value.ndim == 2 else value.permute(0, 3, 1, 2).contiguous().float() / 255
        for name, value in tensors.items()
    }


class Actor:
    """A list of transitions, a queue, and the thread that streams it."""

    def __init__(self, address: str, variant: str, folder: str) -> None:
        self._variant = variant
        self._transitions: list[dict[str, Any]] = []
        self._seen: Observation = {}
        self._state: Any = None
        _load(variant, _save(variant, []))
        self._queue: Any = multiprocessing.Queue()
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        stream = self._channel.stream_unary(f"/{_SERVICE}/{_METHOD}")
        threading.Thread(target=lambda: stream(self._chunks()), daemon=True).start()

    def record(self, seen: Observation, action: np.ndarray, then: Observation, t: int) -> None:
        """Add the transition to the list; at the end of the episode save the list and queue it."""
        last = t == EPISODE - 1
        state = self._state if seen is self._seen else _processed(self._variant, seen)
        self._seen, self._state = then, _processed(self._variant, then)
        transition = {"state": state, "action": action.tolist(), "reward": 0.0, "next_state": self._state}
        self._transitions.append(transition | {"done": False, "truncated": last, "complementary_info": None})
        if last:
            self.finish()

    def finish(self) -> None:
        """Queue what is left."""
        if self._transitions:
            self._queue.put(_save(self._variant, self._transitions))
        self._transitions = []

    def _chunks(self) -> Iterator[bytes]:
        while True:
            data = self._queue.get()
            for start in range(0, len(data), _CHUNK):
                end = start + _CHUNK >= len(data)
                yield (_END if end else _MIDDLE if start else _BEGIN) + data[start : start + _CHUNK]


def learner(variant: str, folder: str) -> tuple[Receiver, str]:
    """A gRPC server whose service fills a queue, and what training does with that."""
    arrived: Any = multiprocessing.Queue()
    _load(variant, _save(variant, []))

    def send_transitions(chunks: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
        file = io.BytesIO()
        for chunk in chunks:
            if chunk[:1] == _BEGIN:
                file.seek(0)
                file.truncate(0)
            file.write(chunk[1:])
            if chunk[:1] == _END:
                arrived.put(file.getvalue())
                file.seek(0)
                file.truncate(0)
        return b""

    server = grpc.server(ThreadPoolExecutor(3), options=_OPTIONS)
    handler = {_METHOD: grpc.stream_unary_rpc_method_handler(send_transitions)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handler),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    store: list[dict[str, Any]] = []

    def receive(alive: grpc.Server = server) -> int:
        new = _load(variant, arrived.get())
        store[:] = new  # Theirs copies it into its replay buffer, which is not the wire's matter.
        return len(new)

    return receive, f"127.0.0.1:{port}"


if __name__ == "__main__":
    serve(Actor, learner)
