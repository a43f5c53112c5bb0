"""The simulated cell in real time: it obeys one commander, goes on without it, and can be stopped past it."""

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from actor.human import Nobody
from actor.loop import run_episode
from actor.pacing import CellPace
from actor.watchdog import watched
from envs.cell_socket import Command, Restart, State, Watch, Wire, connect, decode_state
from envs.config import EnvConfig
from envs.guard import Guard
from envs.make import make_env
from envs.sim import realtime
from envs.sim.realtime import CellGoneError, RealtimeCell, served_cell
from envs.stopper import open_stopper
from envs.tasks import TASKS
from envs.testing import check_env
from envs.workcell import WorkcellEnv
from wire.types import Step

pytestmark = [pytest.mark.sim, pytest.mark.process]

RIGHT = np.array([0.0, 1.0, 0.0, 1.0], np.float32)


@pytest.fixture
def path() -> Iterator[str]:
    with served_cell("reach") as path:
        yield path


def commander(path: str) -> WorkcellEnv[RealtimeCell]:
    task = TASKS["reach"]()
    env = WorkcellEnv(RealtimeCell(task, path=path), task)
    env.reset(seed=1)
    return env


@pytest.fixture
def closing() -> Iterator[Callable[[Any], Any]]:
    """Closes what it is given when the test is over."""
    with contextlib.ExitStack() as stack:
        yield lambda thing: stack.enter_context(contextlib.closing(thing))


class Watcher:
    def __init__(self, path: str) -> None:
        self.wire = connect(path)
        self.wire.send(Watch())

    def close(self) -> None:
        self.wire.close()

    def until(self, matches: Callable[[State], bool]) -> State:
        deadline_s = time.monotonic() + 30
        while time.monotonic() < deadline_s:
            data = self.wire.receive()
            if data is None:
                time.sleep(0.001)
            elif matches(state := decode_state(data)):
                return state
        raise AssertionError("the cell did not come to this state")


def test_the_cell_in_real_time_keeps_the_contract():
    check_env(lambda: make_env(EnvConfig(task="reach", realtime=True)))


def test_time_passes_at_its_own_rate_and_the_last_target_stays_in_force(path: str, closing):
    env, watcher = closing(commander(path)), closing(Watcher(path))
    env.cell.command(RIGHT)
    began = watcher.until(lambda state: state.commanded_ns > 0)
    wanted_m = np.array(began.target_m)
    ended = watcher.until(lambda state: state.stamp_ns > began.commanded_ns + 1_000_000_000)
    env.cell.advance()
    assert np.linalg.norm(env.cell.tool_position() - wanted_m) < 0.003
    np.testing.assert_array_equal(ended.target_m, wanted_m)
    assert ended.halted == ""


def test_a_stopper_halts_the_cell_past_its_commander_until_the_next_reset(path: str, closing):
    env, watcher = closing(commander(path)), closing(Watcher(path))
    env.cell.command(RIGHT)
    watcher.until(lambda state: state.speed_m_s > 0.1)
    stopper = closing(open_stopper(f"unix:{path}"))
    assert stopper.reachable()
    stopper.hold("because")
    held = watcher.until(lambda state: state.halted == "because")
    env.cell.command(RIGHT)
    later = watcher.until(lambda state: state.stamp_ns > held.held_ns + 300_000_000)
    assert later.speed_m_s < 0.01
    assert (later.commanded_ns, later.target_m) == (held.commanded_ns, held.target_m)
    assert env.halted() == "because"
    env.reset(seed=2)
    assert env.halted() == ""


def test_a_second_commander_stops_the_robot_and_both_are_refused_until_a_reset(path: str, closing):
    env, watcher, intruder = closing(commander(path)), closing(Watcher(path)), closing(connect(path))
    env.cell.command(RIGHT)
    watcher.until(lambda state: state.speed_m_s > 0.1)
    sent_ns = time.monotonic_ns()
    intruder.send(Command(1, action=(0.0, -1.0, 0.0, 1.0)))
    held = watcher.until(lambda state: state.halted != "")
    assert "second commander" in held.halted
    assert held.held_ns - sent_ns <= 100_000_000
    env.cell.command(RIGHT)
    intruder.send(Command(2, action=(0.0, -1.0, 0.0, 1.0)))
    later = watcher.until(lambda state: state.stamp_ns > held.held_ns + 300_000_000)
    assert (later.commanded_ns, later.target_m) == (held.commanded_ns, held.target_m)
    assert later.speed_m_s < 0.01
    steps: list[Step] = []

    class Still:
        def reset(self) -> None:
            pass

        def act(self, observation):
            return np.array([0.0, 0.0, 0.0, 1.0], np.float32), 1

    arguments = (env, Still(), Nobody(), Guard(env.limits), CellPace(), steps.append)
    run_episode(*arguments, episode=0, seed=0, stopped=lambda: len(steps) == 2)
    assert [step.held for step in steps] == [False, False]
    print(f"R4 (simulated): second commander's target -> hold {(held.held_ns - sent_ns) / 1e6:.1f} ms")


