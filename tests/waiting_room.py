"""A room that does nothing but end as it should: `python -m waiting_room <file>` leaves a word there on its way out."""

import os
import sys
import threading
from pathlib import Path

from wire.errors import run_main
from wire.parent import end_with_parent


def main() -> None:
    path = Path(sys.argv[1])
    try:
        path.write_text(f"{os.getpid()}")
        threading.Event().wait()
    finally:
        path.write_text("left orderly")


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run_main(main))
