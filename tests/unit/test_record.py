"""Demonstrations by a person: what is kept, taken back, and never lost."""

import threading
from pathlib import Path

import numpy as np
import pytest
from acting import ToyCell, toy_env
from devices import Pad, arm_spec
from rich.console import Console
from test_quality import SPEC as ARM
from test_quality import episode

from actor.board import Board
from actor.config import HAND, DemosConfig, HandConfig
from actor.demonstrators import Demonstrator
from actor.human import Event, Override, Silent
from actor.human.hand import Hand as PadHand
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping
from actor.record import Recording, demonstrate
from envs.config import EnvConfig
from envs.workcell import WorkcellEnv
from wire.errors import UserError
from wire.store import StepStore
from wire.types import Action, Source, Step

STILL, GO = [0.0, 0.0, 0.0, 1.0], [0.5, 0.0, 0.0, 1.0]


class Hand(Silent):
    """A hand that is off, then on for some periods; says what it is told at the calls of `events` that it is told."""

    def __init__(self, *moves: float | None, **said: list[Event]) -> None:
        self.moves = list(moves)
        self.said = {int(call.removeprefix("at")): events for call, events in said.items()}
        self.calls, self.heard = 0, list[Action]()

    def begin_episode(self, episode: int) -> None:
        pass

    def poll(self) -> Override | None:
        move = self.moves.pop(0) if self.moves else None
        return None if move is None else Override(np.array([move, -1.0], np.float32), Source.HUMAN)

    def touched(self) -> bool:
        return self.calls > 3

    def events(self) -> list[Event]:
        self.calls += 1
        return self.said.pop(self.calls - 1, [])

    def executed(self, action: Action) -> None:
        self.heard.append(action)


def shows(hand: Hand, undone: list[bool] | None = None) -> Demonstrator:
    return Demonstrator(hand, 2, [1], lambda: (undone if undone is not None else []).append(True))


def play(hand: Hand, env: WorkcellEnv[ToyCell], over: threading.Event | None = None, **changes) -> list[Step]:
    return demonstrate(env, shows(hand, **changes), episode=0, seed=1, over=over)


def test_an_episode_begins_with_the_first_move_and_stands_still_while_the_hand_is_off():
    hand = Hand(0.5, None, 0.25)
    steps = play(hand, toy_env(limit=4))
    assert hand.calls > 3, "it waited for the hand"
    np.testing.assert_allclose([step.action for step in steps], [[0.5, -1], [0, -1], [0.25, -1], [0, -1]])
    assert all(step.source is Source.DEMO and not step.held for step in steps)


def test_the_gripper_begins_open_whatever_the_last_episode_left():
    hand = Hand(0.5)
    person = shows(hand)
    person.executed(np.array([0.0, -1.0], np.float32))
    person.begin_episode(1)
    assert hand.heard[-1].tolist() == [0.0, 1.0]
    person.poll()
    assert person.poll().action.tolist() == [0.0, 1.0]


def test_labels_end_an_episode_and_before_the_first_move_they_are_of_nothing():
    hand = Hand(0.5, 0.5, 0.5, at1=[Event.SUCCESS], at4=[Event.SUCCESS])
    steps = play(hand, toy_env())
    assert len(steps) == 1
    assert (steps[-1].success, steps[-1].reward, steps[-1].terminated) == (True, 1.0, True)


def test_recording_does_not_begin_by_a_press_of_the_gripper_while_the_robot_went_home():
    pad, hand_config = Pad(), HandConfig(dead_zone=0.1, view_deg=0.0)
    spec = arm_spec()
    hand = PadHand(pad, Mapping(hand_config, spec), hand_config, clock=lambda: pad.now_s)
    person = Demonstrator(LiveChannel(hand, clock=lambda: pad.now_s), spec.action.shape[0], [3], lambda: None)
    pad.presses = [0]
    person.begin_episode(1)
    assert person.events() == [Event.PAUSE]
    assert (person.events(), person.waiting) == ([], True)
    pad.presses = [0]
    assert (person.events(), person.waiting) == ([Event.PAUSE], False), "now the hand is on it"


def test_undo_is_heard_while_waiting_and_while_driving_and_ends_nothing():
    undone: list[bool] = []
    hand = Hand(0.5, 0.5, 0.5, at1=[Event.UNDO], at5=[Event.UNDO])
    assert len(play(hand, toy_env(limit=3), undone=undone)) == 3
    assert undone == [True, True]


def test_who_wants_no_more_before_the_first_move_records_nothing():
    over = threading.Event()
    assert play(Hand(at2=[Event.END]), toy_env(), over) == []
    assert over.is_set()