@pytest.mark.parametrize(
    "message",
    [
        Command(1, action=(float("nan"), 0.0, 0.0, 0.0)),
        Command(1, action=(0.0, 1.5, 0.0, 0.0)),
        Command(1, action=(0.0,)),
        Restart(1, qpos=b"1234", mocap_pos=b""),
    ],
)
def test_nonsense_never_moves_the_cell_nor_ends_it(path: str, closing, message: Command | Restart):
    env, watcher, other = closing(commander(path)), closing(Watcher(path)), closing(connect(path))
    before = watcher.until(lambda state: state.halted == "")
    other.send(message)
    other_hung_up(other)
    env.reset(seed=3)
    after = watcher.until(lambda state: state.stamp_ns > before.stamp_ns and state.halted == "")
    assert np.isfinite(after.target_m).all()


def other_hung_up(other: Wire) -> None:
    """Whatever the cell made of the message, it has read it."""
    deadline_s = time.monotonic() + 30
    try:
        other.send(Watch())
        while other.receive() is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.001)
    except OSError:
        pass


@pytest.mark.parametrize("ending", [RuntimeError("broken"), None])
def test_an_actor_that_fails_leaves_its_robot_held(path: str, closing, ending: Exception | None):
    env, watcher = closing(commander(path)), closing(Watcher(path))
    with contextlib.suppress(RuntimeError), watched(env.stopper) as heart:
        heart.begin(60.0)
        env.cell.command(RIGHT)
        watcher.until(lambda state: state.speed_m_s > 0.1)
        heart.rest()
        if ending is not None:
            raise ending
    now_ns = time.monotonic_ns()
    state = watcher.until(lambda state: state.stamp_ns > now_ns)
    assert state.halted == ("the actor has failed" if ending else "")


def test_senses_that_are_no_longer_heard_hold_the_robot(monkeypatch: pytest.MonkeyPatch, closing):
    started = []
    popen = realtime.subprocess.Popen
    monkeypatch.setattr(
        realtime.subprocess, "Popen", lambda *words, **more: started.append(popen(*words, **more)) or started[-1]
    )
    env = closing(make_env(EnvConfig(task="reach", realtime=True)))
    env.reset(seed=0)
    guard = Guard(env.limits)
    assert not guard.apply(RIGHT, env.target_position(), env.vitals()).held
    os.kill(started[0].pid, signal.SIGSTOP)
    deadline_s = time.monotonic() + 30
    while not (verdict := guard.apply(RIGHT, env.target_position(), env.vitals())).held:
        assert time.monotonic() < deadline_s
    assert "joints was last heard of" in verdict.reason
    print(f"R5: the cell falls silent: held, because {verdict.reason}")
    os.kill(started[0].pid, signal.SIGCONT)
    while guard.apply(RIGHT, env.target_position(), env.vitals()).held:
        env.cell.advance()
        assert time.monotonic() < deadline_s
    os.kill(started[0].pid, signal.SIGKILL)
    started[0].wait()
    with pytest.raises(CellGoneError, match="the simulated cell has ended"):
        env.hold()


def test_pressing_too_hard_holds_within_a_period_and_the_force_is_gone(closing):
    env = closing(make_env(EnvConfig(task="pick_cube")))
    env.reset(seed=0)
    above = env.cell.body_position("cube")
    env.cell.limits = dataclasses.replace(env.limits, max_force_n=60.0)
    guard, shut = Guard(env.cell.limits), -1.0
    for _ in range(20):
        offset = np.append((above - env.target_position())[:2], 0.0) / 0.025
        env.step(guard.apply(np.append(np.clip(offset, -1, 1), shut), env.target_position(), env.vitals()).action)
    held, forces = [], []
    for _ in range(20):
        verdict = guard.apply([0.0, 0.0, -1.0, shut], env.target_position(), env.vitals())
        if verdict.held:
            env.hold()
        env.step(verdict.action)
        held.append(verdict.held)
        forces.append(env.vitals().force_n)
    first = held.index(True)
    print(f"R3: the tool pressed with {forces[first - 1]:.0f} N, held, then {forces[first]:.0f} N")
    assert forces[first - 1] > 60.0 >= forces[first]
    for before, holds in zip(forces, held[1:], strict=False):
        assert holds == (before > 60.0)
