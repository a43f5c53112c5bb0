"""One episode: what is executed, what is recorded, and who has the last word."""

import numpy as np
import pytest
from acting import ToyCell, ToyTask, toy_env, toy_weights

from actor import loop as loop_module
from actor.human import Nobody, Override, Silent
from actor.loop import run_episode
from actor.policy import PolicySlot
from envs.guard import Guard
from envs.workcell import NotReadyError, WorkcellEnv
from wire.types import Action, Observation, Source, Step


class NoPace:
    def begin(self) -> None:
        pass

    def wait(self) -> None:
        pass


class Helper(Silent):
    """Takes over in the control periods that it is told."""

    def __init__(self, action: list[float], during: range) -> None:
        self.action, self.during, self.t, self.episodes = np.array(action, np.float32), during, 0, []

    def begin_episode(self, episode: int) -> None:
        self.episodes.append(episode)
        self.t = 0

    def poll(self) -> Override | None:
        self.t += 1
        return Override(self.action, Source.HUMAN) if self.t - 1 in self.during else None

    def touched(self) -> bool:
        return False


class Broken:
    """A policy that answers nonsense."""

    def __init__(self, action: list[float]) -> None:
        self.action = np.array(action, np.float32)

    def reset(self) -> None:
        pass

    def act(self, observation: Observation) -> tuple[Action, int]:
        return self.action, 5


def slot(env: WorkcellEnv, action: float = 0.25) -> PolicySlot:
    policy = PolicySlot(env.wire_spec)
    policy.load(toy_weights(env.wire_spec, action, version=4))
    return policy


def play(
    env: WorkcellEnv[ToyCell], policy: object = None, human: object = None, **changes: object
) -> tuple[list[Step], bool]:
    steps: list[Step] = []
    fields: dict = {"episode": 7, "seed": 1, "stopped": lambda: False} | changes
    success = run_episode(
        env, policy or slot(env), human or Nobody(), Guard(env.limits), NoPace(), steps.append, **fields
    )
    for step in steps:
        assert env.wire_spec.step_problem(step) is None
    return steps, success


def test_every_step_holds_what_was_seen_done_and_came_of_it():
    env = toy_env(limit=3)
    steps, success = play(env)
    assert [(step.episode, step.t, step.weights_version, step.source) for step in steps] == [
        (7, t, 4, Source.POLICY) for t in range(3)
    ]
    for t, step in enumerate(steps):
        np.testing.assert_array_equal(step.action, env.cell.commands[t])
        np.testing.assert_allclose(step.action, np.tanh([0.25, 0.25]), atol=0.05)
        after = step.final_observation if t == 2 else steps[t + 1].observation
        assert after["state"][0] == pytest.approx(step.observation["state"][0] + float(step.action[0]))
        assert set(step.stamps) == {"monotonic", "act_s", "guard_s", "env_s"}
    assert not success


def test_a_time_limit_is_truncation_and_a_success_is_termination_each_with_a_final_observation():
    steps, success = play(toy_env(limit=3))
    assert [(step.terminated, step.truncated) for step in steps] == [(False, False), (False, False), (False, True)]
    assert [step.final_observation is None for step in steps] == [True, True, False]
    steps, success = play(toy_env(goal=0.4))
    assert (success, steps[-1].success, steps[-1].terminated, steps[-1].truncated) == (True, True, True, False)
    assert steps[-1].final_observation["state"][0] > 0.4
    assert steps[-1].reward == 1.0


def test_an_override_replaces_the_action_from_the_very_step_it_comes_and_both_are_recorded():
    env = toy_env(limit=5)
    helper = Helper([-1.0, 1.0], range(1, 3))
    steps, _ = play(env, human=helper)
    assert helper.episodes == [7]
    assert [step.source for step in steps] == [Source.POLICY, Source.HUMAN, Source.HUMAN, Source.POLICY, Source.POLICY]
    for t, step in enumerate(steps):
        np.testing.assert_allclose(step.policy_action, np.tanh([0.25, 0.25]), atol=0.05)
        executed = [-1.0, 1.0] if t in (1, 2) else step.policy_action
        np.testing.assert_array_equal(step.action, executed)
        np.testing.assert_array_equal(env.cell.commands[t], executed)


class Chunks:
    """Plans four actions ahead, each of them a quarter of what it sees at that moment."""

    def __init__(self) -> None:
        self.plan: list[float] = []
        self.planned_at: list[float] = []

    def reset(self) -> None:
        self.plan = []

    def act(self, observation: Observation) -> tuple[Action, int]:
        if not self.plan:
            self.planned_at.append(float(observation["state"][0]))
            self.plan = [0.25 * self.planned_at[-1]] * 4
        return np.array([self.plan.pop(0), 0.0], np.float32), 1


