"""A hand on an instrument: motion, gripper, buttons, and axes that are not to be believed."""

import logging
import math

import numpy as np
import pytest
from devices import Pad, arm_spec

from actor.config import HandConfig
from actor.human import Event
from actor.human.hand import GRIP_S, STUCK_S, Hand
from actor.human.instrument import UNHEARD, Controls
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping


def made(*names: str, **keys: object) -> tuple[Pad, Hand]:
    pad = Pad()
    config = HandConfig(**({"dead_zone": 0.1, "view_deg": 0.0} | keys))  # type: ignore[arg-type]
    return pad, Hand(pad, Mapping(config, arm_spec(*names)), config, clock=lambda: pad.now_s)


def wants(hand: Hand) -> list[float] | None:
    report = hand.latest()
    assert report is not None
    return None if report.override is None else [round(float(value), 3) for value in report.override.action]


def test_a_push_takes_control_and_leaves_the_gripper_where_it_is():
    pad, hand = made()
    assert wants(hand) is None
    pad.stand(1.0)
    assert wants(hand) == [1, 0, 0, 1]
    hand.executed(np.array([0, 0, 0, -0.3], np.float32), ours=False)
    assert wants(hand) == [1, 0, 0, -0.3]
    pad.stand()
    assert wants(hand) is None


def test_the_grippers_button_toggles_what_was_executed_last_and_keeps_control_while_the_fingers_move():
    pad, hand = made()
    hand.executed(np.array([0, 0, 0, 0.4], np.float32), ours=False)
    pad.presses = [0]
    assert wants(hand) == [0, 0, 0, -1]
    pad.now_s += GRIP_S / 2
    assert wants(hand) == [0, 0, 0, -1]
    pad.presses = [0]
    assert wants(hand) == [0, 0, 0, 1]
    pad.now_s += GRIP_S
    assert wants(hand) is None
    hand.executed(np.array([0, 0, 0, -1], np.float32), ours=False)
    pad.presses = [0, 0]
    assert wants(hand) == [0, 0, 0, -1]


def test_a_new_episode_begins_with_the_gripper_open_whatever_the_last_one_left():
    pad, hand = made()
    assert wants(hand) is None
    hand.executed(np.array([0, 0, 0, -1], np.float32), ours=True)
    hand.begin_episode(1)
    pad.stand(1.0)
    assert wants(hand) == [1, 0, 0, 1]


def test_a_press_for_the_last_episode_does_nothing_in_the_next():
    pad, hand = made()
    pad.presses = [0]
    assert wants(hand) is not None
    hand.begin_episode(2)
    assert wants(hand) is None


def test_the_grippers_button_pressed_while_the_robot_goes_home_does_nothing_and_is_no_touch():
    pad, hand = made()
    channel = LiveChannel(hand, clock=lambda: pad.now_s)
    hand.begin_episode(1)
    pad.presses = [0]
    hand.begin_episode(2)
    assert not channel.touched()
    assert wants(hand) is None
    pad.stand(1.0)
    assert wants(hand) == [1, 0, 0, 1]


def test_labels_given_while_the_robot_goes_home_are_past_and_pause_undo_and_end_are_not():
    pad, hand = made(failure_button=2, discard_button=3, pause_button=4, end_button=5, undo_button=6)
    pad.presses = [1, 4]
    assert hand.latest() is not None
    pad.presses = [2, 6, 3, 5, 1]
    hand.begin_episode(2)
    assert hand.events() == [Event.PAUSE, Event.UNDO, Event.END]
    pad.presses = [1]
    assert hand.events() == [Event.SUCCESS], "one of this episode counts"


def test_in_hold_mode_a_button_let_go_while_the_robot_goes_home_is_no_touch_and_one_that_is_down_is():
    pad, hand = made(gripper="hold")
    pad.stand(down=frozenset({0}))
    assert wants(hand) == [0, 0, 0, -1]
    pad.stand()
    hand.begin_episode(2)
    assert wants(hand) is None
    pad.stand(down=frozenset({0}))
    hand.begin_episode(3)
    assert wants(hand) == [0, 0, 0, -1]


