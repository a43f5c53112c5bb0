"""Disks that fail at the Nth operation: for loops that try N = 1, 2, 3, ... until nothing fails any more."""

import contextlib
import errno
import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest


class Nth:
    """Lets operations pass until the Nth, which fails; those after it pass again."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.seen: list[str] = []

    def due(self, operation: str) -> bool:
        """Count one operation; whether it is the one to fail."""
        self.seen.append(operation)
        self.left -= 1
        return self.left == 0

    @property
    def passed(self) -> bool:
        """Whether the Nth operation was never reached."""
        return self.left > 0


@contextlib.contextmanager
def failing_sqlite(nth: Nth, text: str = "disk I/O error") -> Iterator[None]:
    """Connections opened within fail at their Nth statement, whichever it is."""

    class Connection(sqlite3.Connection):
        def _passing(self, sql: str) -> None:
            if nth.due(sql.split()[0]):
                raise sqlite3.OperationalError(text)

        def execute(self, *args: Any) -> sqlite3.Cursor:
            self._passing(args[0])
            return super().execute(*args)

        def executemany(self, *args: Any) -> sqlite3.Cursor:
            self._passing(args[0])
            return super().executemany(*args)

        def executescript(self, *args: Any) -> sqlite3.Cursor:
            self._passing(args[0])
            return super().executescript(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))
        yield


@contextlib.contextmanager
def failing_files(nth: Nth) -> Iterator[None]:
    """Opening, writing, syncing and renaming files fails at the Nth call; a failing write leaves half of its bytes."""

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*args: Any, **options: Any) -> Any:
            if nth.due(name):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*args, **options)

        return failing

    class File(io.FileIO):
        def write(self, data: Any) -> int:
            if nth.due("write"):
                super().write(bytes(data)[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "replace", "open"):
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        patch.setattr(Path, "open", wrapped("open", lambda path, mode: File(path, mode)))
        yield
