"""A point in a room that goes where it is told, in any frame; and the real loop around it, with its outbox on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from acting import ToyTask

from actor.human import Channel
from actor.loop import run_episode
from actor.outbox import Outbox
from actor.pacing import CellPace
from actor.uplink import Uplink
from envs.guard import Guard, GuardLimits, Vitals
from envs.workcell import WorkcellEnv
from handrail.local import free_port
from wire.codec import decode_step
from wire.specs import ArraySpec
from wire.types import Action, Observation, Step

METRES = 0.025


class PointCell:
    """A tool whose turn is fixed; action (x, y, z, gripper) along the axes of the base or of the tool."""

    kind = "sim"
    robot = "point"
    rate_hz = 10.0
    observation = {"state": ArraySpec(shape=(4,), dtype="float32")}
    action = ArraySpec(shape=(4,), dtype="float32", low=-1, high=1)
    action_names = ("x", "y", "z", "gripper")
    limits = GuardLimits(low=(-1.0,) * 4, high=(1.0,) * 4, hold=(0.0, 0.0, 0.0, None), metres_per_unit=METRES)
    stopper: str | None = None

    def __init__(self, action_frame: str = "base", tool: np.ndarray | None = None) -> None:
        self.action_frame = action_frame
        self.tool = np.eye(3) if tool is None else tool
        self.at_m, self.gripper, self.holds = np.zeros(3), 1.0, 0

    def observe(self) -> Observation:
        return {"state": np.array([*self.at_m, self.gripper], np.float32)}

    def target_position(self) -> np.ndarray:
        return self.at_m.copy()

    def tool_rotation(self) -> np.ndarray:
        return self.tool

    def command(self, action: Action) -> None:
        base_from_action = np.eye(3) if self.action_frame == "base" else self.tool
        self.at_m = self.at_m + METRES * base_from_action @ action[:3].astype(np.float64)
        self.gripper = float(action[3])

    def advance(self) -> None:
        pass

    def hold(self) -> None:
        self.holds += 1

    def vitals(self) -> Vitals:
        return Vitals()

    def halted(self) -> str:
        return ""

    def picture(self) -> np.ndarray:
        return np.zeros((8, 8, 3), np.uint8)

    def close(self) -> None:
        pass


class Line:
    """A policy that goes on along x, slowly, and leaves the gripper as it sees it."""

    def reset(self) -> None:
        pass

    def act(self, observation: Observation) -> tuple[Action, int]:
        return np.array([0.1, 0.0, 0.0, observation["state"][3]], np.float32), 1


def point_env(limit: int, **keys: Any) -> WorkcellEnv[Any]:
    return WorkcellEnv(PointCell(**keys), ToyTask(limit=limit))  # type: ignore[arg-type]


def recorded(folder: Path, env: WorkcellEnv[Any], human: Channel, note: Callable[[int], None]) -> list[Step]:
    """Run one episode with no learner there; `note` hears the number of steps so far; what is then in the outbox."""
    uplink = Uplink(f"tcp://127.0.0.1:{free_port()}", folder / "outbox.sqlite", env.wire_spec)
    uplink.start()
    done = 0

    def record(step: Step) -> None:
        nonlocal done
        uplink.append(step)
        done += 1
        note(done)

    try:
        run_episode(env, Line(), human, Guard(env.limits), CellPace(), record, episode=0, seed=0, stopped=lambda: False)
    finally:
        uplink.close(0.0)
    outbox = Outbox(folder / "outbox.sqlite", env.wire_spec)
    steps = [decode_step(body) for _, body in outbox.unsent(0, 10**6, 10**9)]
    outbox.close()
    return steps


def require_whole(steps: list[Step], length: int) -> None:
    """An episode without a gap, whose end is its time limit."""
    assert [step.t for step in steps] == list(range(length))
    assert [step.ended for step in steps] == [False] * (length - 1) + [True]
