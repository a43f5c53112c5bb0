"""The keys of this terminal for a room that a person works with: a room is in the background, and may not read them."""

import contextlib
import os
import select
import termios
import threading
import tty
from collections.abc import Iterator


@contextlib.contextmanager
def forwarded(to: int, source: int = 0) -> Iterator[None]:
    """Forward keys from descriptor `source` to `to` as they are pressed, until the block ends, and close `to`.

    A terminal no longer waits for Enter nor shows the keys, and is left as it was; Ctrl-C stays what it is.
    """
    terminal = os.isatty(source)
    if terminal and os.tcgetpgrp(source) != os.getpgrp():
        # In the background there are no keys for us, and asking for them would stop this process.
        os.close(to)
        yield
        return
    before = termios.tcgetattr(source) if terminal else None
    stop, ours = os.pipe()
    thread = threading.Thread(target=_forward, args=(source, to, stop), name="keys", daemon=True)
    try:
        if before is not None:
            tty.setcbreak(source)
        thread.start()
        yield
    finally:
        os.close(ours)
        thread.join()
        os.close(stop)
        if before is not None:
            termios.tcsetattr(source, termios.TCSADRAIN, before)


def _forward(source: int, to: int, stop: int) -> None:
    with contextlib.suppress(OSError), open(to, "wb", buffering=0, closefd=True) as pipe:
        while stop not in select.select([source, stop], [], [])[0]:
            keys = os.read(source, 1024)
            if not keys:
                return
            pipe.write(keys)
