"""The gripper's commands as goals of an action: what came to nothing is sent again, what was done is not."""

from types import SimpleNamespace

import pytest
from action_msgs.msg import GoalStatus
from rclpy.task import Future

from envs.ros import grippers
from envs.ros.config import GripperConfig


class Server:
    """Stands in for the client of a gripper's action: keeps the goals, and answers when it is told to."""

    def __init__(self, *_):
        self.goals, self.ready = [], True

    def server_is_ready(self):
        return self.ready

    def send_goal_async(self, goal):
        self.goals.append(goal.command.position)
        self.sent, self.done = Future(), Future()
        return self.sent

    def take(self, *, accepted=True):
        self.sent.set_result(SimpleNamespace(accepted=accepted, get_result_async=lambda: self.done))

    def end(self, status, *, stalled=False):
        self.done.set_result(SimpleNamespace(status=status, result=SimpleNamespace(stalled=stalled)))


@pytest.fixture
def hand(monkeypatch):
    """A gripper, its server, and a clock that passes when it is told to."""
    now = SimpleNamespace(s=100.0)
    message = lambda: SimpleNamespace(command=SimpleNamespace(position=0.0, max_effort=0.0))  # noqa: E731
    monkeypatch.setattr(grippers, "vendor", lambda *_: SimpleNamespace(Goal=message))
    monkeypatch.setattr(grippers, "ActionClient", Server)
    monkeypatch.setattr(grippers.time, "monotonic", lambda: now.s)
    config = GripperConfig(
        joint="finger",
        joint_open=0.04,
        joint_closed=0.0,
        via="action",
        command="grip",
        command_open=0.08,
        command_closed=0.0,
    )
    gripper = grippers.ActionGripper(None, config)
    return gripper, gripper._client, now


def test_a_goal_is_sent_once_while_the_server_is_at_it_and_after_it_is_done(hand):
    gripper, server, _ = hand
    gripper.command(-1.0)
    gripper.command(-1.0)
    server.take()
    server.end(GoalStatus.STATUS_SUCCEEDED)
    gripper.command(-1.0)
    assert server.goals == [0.0]
    gripper.command(1.0)
    assert server.goals == [0.0, 0.08]


def test_a_grasp_that_stalls_at_the_thing_in_the_hand_is_done(hand):
    gripper, server, now = hand
    gripper.command(-1.0)
    server.take()
    server.end(GoalStatus.STATUS_ABORTED, stalled=True)
    now.s += 2.0
    gripper.command(-1.0)
    assert server.goals == [0.0]


@pytest.mark.parametrize("refused", [True, False])
def test_a_goal_that_came_to_nothing_is_sent_again_after_a_second(hand, refused):
    gripper, server, now = hand
    gripper.command(-1.0)
    server.take(accepted=not refused)
    if not refused:
        server.end(GoalStatus.STATUS_ABORTED)
    gripper.command(-1.0)
    assert server.goals == [0.0], "not ten times a second"
    now.s += 1.1
    gripper.command(-1.0)
    assert server.goals == [0.0, 0.0]


def test_the_end_of_an_older_goal_says_nothing_of_the_newest(hand):
    gripper, server, now = hand
    gripper.command(-1.0)
    server.take()
    older = server.done
    gripper.command(1.0)
    older.set_result(SimpleNamespace(status=GoalStatus.STATUS_CANCELED, result=SimpleNamespace(stalled=False)))
    now.s += 2.0
    gripper.command(1.0)
    assert server.goals == [0.0, 0.08]


def test_a_new_episode_sends_it_whatever_was_sent_before(hand):
    gripper, server, _ = hand
    gripper.command(1.0)
    gripper.forget()
    gripper.command(1.0)
    assert server.goals == [0.08, 0.08]
