"""`python -m learner.archive <config.json>`: carries out one sub-verb of `handrail archive`."""

import importlib
import json
import logging
import os
import sys
from pathlib import Path

from learner.archive.config import VERBS
from wire.errors import UserError, run_main
from wire.parent import end_with_parent


def main() -> int:
    """Read what is asked for, and do it."""
    try:
        values = json.loads(Path(sys.argv[1]).read_text())
        verb = values.pop("verb")
        config = VERBS[verb](**values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{sys.argv[1]} holds no configuration of the archive: {error}") from error
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    # Each sub-verb alone imports what it needs: `list` must not wait for a video codec.
    act = importlib.import_module("learner.archive.verbs").RUN[verb]
    try:
        code = act(config)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` has. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run_main(main))
