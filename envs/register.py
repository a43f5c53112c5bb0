"""The simulated tasks as Gymnasium ids, for people who bring their own learner."""

from typing import Any

import gymnasium

from envs.config import EnvConfig


def register() -> None:
    """Register handrail/PickCube-v0, handrail/Reach-v0 and handrail/PegInsert-v0; Gymnasium calls this as a plugin."""
    for name, task in (("PickCube", "pick_cube"), ("Reach", "reach"), ("PegInsert", "peg_insert")):
        gymnasium.register(id=f"handrail/{name}-v0", entry_point="envs.register:guarded_task", kwargs={"task": task})


def guarded_task(*, render_mode: str | None = None, **fields: Any) -> gymnasium.Env[Any, Any]:
    """A simulated task behind the guard; `fields` are those of EnvConfig: task, obs, scene, image_size and so on."""
    from envs.make import make_env
    from envs.workcell import GuardedEnv

    if render_mode not in (None, "rgb_array"):
        raise ValueError(f"render_mode must be rgb_array or None, got {render_mode}")
    return GuardedEnv(make_env(EnvConfig(**fields)))


# Gymnasium reads the render modes of an entry point here, before it calls it.
guarded_task.metadata = {"render_modes": ["rgb_array"]}  # pyright: ignore[reportFunctionMemberAccess]
