"""What a reward model claims, and a person at the robot who says no: through the real loop."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from acting import toy_env
from test_remarks import Forward, Person

from actor.human import Event
from actor.loop import run_episode
from actor.pacing import CellPace
from envs.guard import Guard
from envs.judge import Judgement, UnseenError
from wire.scoring import Gate
from wire.types import UNSCORED, Step


class Claims:
    """A reward model that claims a success in the second state."""

    reward = "classifier-1"

    def __init__(self, by: str = "success-1") -> None:
        self.inputs: Mapping[str, tuple[int, ...]] = {}
        self.by = by

    def begin_episode(self) -> None:
        self.seen = 0

    def judge(self, observation: Any) -> Judgement:
        self.seen += 1
        return Judgement(self.seen == 2, self.by)


class Doubter(Person):
    """Says what they say only once they hear of the claim: from the third call on."""

    def __init__(self, said: Event) -> None:
        super().__init__()
        self.word = said

    def events(self) -> list[Event]:
        self.calls += 1
        return [self.word] if self.calls == 5 else []


def play(person: Person, judge: Claims, *, confirm_s: float) -> list[Step]:
    env, steps, over = toy_env(), list[Step](), threading.Event()
    env.judged_by(judge)
    run_episode(
        env,
        Forward(),
        person,
        Guard(env.limits),
        CellPace(),
        steps.append,
        episode=0,
        seed=1,
        stopped=over.is_set,
        end=over.set,
        confirm_s=confirm_s,
    )
    assert all(env.wire_spec.step_problem(step) is None for step in steps)
    return steps


def test_a_claim_that_nobody_contradicts_is_the_models_word():
    steps = play(Person(), Claims(), confirm_s=0.05)
    assert [(step.reward, step.success, step.reward_by) for step in steps] == [
        (0.0, False, "success-1"),
        (1.0, True, "success-1"),
    ]


@pytest.mark.parametrize(
    ("word", "reward", "success", "discarded"),
    [(Event.FAILURE, 0.0, False, False), (Event.SUCCESS, 1.0, True, False), (Event.DISCARD, 1.0, True, True)],
)
def test_a_person_may_overrule_the_claim_before_it_is_recorded(
    word: Event, reward: float, success: bool, discarded: bool
):
    last = play(Doubter(word), Claims(), confirm_s=30.0)[-1]
    assert (last.reward, last.success, last.discarded) == (reward, success, discarded)
    assert last.terminated
    # A person's word is no model's: it is what the next model is trained on.
    assert last.reward_by == ("success-1" if discarded else "")


@pytest.mark.parametrize("gate", [Gate("force", 0, low=0.0), Gate("state", 99, low=0.0)])
def test_a_gate_on_what_the_cell_does_not_observe_is_refused_before_anything_moves(gate: Gate):
    env, judge = toy_env(), Claims()
    with pytest.raises(UnseenError, match=rf"gate looks at {gate.name}\[{gate.element}\], and this environment has"):
        env.judged_by(judge, gate=gate)
    assert env.judge is None


def test_without_a_person_no_claim_is_waited_for():
    assert play(Doubter(Event.FAILURE), Claims(), confirm_s=0.0)[-1].success


def test_what_nobody_has_scored_says_so_in_every_step():
    steps = play(Person(), Claims(by=UNSCORED), confirm_s=0.0)
    assert {step.reward_by for step in steps} == {UNSCORED}
    assert np.isfinite([step.reward for step in steps]).all()
