"""`python -m learner <config.json>`: the learner process."""

import contextlib
import json
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learner.config import LearnerConfig, learner_config
from learner.learned_rewards import classified, require_classified
from wire.allowed import learner_keys
from wire.errors import UserError, run_main
from wire.parent import end_with_parent
from wire.specs import EnvSpec, SpecMismatch

log = logging.getLogger(__name__)

_NICENESS = 5
_DESCRIPTORS = 65536
_SPEC_S = 0.2
_FAREWELL_S = 3.0
"""For the actors to hand over what they have; less than the front door grants us after a Ctrl-C."""


def main() -> int:
    """Set up the run, learn, and leave everything on disk."""
    try:
        config = learner_config(json.loads(Path(sys.argv[1]).read_text()))
    except (OSError, ValueError) as error:
        raise UserError(f"{sys.argv[1]} holds no configuration of a learner: {error}") from error
    # Where both share a machine the control loop goes first: it has deadlines, the learner has a backlog.
    os.nice(_NICENESS)
    allow_descriptors()
    return learn(config)


def learn(config: LearnerConfig) -> int:
    """Run the learner that a configuration describes, until it is done or interrupted."""
    if config.mode == "offline":
        return learn_offline(config)
    # First whatever takes the actors' steps in, which needs no JAX: that takes seconds to import.
    from learner.inbox import Inbox
    from learner.run import open_run
    from wire.store import StepStore

    run = open_run(config)
    _log_to(run.path / "learner.log")
    with contextlib.ExitStack() as stack:
        demos = None if config.demos is None else stack.enter_context(StepStore.read(Path(config.demos)))
        inbox = Inbox(
            config.bind,
            run.archive,
            None if demos is None else _judged_as(config, demos),
            run=run.path.name,
            info=facts(config),
            keys=None if config.keys is None else learner_keys(Path(config.keys)),
            insecure=config.insecure,
            fits=fitting(config),
        )
        stack.callback(inbox.close, 0.0)
        inbox.start()
        _prepare_jax()
        from learner.console import LearnerConsole
        from learner.train import Trainer

        console = stack.enter_context(LearnerConsole())
        spec = _wait_for_spec(inbox, console)
        if inbox.repaired:
            console.say(f"warning: {inbox.repaired}")
        trainer = Trainer(config, run, spec, inbox, console)
        with StepStore.read(run.archive) as archived:
            trainer.recall(demos, archived if config.resume else None)
        ending = trainer.train(_interruption())
        # First what takes no one else: whoever waits for us may not wait long.
        trainer.save()
        inbox.finish(ending)
        inbox.close(_FAREWELL_S)
        trainer.close()
        console.say(f"Stopped: {ending}.")
    return 0


def learn_offline(config: LearnerConfig) -> int:
    """Learn from past runs alone, until the gradient steps are taken or somebody interrupts."""
    from learner.run import open_run
    from wire.store import StepStore

    run = open_run(config)
    _log_to(run.path / "learner.log")
    _prepare_jax()
    from learner.console import LearnerConsole
    from learner.offline import OfflineTrainer, offline_spec

    spec = offline_spec(config)
    # An archive without steps: it says what the policy was trained for.
    StepStore.open(run.archive, spec, facts(config)).close()
    with LearnerConsole() as console:
        trainer = OfflineTrainer(config, run, spec, console)
        ending = trainer.train(_interruption())
        trainer.save()
        trainer.close()
        console.say(f"Stopped: {ending}.")
    return 0


def facts(config: LearnerConfig) -> dict[str, str]:
    """What a run's archive says of it."""
    from learner.archive.facts import CALIBRATION

    found = {"agent": config.agent.name, "seed": str(config.seed)}
    return found | ({CALIBRATION: config.camera_calibration} if config.camera_calibration else {})


def _judged_as(config: LearnerConfig, demos: Any) -> EnvSpec:
    """The spec of steps that go with these demonstrations, whose own reward counts only where both are the same."""
    spec: EnvSpec = demos.spec
    if config.reward != "classifier":
        return spec
    require_classified(spec, demos.path)
    return classified(spec)


def fitting(config: LearnerConfig) -> Callable[[EnvSpec], None]:
    """What turns an actor of another environment, or another reward, away, by raising SpecMismatch."""

    def require(spec: EnvSpec) -> None:
        if config.env is not None:
            config.env.require_fitting(spec, whose="the actor")
        if config.reward == "written" and spec.reward != config.reward_version:
            raise SpecMismatch(
                f"the actor is rewarded by {spec.reward}, this run by {config.reward_version}; set the same reward= "
                "for both"
            )

    return require


def allow_descriptors() -> None:
    """Take as many descriptors as we may: strangers at the port cost one each until their handshake has failed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _interruption() -> Callable[[], bool]:
    """From now on Ctrl-C only leaves a note: an exception in mid-update would lose the state that the update holds."""
    came = threading.Event()

    def note(number: int, frame: Any) -> None:
        if came.is_set():
            signal.default_int_handler(number, frame)
        came.set()

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    return came.is_set


def _wait_for_spec(inbox: Any, console: Any) -> Any:
    """Learn what the steps are like from the archive, the demonstrations or the first actor."""
    if inbox.spec is None:
        console.say(f"listening on {inbox.address}; waiting for an actor")
    while (spec := inbox.wait_for_spec(_SPEC_S)) is None:
        inbox.drain(1)  # Raises where the inbox has died.
    return spec


def _prepare_jax() -> None:
    """Keep compiled programs between runs, freed memory for the next batch, and the GPU's for whoever needs it."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "handrail" / "jax"
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

    from learner.columns import keep_freed_memory

    keep_freed_memory()


def _log_to(path: Path) -> None:
    logging.basicConfig(
        filename=path,
        format="%(asctime)s %(levelname)s %(message)s (%(name)s:%(lineno)d)",
        level=logging.INFO,
        force=True,
    )
    # Orbax and JAX tell their life's story at INFO.
    for noisy in ("absl", "jax", "orbax"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run_main(main))