def test_a_device_that_is_lost_stops_the_robot_only_where_it_drove():
    class Gone(Hand):
        def lost(self) -> bool:
            return True

    person = shows(Gone(0.5, None))
    person.begin_episode(0)
    assert not person.lost()
    person.poll()
    assert person.lost()
    person.poll()
    assert not person.lost()


def config(path: Path, **changes) -> DemosConfig:
    return DemosConfig(out=str(path), env=EnvConfig(), **changes)


def stored(path: Path) -> list[tuple[int, int]]:
    with StepStore.read(path) as store:
        assert [row.row for row in store.rows()] == list(range(1, store.count() + 1))
        assert all(row.step.source is Source.DEMO and row.step.policy_action is None for row in store.rows())
        return [(each.episode, each.length) for each in store.episodes()]


def test_only_successes_are_kept_and_each_is_on_disk_at_once(tmp_path: Path):
    path = tmp_path / "d.sqlite"
    with Recording.open(config(path), ARM) as recording:
        assert recording.take(episode([GO] * 3, source=Source.HUMAN)) == "kept"
        assert stored(path) == [(0, 3)]
        assert recording.take(episode([GO] * 4, success=False)) == "not kept: failure"
        assert recording.take(episode([GO] * 4, ended=False)) == "not kept: it was cut short"
        thrown = episode([GO] * 4)
        thrown[-1] = episode([GO], discarded=True)[0]
        assert recording.take(thrown) == "discarded"
        assert recording.take(episode([GO] * 5)) == "kept"
        assert (recording.successes, recording.tries) == (2, 5)
    assert stored(path) == [(0, 3), (1, 5)]


def test_keep_all_keeps_failures_and_counts_successes(tmp_path: Path):
    with Recording.open(config(tmp_path / "d.sqlite", keep="all"), ARM) as recording:
        assert recording.take(episode([GO] * 4, success=False)) == "kept"
        assert recording.take(episode([GO] * 3)) == "kept"
        assert (recording.successes, len(recording.qualities)) == (1, 2)


def test_undo_takes_the_last_episode_off_the_disk_and_never_one_from_before(tmp_path: Path):
    path = tmp_path / "d.sqlite"
    with Recording.open(config(path), ARM) as recording:
        recording.take(episode([GO] * 3))
    with Recording.open(config(path, resume=True), ARM) as recording:
        assert recording.successes == recording.earlier == 1
        recording.take(episode([GO] * 4))
        recording.take(episode([GO] * 5))
        assert recording.undo()
        assert stored(path) == [(0, 3), (0, 4)]
        recording.take(episode([GO] * 6))
        assert stored(path) == [(0, 3), (0, 4), (1, 6)]
        assert [recording.undo() for _ in range(3)] == [True, True, False]
        assert recording.successes == 1
    assert stored(path) == [(0, 3)]


def test_a_file_that_is_there_is_added_to_only_where_that_was_asked_for(tmp_path: Path):
    path = tmp_path / "d.sqlite"
    with Recording.open(config(path), ARM) as recording:
        recording.take(episode([GO] * 3))
    with pytest.raises(UserError, match="exists already; name another file, or move it away, or add to it with resume"):
        Recording.open(config(path), ARM).__enter__()
    assert stored(path) == [(0, 3)]


def test_nothing_is_left_of_a_recording_without_an_episode(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), Recording.open(config(tmp_path / "d.sqlite"), ARM):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_a_recorder_left_that_was_killed_before_its_first_episode_is_no_file_to_protect(tmp_path: Path):
    path = tmp_path / "d.sqlite"
    StepStore.open(path, ARM).close()
    with Recording.open(config(path), ARM) as recording:
        recording.take(episode([GO] * 3))
    assert stored(path) == [(0, 3)]


def test_the_board_counts_judges_and_says_what_the_keys_do(tmp_path: Path):
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    told = config(tmp_path / "d.sqlite", human="keyboard", hand=HAND["keyboard"])
    with Recording.open(told, ARM) as recording:
        board = Board(ARM, told, recording)
        for actions in ([GO] * 5, [GO] * 5, [STILL] * 6 + [GO] * 6):
            steps = episode(actions)
            board.note(recording.take(steps), steps)
        console.print(board)
        board.undone(recording.undo())
        console.print(board)
    console.file.close()
    text = console.export_text()
    assert "3 of 20 demonstrations" in text
    assert "the last one: kept, 12 steps (2.4x the shortest, idle)" in text
    assert "undone: the last one is taken back" in text
    assert "2 of 20 demonstrations" in text
    assert "z undo the last" in text
