"""A page on this machine on which a person marks frames or compares them: over HTTP, on loopback, behind a token."""

import getpass
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from rewards.config import LabelConfig
from rewards.models import load_model
from rewards.score import ModelError
from rewards.sheet import Cell, Sheet
from wire.errors import UserError

_BODY_BYTES = 1 << 20


class Marked(Protocol):
    """Pictures, and what a person says of them."""

    page: Path
    """The HTML that shows them."""
    archive: Path
    """What they are of, for people."""

    @property
    def cells(self) -> Sequence[Cell]:
        """The pictures, in the order in which they are shown."""
        ...

    def marks(self) -> Mapping[int, Any]:
        """What has been said so far, by index of the cell."""
        ...

    def mark(self, marks: Mapping[int, Any]) -> int:
        """Keep what a person says, and return how much that is; raises ModelError where it makes no sense."""
        ...

    def summary(self) -> str:
        """What has been said so far, in one line for people."""
        ...


class LabelServer(ThreadingHTTPServer):
    """Serves one sheet to whoever has its address, which holds the token."""

    daemon_threads = True

    def __init__(self, sheet: Marked, port: int) -> None:
        """Listen on loopback; raises UserError where the port is taken."""
        self.sheet = sheet
        self.token = secrets.token_urlsafe(16)
        self.writing = threading.Lock()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise UserError(f"port {port} cannot be used ({error.strerror}); set port= to another, or 0") from error

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"http://127.0.0.1:{self.server_address[1]}/?token={self.token}"


def serve_page(config: LabelConfig, say: Callable[[str], None], stopped: threading.Event) -> int:
    """Show the sheet until `stopped` is set."""
    model = None if config.model is None else load_model(Path(config.model))
    sheet = Sheet(config.run, frames=config.frames, model=model, who=config.who or getpass.getuser())
    show_page(sheet, config.port, say, stopped)
    return 0


def show_page(sheet: Marked, port: int, say: Callable[[str], None], stopped: threading.Event) -> None:
    """Serve a sheet until `stopped` is set; raises UserError where the port is taken."""
    server = LabelServer(sheet, port)
    say(
        f"{len(sheet.cells)} pictures of {sheet.archive}: open {server.url}\n"
        "Ctrl-C when done; each mark is kept at once"
    )
    thread = threading.Thread(target=server.serve_forever, name="page", daemon=True)
    thread.start()
    stopped.wait()
    server.shutdown()
    server.server_close()
    say(sheet.summary())


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """The page, its list of frames, or a picture."""
        path = self._allowed()
        if path == "/":
            self._send(self.server.sheet.page.read_bytes(), "text/html; charset=utf-8")
        elif path == "/frames":
            cells = [cell.caption for cell in self.server.sheet.cells]
            marks = self.server.sheet.marks()
            self._send(json.dumps({"captions": cells, "marks": marks}).encode(), "application/json")
        elif path is not None and path.startswith("/frame/") and path[7:].isdigit():
            index = int(path[7:])
            cells = self.server.sheet.cells
            if index < len(cells):
                self._send(cells[index].picture, "image/png")
            else:
                self.send_error(404)
        elif path is not None:
            self.send_error(404)

    def do_POST(self) -> None:
        """Marks: {"<index>": what is said of it, ...}."""
        if self._allowed() != "/marks":
            return
        try:
            length = int(self.headers.get("Content-Length", "0"))
            if not 0 < length <= _BODY_BYTES:
                raise ValueError(f"a body of {length} bytes")
            told: Any = json.loads(self.rfile.read(length))
            marks = {int(index): value for index, value in told.items()}
            with self.server.writing:
                kept = self.server.sheet.mark(marks)
        except (ValueError, AttributeError, ModelError) as error:
            self.send_error(400, str(error)[:200])
            return
        self._send(json.dumps({"kept": kept}).encode(), "application/json")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the address, with its token, would end up in the log."""

    def _allowed(self) -> str | None:
        """The path that was asked for, if the token was right and a browser of this machine asks; else refuse."""
        url = urlsplit(self.path)
        token = parse_qs(url.query).get("token", [""])[0]
        host = self.headers.get("Host", "").rpartition(":")[0]
        # A name that somebody has pointed at this machine is not this machine: pages elsewhere may not ask through it.
        if host in ("127.0.0.1", "localhost") and hmac.compare_digest(token.encode(), self.server.token.encode()):
            return url.path
        self.send_error(403, "open the address that the command has printed")
        return None

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)