def test_in_hold_mode_the_gripper_is_shut_while_the_button_is_down():
    pad, hand = made(gripper="hold")
    pad.stand(down=frozenset({0}))
    pad.presses = [0]
    assert wants(hand) == [0, 0, 0, -1]
    pad.now_s += 10
    assert wants(hand) == [0, 0, 0, -1]
    pad.stand(0, 0.55, down=frozenset({0}))
    assert wants(hand) == [0, 0.5, 0, -1]
    pad.stand()
    assert wants(hand) == [0, 0, 0, 1]
    pad.now_s += GRIP_S
    assert wants(hand) is None


def test_without_a_gripper_its_button_is_nothing():
    pad, hand = made("x", "y", "z")
    pad.presses = [0]
    assert wants(hand) is None


def test_buttons_are_events_in_order_and_none_is_said_twice():
    pad, hand = made(failure_button=2, discard_button=3, pause_button=4, end_button=5)
    pad.presses = [4, 1, 9]
    assert hand.latest() is not None
    pad.presses = [2, 3, 5]
    assert hand.events() == [Event.PAUSE, Event.SUCCESS, Event.FAILURE, Event.DISCARD, Event.END]
    assert hand.events() == []


def test_a_stuck_axis_gets_no_control_and_one_sentence(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    pad, hand = made()
    pad.controls = Controls(pad.now_s, UNHEARD)
    assert wants(hand) is None
    for number in range(200):
        pad.now_s += 0.01
        # Noise does not make it alive; and the other axes wait for it.
        pad.stand(0.0, 0.0, 0.5 + 0.009 * (-1) ** number, 0.0, 0.0, 0.0)
        assert wants(hand) is None
    assert [record.getMessage() for record in caplog.records] == [
        "axis 2 (up) of the pad stands at +0.51 and has never moved: it is stuck, so the pad gets no control; "
        "let go of it, or unplug it and plug it in again"
    ]
    pad.stand(0.0, 0.0, 0.3)
    assert wants(hand) is not None


def test_a_hand_that_pushes_at_once_has_control_from_the_second_report_on():
    pad, hand = made()
    pad.controls = Controls(pad.now_s, UNHEARD)
    assert wants(hand) is None
    pad.controls = Controls(pad.now_s, (0.5, 0.0, 0.0, *[math.nan] * 3))
    assert wants(hand) is None
    pad.controls = Controls(pad.now_s, (0.55, 0.0, 0.0, *[math.nan] * 3))
    assert wants(hand) == [0.5, 0, 0, 1]
    # Its turns are heard of only now, and stand still at 0.9: they are believed no sooner.
    pad.controls = Controls(pad.now_s, (0.55, 0.0, 0.0, 0.9, 0.0, 0.0))
    assert wants(hand) is None


def test_a_device_that_was_connected_anew_is_believed_anew(caplog: pytest.LogCaptureFixture):
    pad, hand = made()
    pad.stand()
    assert wants(hand) is None
    pad.stand(0.8)
    assert wants(hand) is not None
    pad.connection += 1
    assert wants(hand) is None
    pad.now_s += STUCK_S
    assert wants(hand) is None
    assert "axis 0 (forward) of the pad stands at +0.80" in caplog.text


def test_one_that_is_away_wants_nothing_and_the_log_says_why(caplog: pytest.LogCaptureFixture):
    pad, hand = made()
    channel = LiveChannel(hand, clock=lambda: pad.now_s)
    pad.stand()
    assert channel.poll() is None
    pad.stand(1.0)
    assert channel.touched()
    pad.controls, pad.trouble = None, "was unplugged (read error); plug it in again"
    pad.presses = [1]
    caplog.clear()
    assert channel.poll() is None
    assert channel.events() == [Event.SUCCESS]
    assert [record.getMessage() for record in caplog.records] == [
        "the pad was unplugged (read error); plug it in again; the policy has control"
    ]
