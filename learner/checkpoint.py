"""The learner's state on disk, through Orbax: the last two kept, each sealed, so that a torn one is never believed."""

import contextlib
import dataclasses
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from learner.limiter import RateLimiter
from learner.run import CHECKPOINTS
from learner.seal import is_sealed, problem_of, seal
from wire import failpoints
from wire.database import StoreError
from wire.errors import UserError

log = logging.getLogger(__name__)

Restored = tuple[Any, RateLimiter, int]


class Checkpointer:
    """Saves and restores agent state and counters of one run."""

    def __init__(self, run: Path, say: Callable[[str], None] = lambda text: None) -> None:
        """Open the run's checkpoints; `say` is told what a person must know."""
        self._folder = (run / CHECKPOINTS).absolute()
        self._torn_folder = (run / "checkpoints.torn").absolute()
        self._say = say
        self._problem = ""
        self._sealer: threading.Thread | None = None
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(
            self._folder, options=ocp.CheckpointManagerOptions(max_to_keep=2, create=True, cleanup_tmp_directories=True)
        )

    def save(self, state: Any, limiter: RateLimiter, *, fingerprint: str, version: int) -> None:
        """Begin to write a checkpoint named by the update blocks done; an existing one of that name stays.

        Raises:
            StoreError: The disk did not take it, or the one before it; those that were whole still are.
        """
        self._finish()
        if limiter.settled in self._manager.all_steps():
            return
        counters = dataclasses.asdict(limiter) | {"fingerprint": fingerprint, "version": version}
        counters["shapes"] = _shapes(state)
        step = limiter.settled
        try:
            self._manager.save(
                step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), counters=ocp.args.JsonSave(counters))
            )
        except Exception as error:
            self._problem = str(error)
            self._finish()
        failpoints.passing("mid_checkpoint")
        self._sealer = threading.Thread(target=self._seal, args=(step,), name="checkpoint")
        self._sealer.start()

    def restore(self, template: Any, *, fingerprint: str) -> Restored | None:
        """The newest whole checkpoint as (state, limiter, weights version), or None where the run has none.

        A torn one is moved aside and said to be torn. One that was never sealed (its writer was killed, or is older
        than seals are) is used only where there is no better one, and only if it can be read.

        Args:
            template: A state (a NamedTuple) of the shapes to restore into.
            fingerprint: Of the environment's spec.

        Raises:
            UserError: The checkpoint belongs to another environment or another network.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        sealed = [step for step in steps if is_sealed(self._folder / str(step))]
        for step in (*sealed, *(step for step in steps if step not in sealed)):
            problem, restored = self._try(step, template, fingerprint, sealed=step in sealed)
            if restored is not None:
                # Orbax saves only what is newer than the newest it knows: those that were passed over must go.
                for later in [later for later in self._manager.all_steps() if later > step]:
                    self._put_aside(later, "was not finished")
                return restored
            self._put_aside(step, f"is torn ({problem})")
        if steps:
            self._tell("no checkpoint of this run is whole: training begins again, from all steps in the archive")
        return None

    def close(self) -> None:
        """Wait until everything is on disk; raises StoreError where the disk did not take it."""
        try:
            self._finish()
        finally:
            self._manager.close()

    def _try(self, step: int, template: Any, fingerprint: str, *, sealed: bool) -> tuple[str | None, Restored | None]:
        """What is wrong with a checkpoint, or what it holds."""
        problem = problem_of(self._folder / str(step)) if sealed else None
        if problem is not None:
            return problem, None
        try:
            return None, self._read(step, template, fingerprint)
        except UserError:
            raise
        except Exception as error:
            if sealed:
                raise
            # Whatever Orbax stumbles over in files that nobody vouches for.
            return str(error).partition("\n")[0], None

    def _read(self, step: int, template: Any, fingerprint: str) -> Restored:
        counters = self._manager.restore(step, args=ocp.args.Composite(counters=ocp.args.JsonRestore()))["counters"]
        if counters["fingerprint"] != fingerprint:
            raise UserError(
                f"the checkpoint in {self._manager.directory} is of environment {counters['fingerprint']}, this run "
                f"is of {fingerprint}; resume with the task, observations and rate that the run began with"
            )
        saved, wanted = counters["shapes"], _shapes(template)
        differing = sorted(name for name in saved.keys() | wanted.keys() if saved.get(name) != wanted.get(name))
        if differing:
            name = differing[0]
            raise UserError(
                f"the checkpoint in {self._manager.directory} is of another network than agent.* describes: "
                f"{name} is {saved.get(name, 'absent')} there, {wanted.get(name, 'absent')} here; "
                "resume with the settings that the run began with (they are in its config.json)"
            )
        limiter = RateLimiter(counters["arrived"], counters["done"], counters["waived"])
        return self._state(step, template), limiter, int(counters["version"])

    def _state(self, step: int, template: Any) -> Any:
        """The state; parts of it that are empty need not be there, for an older version may not have known them."""
        with ocp.StandardCheckpointer() as reader:
            there = reader.metadata(self._folder / str(step) / "state").item_metadata.tree
        wanted = {name: part for name, part in template._asdict().items() if name in there or jax.tree.leaves(part)}
        restored = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(wanted)))
        return template._replace(**restored["state"])

    def _seal(self, step: int) -> None:
        """In a thread of its own: wait for Orbax, which writes in the background, then seal what it wrote."""
        try:
            self._manager.wait_until_finished()
            failpoints.passing("before_digest")
            seal(self._folder / str(step))
        except Exception as error:
            self._problem = str(error)

    def _finish(self) -> None:
        """Wait for the save before this one; raises StoreError where it failed."""
        if self._sealer is not None:
            self._sealer.join()
            self._sealer = None
        if self._problem:
            problem, self._problem = self._problem.partition("\n")[0], ""
            # Orbax counts the failed one among those to keep, and on a full disk its remains are in the way.
            with contextlib.suppress(Exception):
                # It raises the same again.
                self._manager.close()
            self._manager = self._open()
            raise StoreError(f"cannot write a checkpoint to {self._folder}: {problem}; make room on the disk")

    def _put_aside(self, step: int, problem: str) -> None:
        aside = self._torn_folder / str(step)
        shutil.rmtree(aside, ignore_errors=True)
        self._torn_folder.mkdir(exist_ok=True)
        (self._folder / str(step)).rename(aside)
        self._manager.reload()
        self._tell(f"checkpoint {step} {problem} and was moved to {aside}; the one before it is used")

    def _tell(self, text: str) -> None:
        log.error("%s", text)
        self._say(f"warning: {text}")


def read_newest(run: Path) -> dict[str, np.ndarray]:
    """Every array of a run's newest whole checkpoint, named by its path: {"policy/head/w": ...}.

    The run is somebody else's: nothing in it is moved or mended.

    Raises:
        UserError: It has none.
    """
    folder = (run / CHECKPOINTS).absolute()
    steps = sorted((int(each.name) for each in folder.glob("[0-9]*") if each.name.isdigit()), reverse=True)
    whole = [step for step in steps if is_sealed(folder / str(step)) and problem_of(folder / str(step)) is None]
    if not whole:
        raise UserError(f"{run} has no whole checkpoint to begin with; name another run, or let that one end by itself")
    with contextlib.closing(ocp.CheckpointManager(folder)) as manager:
        state = manager.restore(whole[0], args=ocp.args.Composite(state=ocp.args.StandardRestore()))["state"]
    leaves = jax.tree_util.tree_leaves_with_path(state)
    # Without a template everything comes back as nested dictionaries and lists.
    keys = [[str(getattr(entry, "key", getattr(entry, "idx", ""))) for entry in path] for path, _ in leaves]
    return {"/".join(key): np.asarray(leaf) for key, (_, leaf) in zip(keys, leaves, strict=True)}


def _shapes(state: Any) -> dict[str, list[int]]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): list(leaf.shape) for path, leaf in leaves}
