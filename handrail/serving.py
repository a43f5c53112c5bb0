"""The reward service as one of the rooms that a run starts: without it the others go on."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from handrail import settings
from handrail.local import Rooms, last_error, write_json
from rewards.config import ServeConfig

SERVICE = "rewards"
"""Name of the service's room."""
_BEGUN = (" answers at ", " rewards the steps of ")
"""What the service says as soon as it does."""
_INPUT_WAS_WRONG = 2
_RESTART_S = 1.0


def serving(started: Rooms, folder: Path, service: ServeConfig) -> Callable[[], None]:
    """Starts the reward service, now and whenever it is called."""
    path = write_json(folder / "rewards_config.json", settings.plain(service))
    return lambda: started.start(SERVICE, ["rewards", "serve", str(path)], log=folder / "rewards.log")


def begin_serving(started: Rooms, folder: Path, start: Callable[[], None]) -> int:
    """Start the reward service and wait until it is at work; its exit code, once it has said why, where it does not."""
    start()
    log = folder / "rewards.log"
    while (code := started.finish(SERVICE, timeout_s=0.1)) is None:
        said = log.read_text(errors="replace")
        if any(begun in said for begun in _BEGUN):
            return 0
    sys.stderr.write(f"error: {last_error(log)}\n")
    return code or 1


def wait(started: Rooms, start_service: Callable[[], None] | None) -> tuple[str, int]:
    """Wait until a room ends. A reward service that dies is started again: without it steps are labelled later."""
    while True:
        name, code = started.wait()
        if name != SERVICE or start_service is None or code == _INPUT_WAS_WRONG:
            return name, code
        sys.stderr.write("warning: the reward service ended; it is started again, steps get their labels later\n")
        time.sleep(_RESTART_S)
        start_service()
