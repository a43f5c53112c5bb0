"""One robot cell, simulated or real, and the Gymnasium environment over it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import gymnasium
import msgspec
import numpy as np

from envs.experts import Corrector, Expert
from envs.guard import Guard, GuardLimits, Vitals
from envs.judge import Judge, Rewarder, UnseenError, require_gate, require_seen
from envs.ticker import Pause, Ticker, sleep
from wire.errors import UserError
from wire.scoring import Gate
from wire.specs import ArraySpec, EnvSpec
from wire.types import Action, Observation


class NotReadyError(UserError, RuntimeError):
    """The cell cannot begin an episode now, but may later: a node is missing, or somebody else commands the robot."""


class Workcell(Protocol):
    """A robot with its senses: what MuJoCo and ROS 2 both implement.

    Actions arrive guarded. `command` states what the robot shall do during the coming control period. Then a simulator
    is told to `advance`; in a cell in real time the period passes by itself, and `advance` only takes in its senses.
    """

    kind: str
    """sim or ros."""
    robot: str
    rate_hz: float
    observation: dict[str, ArraySpec]
    action: ArraySpec
    action_names: tuple[str, ...]
    action_frame: str
    limits: GuardLimits
    stopper: str | None
    """Address at which a watchdog stops this robot (see envs.stopper), which goes on whatever becomes of us. None: a
    simulation in this process, which stops with it."""

    def observe(self) -> Observation:
        """The latest senses, as fresh arrays that the caller may keep."""
        ...

    def target_position(self) -> np.ndarray:
        """Commanded position of the tool centre point, shape (3,), metres, base frame."""
        ...

    def command(self, action: Action) -> None:
        """Set the target of the coming control period."""
        ...

    def advance(self) -> None:
        """Let one control period pass (in simulated time), or take in the senses as they are after it."""
        ...

    def hold(self) -> None:
        """Stay where the robot is from now on, until the next command."""
        ...

    def vitals(self) -> Vitals:
        """Whether the senses are fresh, and what the arm feels, now; called before every command."""
        ...

    def halted(self) -> str:
        """Why commands are refused until the next reset (a watchdog, a second commander); empty: they are not."""
        ...

    def picture(self) -> np.ndarray:
        """A picture for people, uint8 of shape (height, width, 3)."""
        ...

    def close(self) -> None:
        """Release cameras, contexts and connections; safe to call twice."""
        ...


Cell = TypeVar("Cell", bound=Workcell, contravariant=True)


@dataclass(frozen=True)
class Outcome:
    """What a task says of the state after a step."""

    reward: float
    success: bool = False
    failure: bool = False


class Task(Protocol[Cell]):
    """Reset, reward and limits of what is to be learned on a cell."""

    name: str
    reward: str
    """Name and version of the reward's definition."""
    return_bounds: tuple[float, float] | None
    max_episode_steps: int

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        """Bring the cell to the start of an episode; `rng` decides everything that is random."""
        ...

    def evaluate(self, cell: Cell) -> Outcome:
        """Judge the state after a step."""
        ...

    def expert(self, cell: Cell, rng: np.random.Generator, noise: float = 0.0) -> Expert:
        """A script that solves the task; `noise` is the sigma of Gaussian noise on its translation, action units."""
        ...

    def corrector(self, cell: Cell, rng: np.random.Generator) -> Corrector:
        """A scripted person who takes over when the policy is stuck."""
        ...

    def steps_to_go(self, cell: Cell, action: Action) -> float:
        """Control periods to success if `action` is carried out now: an estimate; infinity where it ends in failure."""
        ...


@runtime_checkable
class ContinuingTask(Protocol):
    """What else a task has that goes on where its last episode ended, one of several things to do after the other."""

    goal: ArraySpec
    """Of the observation `goal`: what is wanted now."""
    resets: int
    """How often somebody had to bring the cell to its start."""

    def goal_state(self, cell: Any) -> np.ndarray:
        """The observation `goal`."""
        ...

    def ended(self, *, success: bool) -> None:
        """Take in how an episode ended, whoever judged it."""
        ...


