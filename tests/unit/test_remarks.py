"""Labels, pause and end by a person's buttons, through the real loop."""

import threading

import numpy as np
import pytest
from acting import ToyCell, toy_env

from actor.human import Event, Silent
from actor.loop import run_episode
from actor.pacing import CellPace
from actor.watchdog import Unwatched
from envs.guard import Guard
from envs.workcell import WorkcellEnv
from wire.types import Action, Step


class Person(Silent):
    """Says what it is told at the calls of `events` that it is told; call 0 is before the first step."""

    def __init__(self, **said: list[Event]) -> None:
        self.said = {int(call.removeprefix("at")): events for call, events in said.items()}
        self.calls = 0
        self.heard: list[Action] = []

    def begin_episode(self, episode: int) -> None:
        pass

    def poll(self) -> None:
        pass

    def touched(self) -> bool:
        return False

    def events(self) -> list[Event]:
        self.calls += 1
        return self.said.pop(self.calls - 1, [])

    def executed(self, action: Action) -> None:
        self.heard.append(action)


class Forward:
    def reset(self) -> None:
        pass

    def act(self, observation):
        return np.array([0.5, -0.25], np.float32), 3


class Beats(Unwatched):
    def __init__(self) -> None:
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1


def play(person: Person, env: WorkcellEnv[ToyCell], heart: Unwatched | None = None) -> tuple[list[Step], bool]:
    steps: list[Step] = []
    over = threading.Event()
    guard = Guard(env.limits)
    success = run_episode(
        env,
        Forward(),
        person,
        guard,
        CellPace(),
        steps.append,
        episode=0,
        seed=1,
        stopped=over.is_set,
        end=over.set,
        heart=heart or Unwatched(),
    )
    assert all(env.wire_spec.step_problem(step) is None for step in steps)
    return steps, success


def ending(step: Step) -> tuple[float, bool, bool, bool, bool]:
    return step.reward, step.terminated, step.truncated, step.success, step.discarded


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        (Event.SUCCESS, (1.0, True, False, True, False)),
        (Event.FAILURE, (0.0, True, False, False, False)),
        (Event.DISCARD, (0.0, False, True, False, True)),
    ],
)
def test_a_label_ends_the_episode_with_the_step_it_was_said_in(event: Event, wanted: tuple):
    env = toy_env(limit=9)
    steps, success = play(Person(at3=[event]), env)
    assert [ending(step) for step in steps] == [(0.0, False, False, False, False)] * 2 + [wanted]
    assert success == (event is Event.SUCCESS)
    np.testing.assert_array_equal(steps[-1].final_observation["state"], env.cell.observe()["state"])
    assert not any(step.held for step in steps)
    assert env.cell.holds == 1


def test_the_last_word_counts_and_it_overrules_the_task():
    steps, success = play(Person(at3=[Event.SUCCESS, Event.FAILURE]), toy_env(limit=3))
    assert (ending(steps[-1]), success) == ((0.0, True, False, False, False), False)
    steps, success = play(Person(at1=[Event.FAILURE]), toy_env(goal=0.1))
    assert (ending(steps[-1]), success) == ((0.0, True, False, False, False), False)
    steps, success = play(Person(at1=[Event.DISCARD]), toy_env(goal=0.1))
    assert ending(steps[-1]) == (1.0, True, False, True, True)


def test_what_was_said_before_an_episode_labels_nothing():
    steps, _ = play(Person(at0=[Event.SUCCESS, Event.DISCARD]), toy_env(limit=4))
    assert len(steps) == 4
    assert not steps[-1].terminated
    assert not steps[-1].discarded


def test_a_pause_holds_the_robot_beats_on_and_what_led_to_it_is_not_learned_from():
    env, heart = toy_env(limit=4), Beats()
    steps, _ = play(Person(at2=[Event.PAUSE], at12=[Event.PAUSE]), env, heart)
    assert [step.held for step in steps] == [False, True, False, False]
    assert [step.t for step in steps] == [0, 1, 2, 3]
    assert env.cell.holds == 2
    assert heart.beats == 4 + 10
    assert len(env.cell.commands) == 4


def test_a_pause_between_episodes_comes_before_the_first_step():
    env, person = toy_env(limit=2), Person(at0=[Event.PAUSE], at5=[Event.PAUSE])
    steps, _ = play(person, env)
    assert (env.cell.holds, len(steps), person.calls) == (2, 2, 6 + 2)
    assert not any(step.held for step in steps)


def test_a_label_ends_a_pause_and_with_it_the_episode():
    steps, success = play(Person(at2=[Event.PAUSE], at8=[Event.SUCCESS]), toy_env(limit=9))
    assert (len(steps), success, steps[-1].held) == (2, True, False)


def test_end_ends_the_episode_and_the_pause():
    person = Person(at2=[Event.END])
    steps, success = play(person, toy_env())
    assert (len(steps), success, steps[-1].ended) == (2, False, False)
    steps, _ = play(Person(at2=[Event.PAUSE], at9=[Event.END]), toy_env())
    assert (len(steps), steps[-1].held) == (2, True)


def test_a_robot_that_was_stopped_from_outside_ends_a_pause():
    env = toy_env()

    class Halting(Person):
        def events(self) -> list[Event]:
            if self.calls == 7:
                env.cell.halt = "somebody stopped it"
            return super().events()

    steps, _ = play(Halting(at2=[Event.PAUSE]), env)
    assert len(steps) == 2


def test_the_channel_hears_what_was_executed():
    person = Person()
    steps, _ = play(person, toy_env(limit=3))
    np.testing.assert_array_equal(person.heard, [step.action for step in steps])
