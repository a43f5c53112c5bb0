"""`python -m actor act|eval|judge|... <config.json>`: what the verbs of the front door start."""

import logging
import os
import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from actor.config import (
    ActorConfig,
    DemosConfig,
    EpisodesConfig,
    EvalConfig,
    JudgeConfig,
    PolicyServerConfig,
    ShowConfig,
    TeleopConfig,
)
from actor.priority import raise_process
from wire.errors import UserError, run_main
from wire.parent import end_with_parent

Config = TypeVar("Config")


def main() -> int:
    """Read the configuration and do what was asked for."""
    verb, path = sys.argv[1], Path(sys.argv[2])
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s (%(name)s:%(lineno)d)", level=logging.INFO)
    logging.getLogger("OpenGL").setLevel(logging.WARNING)
    do = _VERBS.get(verb)
    if do is None:
        raise UserError(f"python -m actor takes {', '.join(_VERBS)}, got {verb}")
    return do(path)


def _act(path: Path) -> int:
    config = _read(path, ActorConfig)
    _prepare(in_real_time=config.in_real_time)
    from actor.act import act

    return act(config)


def _eval(path: Path) -> int:
    config = _read(path, EvalConfig)
    _prepare(in_real_time=config.env.in_real_time)
    from actor.evaluate import evaluate

    return evaluate(config)


def _serve(path: Path) -> int:
    config = _read(path, PolicyServerConfig)
    _prepare(in_real_time=False)
    from actor.serve import serve

    return serve(config)


def _judge(path: Path) -> int:
    config = _read(path, JudgeConfig)
    _prepare(in_real_time=config.env.in_real_time)
    from actor.judge import judge

    return judge(config)


def _collect(path: Path) -> int:
    config = _read(path, EpisodesConfig)
    _prepare(in_real_time=config.env.in_real_time)
    from actor.collect import collect

    return collect(config)


def _record(path: Path) -> int:
    config = _read(path, DemosConfig)
    if config.env.in_real_time:
        raise_process()
    from actor.record import record

    return record(config)


def _teleop(path: Path) -> int:
    from actor.teleop import teleop

    return teleop(_read(path, TeleopConfig))


def _show(path: Path) -> int:
    from actor.show import show

    return show(_read(path, ShowConfig))


_VERBS = {
    "act": _act,
    "eval": _eval,
    "judge": _judge,
    "collect": _collect,
    "record": _record,
    "serve": _serve,
    "show": _show,
    "teleop": _teleop,
}


def _prepare(*, in_real_time: bool) -> None:
    if in_real_time:
        raise_process()
    prepare_jax()


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