def test_a_person_breaks_off_the_policys_chunk_and_what_follows_begins_from_what_is_seen_then():
    policy, env = Chunks(), toy_env(limit=9)
    steps, _ = play(env, policy=policy, human=Helper([-1.0, 0.0], range(2, 4)))
    seen = [float(step.observation["state"][0]) for step in steps]
    # Begun at 0; the person's actions void it at 2 and 3; then four from the one begun at 4, and the next.
    assert policy.planned_at == [seen[t] for t in (0, 3, 4, 8)]
    np.testing.assert_allclose([step.action[0] for step in steps[4:8]], 0.25 * seen[4], rtol=1e-6)
    assert seen[4] < seen[2] - 1.5


def test_an_episode_and_a_hold_begin_a_new_chunk():
    policy, env = Chunks(), toy_env(limit=5)
    policy.act({"state": np.array([99.0, 0.0])})
    freezes = {2: 0.3}

    class Freezing(Helper):
        def poll(self) -> None:
            self.t += 1
            env.cell.ages_s = {"front": freezes.get(self.t - 1, 0.0)}

    policy.planned_at.clear()
    steps, _ = play(env, policy=policy, human=Freezing([0.0, 0.0], range(0)))
    seen = [float(step.observation["state"][0]) for step in steps]
    assert [step.held for step in steps] == [False, False, True, False, False]
    assert policy.planned_at == [seen[0], seen[3]]


def test_what_a_person_wants_is_guarded_like_everything_else():
    steps, _ = play(toy_env(limit=2), human=Helper([9.0, np.nan], range(1)))
    assert steps[0].held
    np.testing.assert_array_equal(steps[0].action, [0.0, 0.0])
    steps, _ = play(toy_env(limit=2), human=Helper([9.0, 0.0], range(1)))
    np.testing.assert_array_equal(steps[0].action, [1.0, 0.0])


@pytest.mark.parametrize("nonsense", [[np.nan, 0.0], [np.inf, 0.0]])
def test_an_action_that_is_not_finite_holds_the_robot_and_the_step_is_still_recorded(nonsense: list[float]):
    env = toy_env(limit=2)
    steps, _ = play(env, policy=Broken(nonsense))
    assert len(steps) == 2
    for step in steps:
        assert step.held
        assert step.policy_action is None
        np.testing.assert_array_equal(step.action, [0.0, 0.0])
    assert np.isfinite(env.cell.commands).all()


def test_a_stop_in_mid_episode_holds_the_robot_and_keeps_what_was_done():
    env = toy_env()
    seen: list[int] = []

    def stopped() -> bool:
        seen.append(1)
        return len(seen) > 3

    steps, success = play(env, stopped=stopped)
    assert (len(steps), env.cell.holds, success) == (3, 1, False)
    assert not steps[-1].ended


def test_new_weights_act_from_the_next_step_on():
    env = toy_env(limit=4)
    policy = slot(env)

    class Swapping(Silent):
        def __init__(self) -> None:
            self.t = 0

        def begin_episode(self, episode: int) -> None:
            pass

        def poll(self) -> None:
            self.t += 1
            if self.t == 2:
                policy.load(toy_weights(env.wire_spec, -0.5, version=5))

        def touched(self) -> bool:
            return False

    steps, _ = play(env, policy=policy, human=Swapping())
    assert [step.weights_version for step in steps] == [4, 4, 5, 5]
    assert [bool(step.action[0] > 0) for step in steps] == [True, True, False, False]


def test_the_seed_decides_the_reset():
    first, again, other = (play(toy_env(), seed=seed)[0][0].observation["state"][0] for seed in (3, 3, 4))
    assert first == again != other


def test_a_cell_that_is_not_ready_at_first_is_asked_again_and_was_brought_to_its_start_once(
    monkeypatch: pytest.MonkeyPatch,
):
    class ReadyAtLast(ToyTask):
        asked = 0

        def reset(self, cell: ToyCell, rng: np.random.Generator) -> None:
            self.asked += 1
            if self.asked < 4:
                raise NotReadyError("the robot's node is missing")
            super().reset(cell, rng)

    monkeypatch.setattr(loop_module, "_AGAIN_S", 0.0)
    env, task = toy_env(limit=2), ReadyAtLast(limit=2)
    env.task = task
    steps, _ = play(env, seed=3)
    assert (task.asked, env.resets, len(steps)) == (4, 1, 2)
    # The tries that came to nothing have drawn nothing from the seed.
    assert steps[0].observation["state"][0] == play(toy_env(), seed=3)[0][0].observation["state"][0]


