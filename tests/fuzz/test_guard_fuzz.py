"""Nothing bad reaches the robot, whoever wants it: ten million hostile actions at the nightly count."""

import numpy as np
import pytest
from counts import count
from hypothesis import given
from hypothesis import strategies as st

from actor.human import Override, Silent
from actor.loop import run_episode
from actor.pacing import CellPace
from envs.guard import Guard, GuardLimits, Vitals
from envs.workcell import Outcome, WorkcellEnv
from wire.specs import ArraySpec
from wire.types import Action, Observation, Source, Step

BATCH = 10_000
SCALE_M, RATE_HZ = 0.05, 10.0
LOW_M, HIGH_M = np.array([0.2, -0.3, 0.0]), np.array([0.7, 0.3, 0.5])
LIMITS = GuardLimits(
    low=(-1.0,) * 4,
    high=(1.0,) * 4,
    hold=(0.0, 0.0, 0.0, None),
    metres_per_unit=SCALE_M,
    rate_hz=RATE_HZ,
    workspace_low_m=tuple(LOW_M.tolist()),
    workspace_high_m=tuple(HIGH_M.tolist()),
    max_acceleration_m_s2=2.0,
)
LONGEST_M = 0.25 / RATE_HZ
CHANGE_M = 2.0 / RATE_HZ**2
ROUNDING_M = 1e-7
POISON = np.array([np.nan, np.inf, -np.inf, 1e308, -1e308, 3.4e38, 1e-320, -0.0])
MISSHAPEN = [None, "left", [], [0.0], np.zeros(3), np.zeros(5), np.zeros((1, 4)), np.zeros((4, 1)), {"x": 1}, object()]
MISSHAPEN += [
    np.array([0, 0, 0, None], object),
    np.zeros(4, "S8"),
    np.full(4, 1j),
    [[0.0], [0.0, 1.0]],
    b"\0" * 16,
    ["1", "0", "0", "0"],
]
MISSHAPEN += [np.full(4, 1e400, np.longdouble), np.ones(4, bool), [10**400, 0, 0, 0]]


class FakeRobot:
    """Takes what it is sent at its word and remembers all of it."""

    def __init__(self) -> None:
        self.at_m = np.array([0.45, 0.0, 0.2])
        self.actions: list[np.ndarray] = []
        self.targets: list[np.ndarray] = [self.at_m]

    def move(self, action: Action) -> None:
        self.actions.append(action)
        self.at_m = self.at_m + SCALE_M * action[:3].astype(np.float64)
        self.targets.append(self.at_m)

    def crimes(self) -> dict[str, int]:
        """How often each law was broken."""
        actions, targets = np.stack(self.actions), np.stack(self.targets)
        motions = np.diff(targets, axis=0)
        speeds = np.linalg.norm(motions, axis=1)
        jumps = np.linalg.norm(np.diff(motions, axis=0), axis=1)
        # The workspace has the last word: at its walls the tool stops as hard as it must.
        walls = ((targets[1:] < LOW_M + LONGEST_M) | (targets[1:] > HIGH_M - LONGEST_M)).any(axis=1)
        # And a hold stops at once, from any speed.
        free = ~walls & (speeds > 0.0)
        outside = (targets < LOW_M - 1e-5) | (targets > HIGH_M + 1e-5)
        return {
            "malformed": int(actions.shape[1:] != (4,)) + int(actions.dtype != np.float32),
            "non-finite": int((~np.isfinite(actions)).sum()),
            "outside the action's box": int((np.abs(actions) > 1.0).sum()),
            "outside the workspace": int(outside.any(axis=1).sum()),
            "over speed": int((speeds > LONGEST_M + ROUNDING_M).sum()),
            "over rate": int((jumps[free[1:]] > CHANGE_M + ROUNDING_M).sum()),
        }

    def forget(self) -> None:
        """All but where it is and how it moved last."""
        self.actions, self.targets = [], self.targets[-2:]


