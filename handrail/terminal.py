"""The keys of this terminal for a room that a person works with: a room is in the background, and may not read them."""

import contextlib
import os
import select
import stat
import threading
from collections.abc import Iterator

from wire.terminal import keys_at_once


def has_keys(source: int = 0) -> bool:
    """Whether keys come in at a descriptor: a terminal whose foreground we are, or something that is piped in."""
    if os.isatty(source):
        # In the background there are no keys for us, and asking for them would stop this process.
        return os.tcgetpgrp(source) == os.getpgrp()
    mode = os.fstat(source).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@contextlib.contextmanager
def forwarded(to: int, source: int = 0) -> Iterator[None]:
    """Forward keys from descriptor `source` to `to` as they are pressed, until the block ends, and close `to`.

    A terminal no longer waits for Enter nor shows the keys, and is left as it was; Ctrl-C stays what it is. Keys that
    nobody takes are dropped once the pipe is full: what they were pressed for is long past, and we wait for nobody.
    """
    if not has_keys(source):
        os.close(to)
        yield
        return
    os.set_blocking(to, False)
    stop, ours = os.pipe()
    thread = threading.Thread(target=_forward, args=(source, to, stop), name="keys", daemon=True)
    with keys_at_once(source):
        try:
            thread.start()
            yield
        finally:
            # Before the terminal waits for Enter again, and the thread with it.
            os.close(ours)
            thread.join()
            os.close(stop)


def _forward(source: int, to: int, stop: int) -> None:
    with contextlib.suppress(OSError), open(to, "wb", buffering=0, closefd=True) as pipe:
        while stop not in select.select([source, stop], [], [])[0]:
            keys = os.read(source, 1024)
            if not keys:
                return
            pipe.write(keys)