def test_an_episode_that_could_not_begin_takes_no_step():
    class NeverReady(ToyTask):
        def reset(self, cell: ToyCell, rng: np.random.Generator) -> None:
            raise NotReadyError("the robot's node is missing")

    env = toy_env(limit=2)
    env.reset(seed=0)
    env.task = NeverReady(limit=2)
    with pytest.raises(NotReadyError):
        env.reset(seed=1)
    with pytest.raises(RuntimeError, match="no episode is under way"):
        env.step(np.zeros(env.action_space.shape, np.float32))


def test_the_guard_forgets_the_last_episode():
    env = toy_env(limit=1)
    guard = Guard(env.limits)
    guard.apply([0.0, -1.0])
    run_episode(
        env, Broken([np.nan, 0.0]), Nobody(), guard, NoPace(), lambda _: None, episode=0, seed=0, stopped=lambda: False
    )
    np.testing.assert_array_equal(env.cell.commands[0], [0.0, 0.0])


class Alarm:
    """A heart whose watchdog trips at a given beat."""

    def __init__(self, trips_at: int) -> None:
        self.trips_at, self.beats, self.calls = trips_at, 0, []

    def begin(self, within_s: float) -> None:
        self.calls.append("begin")

    def beat(self) -> None:
        self.beats += 1
        self.calls.append("beat")

    def rest(self) -> None:
        self.calls.append("rest")

    def tripped(self) -> bool:
        return self.beats >= self.trips_at


def test_the_loop_promises_before_the_reset_beats_in_every_period_and_rests_once_the_robot_holds():
    env, heart = toy_env(limit=3), Alarm(99)
    play(env, heart=heart)
    assert heart.calls == ["begin", "beat", "beat", "beat", "rest"]
    assert env.cell.holds == 1


def test_a_tripped_watchdog_ends_the_episode_holds_and_marks_the_step_that_it_cut():
    env = toy_env()
    steps, success = play(env, heart=Alarm(3))
    assert [step.held for step in steps] == [False, False, True]
    assert (steps[-1].ended, success, env.cell.holds) == (False, False, 1)


def test_a_cell_that_was_halted_from_outside_ends_the_episode_and_marks_the_step():
    env = toy_env()

    class Intruder(Helper):
        def poll(self) -> None:
            self.t += 1
            if self.t == 2:
                env.cell.halt = "a second commander sent a target"

    steps, _ = play(env, human=Intruder([0.0, 0.0], range(0)))
    assert [step.held for step in steps] == [False, True]
    assert env.cell.holds == 1


@pytest.mark.parametrize("sense", ["joints", "front"])
def test_a_sense_that_freezes_holds_the_robot_until_it_is_back(sense: str):
    env = toy_env(limit=5)

    class Freezing(Helper):
        def poll(self) -> None:
            self.t += 1
            env.cell.ages_s = {sense: 0.201 if self.t in (2, 3) else 0.0}

    steps, _ = play(env, human=Freezing([0.0, 0.0], range(0)))
    assert [step.held for step in steps] == [False, True, True, False, False]
    assert [bool(command[0]) for command in env.cell.commands] == [True, False, False, True, True]
    assert env.cell.holds == 2 + 1
    assert all(step.policy_action is not None for step in steps)


def test_an_episode_whose_last_observation_is_stale_is_marked_though_its_action_was_carried_out():
    env = toy_env(limit=2)
    advance = env.cell.advance

    def freeze() -> None:
        advance()
        env.cell.ages_s = {"front": 0.0 if env.cell.clock < 2 else 0.3}

    env.cell.advance = freeze
    steps, _ = play(env)
    assert [(step.held, step.ended) for step in steps] == [(False, False), (True, True)]


def test_a_hand_that_comes_in_mid_period_stops_the_robot_and_the_broken_step_is_marked():
    env = toy_env(limit=4)

    class Hand(Helper):
        def touched(self) -> bool:
            return self.t >= 2

    steps, _ = play(env, human=Hand([-1.0, 0.0], range(2, 9)))
    assert [step.source for step in steps] == [Source.POLICY, Source.POLICY, Source.HUMAN, Source.HUMAN]
    assert [step.held for step in steps] == [False, True, False, False]
    assert env.cell.holds == 1 + 1


def test_a_device_that_dies_in_mid_period_stops_the_robot_and_the_broken_step_is_marked():
    env = toy_env(limit=4)

    class Dying(Helper):
        def lost(self) -> bool:
            return self.t == 3

    steps, _ = play(env, human=Dying([-1.0, 0.0], range(1, 3)))
    assert [step.source for step in steps] == [Source.POLICY, Source.HUMAN, Source.HUMAN, Source.POLICY]
    assert [step.held for step in steps] == [False, False, True, False]
    assert env.cell.holds == 1 + 1
