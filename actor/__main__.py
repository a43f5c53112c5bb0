"""`python -m actor act|eval|record|show|teleop <config.json>`: what the verbs of the front door start."""

import logging
import os
import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from actor.config import ActorConfig, DemosConfig, EvalConfig, ShowConfig, TeleopConfig
from actor.priority import raise_process
from wire.errors import UserError, run_main
from wire.parent import end_with_parent

Config = TypeVar("Config")


def main() -> int:
    """Read the configuration and do what was asked for."""
    verb, path = sys.argv[1], Path(sys.argv[2])
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s (%(name)s:%(lineno)d)", level=logging.INFO)
    logging.getLogger("OpenGL").setLevel(logging.WARNING)
    if verb == "act":
        config = _read(path, ActorConfig)
        if config.in_real_time:
            raise_process()
        prepare_jax()
        from actor.act import act

        return act(config)
    if verb == "eval":
        judged = _read(path, EvalConfig)
        if judged.env.in_real_time:
            raise_process()
        prepare_jax()
        from actor.evaluate import evaluate

        return evaluate(judged)
    if verb == "record":
        shown = _read(path, DemosConfig)
        if shown.env.in_real_time:
            raise_process()
        from actor.record import record

        return record(shown)
    if verb == "teleop":
        from actor.teleop import teleop

        return teleop(_read(path, TeleopConfig))
    if verb == "show":
        from actor.show import show

        return show(_read(path, ShowConfig))
    raise UserError(f"python -m actor takes act, eval, record, show or teleop, got {verb}")


def prepare_jax() -> None:
    """Let the loop's own thread compute the policy, on the CPU; before anything else of JAX.

    The policies are small. A GPU, where there is one, is the learner's; and another thread would wait for a core that
    the learner has, while the loop waits for that thread.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)


def _read(path: Path, kind: type[Config]) -> Config:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{path} holds no configuration for this: {error}") from error


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run_main(main))