class WorkcellEnv(gymnasium.Env[Observation, Action], Generic[Cell]):
    """A task on a workcell as a Gymnasium environment.

    `reset(seed=...)` decides everything that is random until the next seed. `terminated` means success or failure;
    `truncated` means that the time limit cut the episode, after which value still follows.
    """

    metadata = {"render_modes": ["rgb_array"]}
    render_mode = "rgb_array"

    def __init__(self, cell: Cell, task: Task[Cell]) -> None:
        self.metadata = {**self.metadata, "render_fps": round(cell.rate_hz)}
        self.cell = cell
        self.task = task
        self.limits, self.stopper = cell.limits, cell.stopper
        self._continuing = task if isinstance(task, ContinuingTask) else None
        seen = cell.observation | ({} if self._continuing is None else {"goal": self._continuing.goal})
        self.wire_spec = EnvSpec(
            env=cell.kind,
            task=task.name,
            robot=cell.robot,
            observation=seen,
            action=cell.action,
            action_names=cell.action_names,
            action_frame=cell.action_frame,
            rate_hz=cell.rate_hz,
            max_episode_steps=task.max_episode_steps,
            reward=task.reward,
            return_bounds=task.return_bounds,
        )
        self.return_bounds, self.max_episode_steps = task.return_bounds, task.max_episode_steps
        spaces: dict[str, Any] = {name: _space(spec) for name, spec in seen.items()}
        self.observation_space: Any = gymnasium.spaces.Dict(spaces)
        self.action_space = _space(cell.action)
        self.ticker = None if cell.stopper is None else Ticker(cell.rate_hz)
        """Keeps the control periods of a cell in real time; None in a simulation, whose time stands still meanwhile."""
        self.pause: Pause = sleep
        """How to wait for the end of a period in real time: an actor puts its heartbeat and its person in here."""
        self.judge: Judge | None = None
        """Who says what a success is; None: the task."""
        self.rewarder: Rewarder | None = None
        """Who gives the reward where the task says what a success is; None: the task."""
        self._t: int | None = None
        """Control periods since the reset; None where an episode has yet to start."""
        self._begun = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; raises NotReadyError where the cell cannot now."""
        super().reset(seed=seed)
        self._t = None
        self.task.reset(self.cell, self.np_random)
        # Not before: where the cell is not ready it is asked again and again, and nobody has brought it anywhere.
        self._begun, self._t = self._begun + 1, 0
        if self.judge is not None:
            self.judge.begin_episode()
        if self.ticker is not None:
            self.ticker.begin()
        return self._observe(), {}

    @property
    def resets(self) -> int:
        """How often the cell was brought to its start: on a robot, a person's work."""
        return self._begun if self._continuing is None else self._continuing.resets

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry out a guarded action for one control period; `info["success"]` says whether the task succeeded.

        Raises:
            RuntimeError: Where no episode is under way.
        """
        if self._t is None:
            raise RuntimeError(
                "no episode is under way: call reset() before the first step and after an episode's last"
            )
        if self.ticker is not None:
            self.ticker.catch_up()
        self.cell.command(action)
        if self.ticker is not None:
            self.ticker.wait(self.pause)
        self.cell.advance()
        self._t += 1
        observation, outcome, by = self._look_and_judge()
        terminated = outcome.success or outcome.failure
        truncated = not terminated and self._t >= self.task.max_episode_steps
        if terminated or truncated:
            self._t = None
            if self._continuing is not None:
                self._continuing.ended(success=outcome.success)
        info = {"success": outcome.success, "reward_by": by}
        return observation, outcome.reward, terminated, truncated, info

    def judged_by(self, judge: Judge, *, gate: Gate | None = None) -> None:
        """From now on `judge` says what a success is, and rewards it with 1; reset, time limit and scripts stay.

        Args:
            judge: Says it.
            gate: What it asks of a vector besides, in every step; only what these senses hold can be asked of.

        Raises:
            UnseenError: It looks at what these senses do not hold, or not in that shape, and the cell cannot show it;
                or it does not look at what is wanted of several things.
        """
        if self._continuing is not None and "goal" not in judge.inputs:
            raise UnseenError(
                "the reward model judges one thing, and this task wants two in turns; put one for each together: "
                "handrail rewards pair forward=<folder> backward=<folder> out=<folder>"
            )
        require_seen(judge, self.wire_spec, shown=getattr(self.cell, "shows", ()))
        if gate is not None:
            require_gate(gate, self.wire_spec)
        self.judge, self.return_bounds = judge, (0.0, 1.0)
        self.wire_spec = msgspec.structs.replace(self.wire_spec, reward=judge.reward, return_bounds=self.return_bounds)

    def rewarded_by(self, rewarder: Rewarder) -> None:
        """From now on `rewarder` gives the reward; success, failure, reset, time limit and scripts stay the task's.

        Raises:
            UnseenError: It looks at what these senses do not hold, or not in that shape.
        """
        require_seen(rewarder, self.wire_spec, shown=())
        self.rewarder, self.return_bounds = rewarder, None
        self.wire_spec = msgspec.structs.replace(self.wire_spec, reward=rewarder.version, return_bounds=None)

    def _look_and_judge(self) -> tuple[Observation, Outcome, str]:
        if self.judge is None:
            outcome = self.task.evaluate(self.cell)
            observation = self._observe()
            if self.rewarder is None:
                return observation, outcome, ""
            return observation, replace(outcome, reward=self.rewarder.reward(observation)), self.rewarder.version
        observation = self._observe()
        hidden = {name: shape for name, shape in self.judge.inputs.items() if name not in observation}
        # Only what `judged_by` has found that it can.
        shown = getattr(self.cell, "show", None)
        judgement = self.judge.judge(observation if shown is None or not hidden else observation | shown(hidden))
        return observation, Outcome(float(judgement.success), judgement.success), judgement.by

    def look_again(self) -> Observation:
        """The senses of a cell in real time as they are now, between two steps."""
        self.cell.advance()
        return self._observe()

    def _observe(self) -> Observation:
        observation = self.cell.observe()
        if self._continuing is not None:
            observation["goal"] = self._continuing.goal_state(self.cell).astype(np.float32)
        return observation

    def expert(self, rng: np.random.Generator, noise: float = 0.0) -> Expert:
        """A script that solves the task; `noise` is the sigma of Gaussian noise on its translation, action units."""
        return self.task.expert(self.cell, rng, noise)

    def corrector(self, rng: np.random.Generator) -> Corrector:
        """A scripted person who takes over when the policy is stuck."""
        return self.task.corrector(self.cell, rng)

    def estimator(self) -> Callable[[Action], float]:
        """What estimates how many control periods the task still takes after an action, in the state as it is then."""
        return lambda action: self.task.steps_to_go(self.cell, action)

    def render(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A picture for people, uint8 of shape (height, width, 3)."""
        return self.cell.picture()

    def target_position(self) -> np.ndarray:
        """Commanded position of the tool centre point, shape (3,), metres, base frame: what the guard starts from."""
        return self.cell.target_position()

    def tool_rotation(self) -> np.ndarray | None:
        """How the tool is turned, shape (3, 3): its axes as columns in the base frame; None where the cell is silent.

        A cell whose tool turns, or that can say how it points, has a method of this name.
        """
        rotation = getattr(self.cell, "tool_rotation", None)
        return None if rotation is None else rotation()

    def hold(self) -> None:
        """Stop the robot where it is."""
        self.cell.hold()

    def vitals(self) -> Vitals:
        """Whether the senses are fresh, and what the arm feels, now: what the guard judges besides the action."""
        return self.cell.vitals()

    def halted(self) -> str:
        """Why commands are refused until the next reset; empty: they are not."""
        return self.cell.halted()

    def close(self) -> None:
        """Release the cell."""
        self.cell.close()


class GuardedEnv(gymnasium.Wrapper[Observation, Action, Observation, Action]):
    """An environment whose every action passes the guard, for those who bring their own loop.

    `info["action"]` is the action executed, `info["held"]` says that the guard refused the one wanted.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._guard = Guard(env.limits)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode."""
        self._guard.reset()
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Carry out what the guard makes of an action."""
        inner: Any = self.unwrapped
        verdict = self._guard.apply(action, inner.target_position(), inner.vitals())
        if verdict.held:
            inner.hold()
        observation, reward, terminated, truncated, info = self.env.step(verdict.action)
        return observation, reward, terminated, truncated, {**info, "action": verdict.action, "held": verdict.held}


def _space(spec: ArraySpec) -> gymnasium.spaces.Box:
    integer = spec.dtype == "uint8"
    low = (0 if integer else -np.inf) if spec.low is None else spec.low
    high = (255 if integer else np.inf) if spec.high is None else spec.high
    return gymnasium.spaces.Box(low, high, spec.shape, np.dtype(spec.dtype).type)
