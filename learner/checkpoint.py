"""The learner's state on disk, through Orbax: atomic, the last two kept, resumable."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from learner.limiter import RateLimiter
from wire.errors import UserError


class Checkpointer:
    """Saves and restores agent state and counters of one run."""

    def __init__(self, run: Path) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True)
        self._manager = ocp.CheckpointManager((run / "checkpoints").absolute(), options=options)

    def save(self, state: Any, limiter: RateLimiter, *, fingerprint: str, version: int) -> None:
        """Write a checkpoint named by the update blocks done; an existing one of that name stays."""
        if limiter.settled in self._manager.all_steps():
            return
        counters = dataclasses.asdict(limiter) | {"fingerprint": fingerprint, "version": version}
        counters["shapes"] = _shapes(state)
        self._manager.save(
            limiter.settled,
            args=ocp.args.Composite(state=ocp.args.StandardSave(state), counters=ocp.args.JsonSave(counters)),
        )

    def restore(self, template: Any, *, fingerprint: str) -> tuple[Any, RateLimiter, int] | None:
        """The newest checkpoint as (state, limiter, weights version), or None where the run has none.

        Args:
            template: A state of the shapes to restore into.
            fingerprint: Of the environment's spec.

        Raises:
            UserError: The checkpoint belongs to another environment or another network.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
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
        restored = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(template)))
        limiter = RateLimiter(counters["arrived"], counters["done"], counters["waived"])
        return restored["state"], limiter, int(counters["version"])

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def _shapes(state: Any) -> dict[str, list[int]]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): list(leaf.shape) for path, leaf in leaves}