def hostile(rng: np.random.Generator) -> tuple[list, np.ndarray]:
    """A batch of wanted actions, and which of them are no finite vectors of four."""
    size = 10.0 ** rng.integers(-3, 9, (BATCH, 1))
    numbers = rng.uniform(-1.0, 1.0, (BATCH, 4)) * np.where(rng.random((BATCH, 1)) < 0.7, 1.0, size)
    poisoned = rng.random((BATCH, 4)) < 0.05
    numbers = np.where(poisoned, rng.choice(POISON, (BATCH, 4)), numbers)
    # Long stretches into one corner: that is how a box is left.
    corner = np.repeat(rng.choice([-1.0, 1.0], (BATCH // 100, 4)), 100, axis=0)
    numbers = np.where((np.arange(BATCH) // 100 % 3 == 0)[:, None] & ~poisoned, corner, numbers)
    with np.errstate(over="ignore"):
        halves = rng.random((BATCH, 1)) < 0.5
        numbers = np.where(halves, numbers.astype(np.float32), numbers)
    bad = ~np.isfinite(numbers).all(axis=1)
    wanted: list = list(numbers)
    for index in np.flatnonzero(rng.random(BATCH) < 0.02):
        wanted[index], bad[index] = MISSHAPEN[rng.integers(len(MISSHAPEN))], True
    return wanted, bad


@pytest.mark.timeout(7200)
def test_ten_million_hostile_actions_and_not_one_bad_command():
    rng, robot, guard = np.random.default_rng(2), FakeRobot(), Guard(LIMITS)
    total, held = count(ci=100_000, nightly=10_000_000), 0
    found: dict[str, int] = {}
    for _ in range(total // BATCH):
        wanted, bad = hostile(rng)
        verdicts = []
        for action in wanted:
            verdict = guard.apply(action, robot.at_m)
            robot.move(verdict.action)
            verdicts.append(verdict.held)
        np.testing.assert_array_equal(verdicts, bad)
        held += int(bad.sum())
        for crime, number in robot.crimes().items():
            found[crime] = found.get(crime, 0) + number
        robot.forget()
    print(f"R2: {total} hostile actions, {held} held, " + ", ".join(f"{n} {crime}" for crime, n in found.items()))
    assert not any(found.values())
    assert held > 0.1 * total


class Cell:
    """The fake robot as a workcell."""

    kind, robot, rate_hz = "sim", "fake", RATE_HZ
    observation = {"state": ArraySpec(shape=(3,), dtype="float32")}
    action = ArraySpec(shape=(4,), dtype="float32", low=-1, high=1)
    action_names: tuple[str, ...] = ("x", "y", "z", "grip")
    action_frame = "base"
    limits = LIMITS
    stopper: str | None = None

    def __init__(self) -> None:
        self.fake, self.holds = FakeRobot(), 0

    def observe(self) -> Observation:
        return {"state": self.fake.at_m.astype(np.float32)}

    def target_position(self) -> np.ndarray:
        return self.fake.at_m

    def command(self, action: Action) -> None:
        self.fake.move(action)

    def advance(self) -> None:
        pass

    def hold(self) -> None:
        self.holds += 1

    def vitals(self) -> Vitals:
        return Vitals()

    def halted(self) -> str:
        return ""

    def picture(self) -> np.ndarray:
        raise NotImplementedError

    def close(self) -> None:
        pass


class Task:
    name, reward, return_bounds = "none", "none-1", None
    max_episode_steps = BATCH // 2

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        cell.fake = FakeRobot()

    def evaluate(self, cell: Cell) -> Outcome:
        return Outcome(0.0)

    def expert(self, cell, rng, noise=0.0):
        raise NotImplementedError

    corrector = expert


class Hostile(Silent):
    """As a policy and as a person alike."""

    def __init__(self, wanted: list, *, person: bool) -> None:
        self._wanted, self._person = iter(wanted), person

    def reset(self) -> None:
        pass

    def act(self, observation: Observation) -> tuple[Action, int]:
        if self._person:
            return np.zeros(4, np.float32), 1
        wanted = next(self._wanted)
        return wanted, 1

    def begin_episode(self, episode: int) -> None:
        pass

    def poll(self) -> Override | None:
        return Override(next(self._wanted), Source.HUMAN) if self._person else None

    def touched(self) -> bool:
        return self._person


@pytest.mark.parametrize("person", [True, False], ids=["a person", "a policy"])
def test_through_the_loop_a_person_is_guarded_like_a_policy_and_every_refusal_is_flagged(person: bool):
    wanted, bad = hostile(np.random.default_rng(3))
    who, env, steps = Hostile(wanted, person=person), WorkcellEnv(Cell(), Task()), list[Step]()
    run_episode(env, who, who, Guard(LIMITS), CellPace(), steps.append, episode=0, seed=0, stopped=lambda: False)
    assert [step.held for step in steps] == bad[: len(steps)].tolist()
    assert env.cell.holds == bad[: len(steps)].sum() + 1
    assert all(env.wire_spec.step_problem(step) is None for step in steps)
    assert not any(env.cell.fake.crimes().values())
    print(f"R2: {len(steps)} through the loop as {'a person' if person else 'a policy'}: {env.cell.fake.crimes()}")


NUMBER = st.floats() | st.sampled_from(POISON.tolist())
WANTED = st.lists(NUMBER, min_size=4, max_size=4) | st.lists(NUMBER, max_size=6) | st.sampled_from(MISSHAPEN)


@given(st.lists(st.tuples(WANTED, st.sampled_from([None, "nan", "short", "far"])), max_size=8))
def test_corners(history: list):
    robot, guard = FakeRobot(), Guard(LIMITS)
    for wanted, trouble in history:
        position = {None: robot.at_m, "nan": np.full(3, np.nan), "short": np.zeros(2), "far": robot.at_m}[trouble]
        verdict = guard.apply(wanted, position)
        assert verdict.held or trouble in (None, "far")
        robot.move(verdict.action)
    if history:
        assert not any(robot.crimes().values())
