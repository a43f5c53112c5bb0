"""An HTTP server that speaks the chat protocol of OpenAI: a real model answers behind it, or it errs as it is told."""

import base64
import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

Reply = Callable[[dict[str, Any]], tuple[int, dict[str, Any] | bytes]]


class VlmServer(ThreadingHTTPServer):
    """Answers `POST /v1/chat/completions` with what `reply` makes of the request's body."""

    daemon_threads = True

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.released = threading.Event()
        """Set in the end: a reply that hangs waits for it."""
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextlib.contextmanager
def serving(reply: Reply) -> Iterator[VlmServer]:
    server = VlmServer(reply)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def completion(text: str | None, likely: dict[str, float] | None = None, **more: Any) -> tuple[int, dict[str, Any]]:
    """A chat completion as servers give it; `likely` are logarithms of probabilities of the first token."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    if likely is not None:
        top = [{"token": token, "logprob": log, "bytes": None} for token, log in likely.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    whole = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return 200, whole | more


def refusal(status: int, message: str) -> tuple[int, dict[str, Any]]:
    """An error as servers give it."""
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


def parts(request: dict[str, Any]) -> tuple[str, list[np.ndarray]]:
    """The words and the pictures of a request."""
    from PIL import Image

    content = request["messages"][-1]["content"]
    images = []
    for part in content:
        if part["type"] == "image_url":
            data = base64.b64decode(part["image_url"]["url"].removeprefix("data:image/png;base64,"))
            images.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    return content[-1]["text"], images


class _Handler(BaseHTTPRequestHandler):
    server: VlmServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        self.server.keys.append(self.headers.get("Authorization", ""))
        status, body = self.server.reply(request)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Retry-After-Ms", "1")
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""
