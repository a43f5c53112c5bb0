"""`summary.json`: what a run was and what came of it, for people and scripts."""

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

from learner.progress import Progress
from wire.files import write_atomically
from wire.specs import EnvSpec


def write_summary(path: Path, facts: dict[str, Any]) -> None:
    """Write the facts as indented JSON; a summary that is there keeps the facts that are not given again."""
    kept = json.loads(path.read_text()) if path.exists() else {"human": None}
    write_atomically(path, (json.dumps(kept | facts, indent=2) + "\n").encode())


def summarise(progress: Progress, spec: EnvSpec, *, agent: str, seed: int) -> dict[str, Any]:
    """The facts of a run that its steps tell; gradient steps, time and link are the trainer's to add.

    What only the front door knows is null: who helped, how the final policy does alone, what the actors produced.
    """
    return {
        "task": spec.task,
        "env": spec.env,
        "agent": agent,
        "seed": seed,
        "env_steps": progress.env_steps,
        "human_steps": progress.human_steps,
        "human_minutes": round(progress.human_minutes(spec.rate_hz), 3),
        "held_steps": progress.held_steps,
        "episodes": len(progress.episodes),
        "steps_to_80": progress.steps_to(0.80),
        "steps_to_95": progress.steps_to(0.95),
        "human_steps_to_95": progress.human_steps_to(0.95),
        "success": None,
        "mean_steps": None,
        "success_in_training": progress.success_rate,
        "intervention_rate_at_end": progress.intervention_rate,
        "gripper_toggles_per_episode": progress.toggles,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What computed this."""
    names = ("handrail", "jax", "jaxlib", "numpy", "mujoco", "gymnasium")
    found = {name: _version(name) for name in names}
    return {"python": platform.python_version()} | {name: text for name, text in found.items() if text}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
