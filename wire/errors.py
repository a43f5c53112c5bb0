"""How a room ends when its user's input was wrong: one block that says what to do, never a traceback."""

import os
import signal
import sys
from collections.abc import Callable, Collection
from dataclasses import MISSING, fields
from typing import Any

_SHOWN = 200


def plain(value: object, limit: int = _SHOWN) -> str:
    """What came from outside, as people may be shown it: one line, nothing that a terminal obeys, cut where it is long.

    Messages quote what they complain about; without this a peer could fill the log or rewrite the screen.
    """
    text = str(value)
    if len(text) > limit:
        text = f"{text[: limit - 3]}..."
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


class UserError(Exception):
    """The user's input was wrong: the text says what, what was got, what was wanted and what to do."""


def require(holds: bool, what: str) -> None:
    """Raise ValueError, which says what a setting must be and what was got, unless it holds."""
    if not holds:
        raise ValueError(what)


def require_untouched(config: Any, keys: Collection[str], why: str) -> None:
    """Raise ValueError, which says why, where one of these keys of a settings class has not its default.

    Nothing would look at it, and whoever set it would believe that something had.
    """
    for each in fields(config):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        got = getattr(config, each.name)
        require(each.name not in keys or got == default, f"{each.name}={got} {why}; drop it")


def run_main(main: Callable[[], int | None]) -> int:
    """Run a program's main function and return its exit code: 0 done, 2 the user's input was wrong.

    Anything else propagates as a traceback (exit code 1): it is our fault, and the report needs it.
    `HANDRAIL_TRACEBACK=1` shows the traceback of a user's error too. A SIGTERM ends the program like Ctrl-C does.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _occupy_standard_streams()
    try:
        return main() or 0
    except UserError as error:
        if os.environ.get("HANDRAIL_TRACEBACK") == "1":
            raise
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _occupy_standard_streams() -> None:
    """Give the numbers of closed standard streams to /dev/null: a file, or a cable, must not be taken for the keys."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free.
            os.open(os.devnull, os.O_RDWR)
