"""`python -m actor <config.json> [act|eval|record]`: what `handrail actor`, `eval` and `demos record` start."""

import logging
import os
import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from actor.config import ActorConfig, DemosConfig, EvalConfig
from wire.errors import UserError, run_main
from wire.parent import end_with_parent

Config = TypeVar("Config")


def main() -> int:
    """Read the configuration and do what was asked for."""
    verb, path = sys.argv[1], Path(sys.argv[2])
    # The policies are small: one thread acts fast enough, and a GPU, where there is one, is the learner's.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s (%(name)s:%(lineno)d)", level=logging.INFO)
    logging.getLogger("OpenGL").setLevel(logging.WARNING)
    if verb == "act":
        from actor.act import act

        return act(_read(path, ActorConfig))
    if verb == "eval":
        from actor.evaluate import evaluate

        return evaluate(_read(path, EvalConfig))
    if verb == "record":
        from actor.record import record

        return record(_read(path, DemosConfig))
    raise UserError(f"python -m actor takes act, eval or record, got {verb}")


def _read(path: Path, kind: type[Config]) -> Config:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{path} holds no configuration for this: {error}") from error


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run_main(main))
