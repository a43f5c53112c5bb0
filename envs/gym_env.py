"""Any registered Gymnasium environment with array observations and continuous actions, spoken to like a workcell."""

import importlib
import logging
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.spaces import Box, Dict, Space

from envs.experts import Corrector, Expert
from envs.graphics import settle_backend
from envs.guard import GuardLimits, Vitals
from envs.ticker import Pause, sleep
from wire.errors import UserError
from wire.specs import ArraySpec, EnvSpec
from wire.types import Action, Observation

log = logging.getLogger(__name__)


class UnusableEnvError(UserError, ValueError):
    """A Gymnasium environment cannot be used; the text says what of it, and what is wanted."""


class GymEnv(gymnasium.Env[Observation, Action]):
    """A Gymnasium environment under our contract: named arrays, actions in [-1, 1], `info["success"]`.

    A Dict of Boxes keeps its names; a Box becomes `image` (uint8 of shape (height, width, 3)) or `state` (float32).
    Bounded actions are mapped affinely from [-1, 1]. An environment that a person shall drive says what they mean, as
    attributes: `action_names` (x, y, z, rx, ry, rz, gripper; of two arms left_x, ..., right_gripper), `action_frame`
    (base or tool), and in the second case a method `tool_rotation`.
    """

    stopper: None = None
    ticker: None = None
    """Nobody else can stop it, nor needs to: its time stands still between steps."""
    pause: Pause = staticmethod(sleep)

    def __init__(self, env_id: str, **kwargs: Any) -> None:
        """Make the environment `env_id`, also module:Id-v0; `kwargs` go to it.

        Raises:
            UnusableEnvError: Where the id is unknown or a space does not fit.
        """
        self._env = _make(env_id, kwargs)
        self._closed = False
        self.resets = 0
        """How often it was reset."""
        inner: Any = self._env.unwrapped
        self.render_mode, self.metadata = self._env.render_mode, self._env.metadata
        named: dict[str, Any] = _named_spaces(env_id, self._env.observation_space)
        self._single = next(iter(named))
        self._scale, self._offset = _action_map(env_id, self._env.action_space)
        dims = self._scale.size
        names, frame = _action_meaning(env_id, inner, dims)
        rate_hz = float(self.metadata.get("render_fps") or 10.0)
        # Held, a gripper stays as it is.
        hold = tuple(None if name.endswith("gripper") else 0.0 for name in names)
        self.limits = GuardLimits(low=(-1.0,) * dims, high=(1.0,) * dims, hold=hold, rate_hz=rate_hz)
        bounds = getattr(inner, "return_bounds", None)
        limit = self._env.spec.max_episode_steps if self._env.spec else None
        self.wire_spec = EnvSpec(
            env="gym",
            task=env_id,
            robot=type(inner).__name__,
            observation={name: _array_spec(space) for name, space in named.items()},
            action=ArraySpec(shape=(dims,), dtype="float32", low=-1.0, high=1.0),
            action_names=names,
            action_frame=frame,
            rate_hz=rate_hz,
            max_episode_steps=limit or getattr(inner, "max_episode_steps", 0),
            reward="env-1",
            return_bounds=None if bounds is None else (float(bounds[0]), float(bounds[1])),
        )
        self.observation_space: Any = Dict(named)
        self.action_space = Box(-1.0, 1.0, (dims,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; the wrapped environment answers for its own seeding."""
        self.resets += 1
        observation, info = self._env.reset(seed=seed, options=options)
        return self._named(observation), {**info, "success": False}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry out an action; `truncated` is the wrapped environment's own time limit."""
        space: Any = self._env.action_space
        native = (self._offset + self._scale * np.asarray(action, np.float64)).reshape(space.shape)
        # Rounding may carry a bound across itself.
        bounded = np.clip(native.astype(space.dtype), space.low, space.high)
        observation, reward, terminated, truncated, info = self._env.step(bounded)
        reached = info.get("is_success", info.get("success", terminated and float(reward) > 0.0))
        # Success and the time limit may fall on one step; then value does not follow.
        cut = bool(truncated) and not terminated
        return self._named(observation), float(reward), bool(terminated), cut, {**info, "success": bool(reached)}

    def expert(self, rng: np.random.Generator, noise: float = 0.0) -> Expert:
        """The wrapped environment's own expert.

        Raises:
            UnusableEnvError: Where it has none.
        """
        return self._own("expert")(rng, noise)

    def corrector(self, rng: np.random.Generator) -> Corrector:
        """The wrapped environment's own corrector.

        Raises:
            UnusableEnvError: Where it has none.
        """
        return self._own("corrector")(rng)

    def estimator(self) -> Callable[[Action], float]:
        """The wrapped environment's own estimate of the steps to success after an action of ours, in [-1, 1].

        Raises:
            UnusableEnvError: Where it has none.
        """
        return self._own("steps_to_go")

    def tool_rotation(self) -> np.ndarray | None:
        """How the tool is turned, shape (3, 3), or of two arms (2, 3, 3); None where the environment does not say."""
        rotation = getattr(self._env.unwrapped, "tool_rotation", None)
        return None if rotation is None else rotation()

    def target_position(self) -> None:
        """None: there is no tool whose workspace could be bounded."""

    def hold(self) -> None:
        """Do nothing: between steps a simulated environment stands still."""

    def vitals(self) -> Vitals:
        """Nothing ages between steps, and nothing is felt."""
        return Vitals()

    def halted(self) -> str:
        """Nobody else can stop it."""
        return ""

    def render(self) -> Any:
        """What the environment shows people: uint8 of shape (height, width, 3), or None where it shows nothing."""
        if self.render_mode is None:
            return None
        try:
            return self._env.render()
        except Exception as error:
            # A missing package or GL library: no picture is worth ending an evaluation for.
            log.warning("no picture of %s: %s: %s", self.wire_spec.task, type(error).__name__, error)
            self.render_mode = None
            return None

    def close(self) -> None:
        """Close the wrapped environment; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._env.close()

    def _own(self, script: str) -> Any:
        found = getattr(self._env.unwrapped, script, None)
        if found is None:
            raise UnusableEnvError(
                f"{self.wire_spec.task} has no {script}; use human=none and demos=none or recorded ones, "
                f"or give the environment a method {script}"
            )
        return found

    def _named(self, observation: Any) -> Observation:
        named = observation if isinstance(observation, dict) else {self._single: observation}
        # Copies: some environments hand out the array they go on writing to.
        return {name: np.array(named[name], space.dtype) for name, space in self.observation_space.spaces.items()}


def _make(env_id: str, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    settle_backend()
    try:
        module, _, name = env_id.rpartition(":")
        if module:
            importlib.import_module(module)
        entry = gymnasium.spec(name).entry_point
        creator = load_env_creator(entry) if isinstance(entry, str) else entry
        pictures = "rgb_array" in getattr(creator, "metadata", {}).get("render_modes", ())
        # The checker would judge each environment anew and warn of what does not concern us.
        return gymnasium.make(
            name, disable_env_checker=True, **({"render_mode": "rgb_array"} if pictures else {}), **kwargs
        )
    except Exception as error:
        # A foreign constructor may raise anything; whatever it is, this environment cannot be used here.
        raise UnusableEnvError(f"cannot make {env_id}: {type(error).__name__}: {error}") from error


def _named_spaces(env_id: str, space: Space[Any]) -> dict[str, Any]:
    """Each observation array with its name and the dtype it travels in."""
    if isinstance(space, Dict):
        return {name: _box(env_id, f"observation {name}", part) for name, part in space.spaces.items()}
    box = _box(env_id, "observation", space)
    return {"image" if box.dtype == np.uint8 else "state": box}


def _box(env_id: str, what: str, space: Space[Any]) -> Box:
    if not isinstance(space, Box):
        raise UnusableEnvError(f"{what} of {env_id} is a {type(space).__name__}; wanted a Box, or a flat Dict of Boxes")
    if space.dtype == np.uint8:
        if len(space.shape) != 3 or space.shape[2] != 3:
            raise UnusableEnvError(f"{what} of {env_id} has shape {space.shape}; wanted images (height, width, 3)")
        return Box(0, 255, space.shape, np.uint8)
    if len(space.shape) != 1 or space.dtype.kind not in "fiu":
        raise UnusableEnvError(
            f"{what} of {env_id} has shape {space.shape} and dtype {space.dtype}; wanted a vector of numbers (n,) or "
            "uint8 images (height, width, 3); wrap it to say which it is"
        )
    return Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)


def _array_spec(space: Box) -> ArraySpec:
    low, high = float(space.low.min()), float(space.high.max())
    bounded = space.dtype != np.uint8 and np.isfinite([low, high]).all()
    return ArraySpec(
        shape=space.shape, dtype=str(space.dtype), low=low if bounded else None, high=high if bounded else None
    )


def _action_meaning(env_id: str, env: Any, dims: int) -> tuple[tuple[str, ...], str]:
    """The names of the action's dimensions and their frame, as the environment says, or a0, a1, ... and none."""
    names = tuple(getattr(env, "action_names", None) or (f"a{i}" for i in range(dims)))
    if len(names) != dims or len(set(names)) != dims or not all(isinstance(name, str) for name in names):
        raise UnusableEnvError(f"action_names of {env_id} are {names}; wanted {dims} different names, or none")
    return names, str(getattr(env, "action_frame", "none"))


def _action_map(env_id: str, space: Space[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset, each of shape (n,), from [-1, 1] to the environment's own actions."""
    if not isinstance(space, Box):
        raise UnusableEnvError(f"actions of {env_id} are {type(space).__name__}; wanted continuous ones: a bounded Box")
    low, high = space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel()
    if not np.isfinite([low, high]).all():
        raise UnusableEnvError(
            f"actions of {env_id} are unbounded ({space}); wrap it with gymnasium's RescaleAction or ClipAction"
        )
    return (high - low) / 2.0, (high + low) / 2.0
