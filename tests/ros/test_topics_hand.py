"""A hand on a ROS topic: real Joy and Twist messages, from the wire to the action."""

import math
import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped, Twist
from points import point_env, recorded, require_whole
from rclpy.context import Context
from rclpy.node import Node
from ros_nodes import until
from sensor_msgs.msg import Joy

from actor.config import HAND
from actor.human.following import Following
from actor.human.hand import Hand
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping
from actor.human.topics import Leader, Topic
from envs.config import EnvConfig
from envs.make import make_env
from wire.types import Source


@pytest.fixture
def publisher():
    context = Context()
    rclpy.init(context=context)
    node = Node("device", context=context, enable_rosout=False)
    yield node
    node.destroy_node()
    context.try_shutdown()


@pytest.fixture
def joy(publisher):
    """A Joy topic and the instrument that listens to it."""
    topic = Topic("joy")
    out = publisher.create_publisher(Joy, "/spacenav/joy", 10)
    until(lambda: out.get_subscription_count(), "the instrument")
    yield out, topic
    topic.close()


def said(axes=(0.0,) * 6, buttons=(0, 0)):
    message = Joy(axes=[float(axis) for axis in axes], buttons=list(buttons))
    message.header.stamp.sec = time.monotonic_ns() // 10**9
    message.header.stamp.nanosec = time.monotonic_ns() % 10**9
    return message


def heard(topic, axes):
    def same():
        controls = topic.latest()
        return controls is not None and np.allclose(controls.axes, axes, atol=1e-6)

    return until(same, f"axes {axes}")


def test_axes_and_buttons_come_through_and_no_press_is_missed(joy):
    out, topic = joy
    for buttons in ((1, 0), (0, 0), (0, 1), (0, 0), (1, 0)):
        out.publish(said((0.1, -0.2, 0.3, 0.0, 0.0, 1.5), buttons))
    heard(topic, (0.1, -0.2, 0.3, 0.0, 0.0, 1.0))
    until(lambda: topic.latest().down == {0}, "the last of them")
    assert topic.pressed() == [0, 1, 0]
    assert topic.pressed() == []


def test_a_push_on_the_topic_becomes_the_action_in_the_robots_frame(joy):
    out, topic = joy
    env = make_env(EnvConfig(task="reach"))
    channel = LiveChannel(Hand(topic, Mapping(HAND["joy"], env.wire_spec, env.tool_rotation), HAND["joy"]))
    out.publish(said())
    heard(topic, (0.0,) * 6)
    assert channel.poll() is None

    def pushed():
        # As a device does that repeats what it says.
        out.publish(said((1.0, 0.0, 0.5, 0.0, 0.0, 0.0)))
        time.sleep(0.01)
        return channel.poll()

    override = until(pushed, "the push")
    assert override.action[0] == pytest.approx(-1.0, abs=0.01), "the person faces the robot"
    assert override.action[2] > 0.3
    time.sleep(0.12)
    assert channel.poll() is None, "a topic that falls silent gives control back"
    env.close()


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (Joy(axes=[0.0, 0.0], buttons=[]), "a Joy of 2 axes, wanted at least 6"),
        (Joy(axes=[math.nan] * 6, buttons=[]), "an axis is a NaN"),
    ],
    ids=["too few axes", "not finite"],
)
def test_a_message_that_cannot_be_used_is_named_and_gives_no_control(joy, message, wanted):
    out, topic = joy
    out.publish(message)
    until(lambda: topic.latest() is None and wanted in topic.trouble, "the sentence")


def test_a_topic_that_nobody_publishes_says_so():
    topic = Topic("joy", "/nowhere")
    assert topic.latest() is None
    assert "nobody publishes it" in topic.trouble
    topic.close()
    topic.close()


def test_two_devices_on_one_topic_give_neither_control(joy, publisher):
    out, topic = joy
    rival = publisher.create_publisher(Joy, "/spacenav/joy", 10)
    until(lambda: rival.get_subscription_count(), "the instrument")

    def both():
        out.publish(said((0.5,) * 6))
        rival.publish(said((-0.5,) * 6))
        time.sleep(0.01)
        return topic.latest() is None and "more than one publisher" in topic.trouble

    until(both, "the conflict to be seen")


def test_a_twist_is_a_hand_without_buttons(publisher):
    topic = Topic("twist")
    out = publisher.create_publisher(Twist, "/spacenav/twist", 10)
    until(lambda: out.get_subscription_count(), "the instrument")
    message = Twist()
    message.linear.x, message.angular.z = 0.4, -0.2
    out.publish(message)
    heard(topic, (0.4, 0.0, 0.0, 0.0, 0.0, -0.2))
    assert topic.pressed() == []
    topic.close()


def test_a_message_that_cannot_be_used_takes_control_back_at_once(joy):
    out, topic = joy
    out.publish(said((0.5,) * 6))
    heard(topic, (0.5,) * 6)
    out.publish(Joy(axes=[math.nan] * 6, buttons=[]))
    until(lambda: topic.latest() is None, "the refusal")
    out.publish(said((0.25,) * 6))
    heard(topic, (0.25,) * 6)


class Wand:
    """A leader's node: publishes pose and buttons, as often as it is asked to."""

    def __init__(self, node):
        self.poses = node.create_publisher(PoseStamped, "/leader/pose", 10)
        self.joys = node.create_publisher(Joy, "/leader/joy", 10)
        self.at, self.turn, self.down = np.array([0.4, -0.1, 0.8]), (0.0, 0.0, 0.0, 1.0), ()

    def say(self):
        message = PoseStamped()
        stamp = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = stamp // 10**9, stamp % 10**9
        position, q = message.pose.position, message.pose.orientation
        position.x, position.y, position.z = map(float, self.at)
        q.x, q.y, q.z, q.w = self.turn
        self.poses.publish(message)
        self.joys.publish(said((), [int(number in self.down) for number in range(3)]))
        time.sleep(0.005)


@pytest.fixture
def led(publisher):
    """A leader that is at rest, its channel and the cell that it leads."""
    env = make_env(EnvConfig(task="reach"))
    env.reset(seed=0)
    leader = Leader()
    config = HAND["leader"]
    mapping = Mapping(config, env.wire_spec, env.tool_rotation)
    hand = Hand(leader, mapping, config, following=Following(mapping, config, env.limits.metres_per_unit))
    wand, channel = Wand(publisher), LiveChannel(hand)
    until(lambda: wand.poses.get_subscription_count() and wand.joys.get_subscription_count(), "the instrument")

    def ready():
        wand.say()
        return channel.poll() is None and not channel.silent

    until(ready, "the leader")
    yield wand, channel, leader, env
    leader.close()
    leader.close()
    env.close()


def leads(wand, channel):
    def engaged():
        wand.say()
        return channel.poll()

    return until(engaged, "the leader's word").action


def lets_go(wand, channel):
    def gone():
        wand.say()
        return channel.poll() is None

    until(gone, "the leader to let go")


def test_a_leader_moves_the_robot_by_as_much_as_it_moves_itself_from_where_it_was_engaged(led):
    wand, channel, _, env = led
    wand.at = wand.at + np.array([0.1, 0.2, -0.3])
    wand.say()
    wand.down = (0,)
    assert not leads(wand, channel)[:3].any()
    before = env.target_position()
    for _ in range(8):
        wand.at = wand.at + np.array([0.005, 0.0, -0.003])
        action = leads(wand, channel)
        env.step(action)
        channel.executed(action)

    def arrived():
        wand.say()
        action = channel.poll().action
        env.step(action)
        channel.executed(action)
        return np.allclose(env.target_position() - before, [0.04, 0.0, -0.024], atol=1e-5)

    until(arrived, "the robot to be where the leader is")
    wand.down = ()
    lets_go(wand, channel)


@pytest.mark.parametrize(
    ("at", "turn", "wanted"),
    [
        ((math.nan, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), "the pose holds a NaN"),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), "the orientation is no unit quaternion: its length is 0.00"),
    ],
    ids=["NaN", "no quaternion"],
)
def test_a_pose_that_cannot_be_used_takes_control_back_until_the_leader_is_engaged_anew(led, caplog, at, turn, wanted):
    wand, channel, _, _ = led
    wand.down = (0,)
    leads(wand, channel)
    sound = wand.at, wand.turn
    wand.at, wand.turn = np.array(at), turn
    lets_go(wand, channel)
    assert wanted in caplog.text
    wand.at, wand.turn = sound
    for _ in range(20):
        wand.say()
        assert channel.poll() is None
    wand.down = ()
    lets_go(wand, channel)
    wand.down = (0,)
    assert not leads(wand, channel)[:3].any()


@pytest.mark.parametrize("which", ["poses", "joys"])
def test_a_leader_whose_pose_or_buttons_fall_silent_has_no_control(led, which):
    wand, channel, _, _ = led
    wand.down = (0,)
    leads(wand, channel)
    silenced = getattr(wand, which)
    setattr(wand, which, type("Mute", (), {"publish": staticmethod(lambda message: None)}))
    lets_go(wand, channel)
    assert channel.lost()
    setattr(wand, which, silenced)
    for _ in range(5):
        wand.say()
        assert channel.poll() is None, "its button was down all the time"


def test_two_leaders_on_one_topic_lead_nobody(led, publisher):
    wand, channel, leader, _ = led
    wand.down = (0,)
    leads(wand, channel)
    rival = publisher.create_publisher(PoseStamped, "/leader/pose", 10)
    until(lambda: rival.get_subscription_count(), "the instrument")

    def both():
        rival.publish(PoseStamped())
        wand.say()
        return channel.poll() is None and "more than one publisher" in leader.trouble

    until(both, "the conflict to be seen")


def test_a_leader_without_buttons_says_which_topic_is_missing(publisher):
    leader = Leader("/wand/pose")
    wand = publisher.create_publisher(PoseStamped, "/wand/pose", 10)
    assert "nobody publishes it" in leader.trouble
    message = PoseStamped()
    message.pose.orientation.w = 1.0

    def named():
        wand.publish(message)
        return leader.latest() is None and leader.trouble.startswith("has no buttons: /leader/joy is silent")

    until(named, "the sentence")
    assert leader.trouble.endswith("another topic with human.joy=")
    leader.close()
    free = Leader("/wand/pose", needs_joy=False)

    def there():
        wand.publish(message)
        return free.latest() is not None

    until(there, "the pose")
    free.close()


class Joys:
    """Devices that repeat what they say until it has come through."""

    def __init__(self, node, out, channel):
        self.node, self.outs, self.channel = node, [out], channel

    def say(self, axes, holds):
        def heard():
            for out in self.outs:
                out.publish(said(axes))
            time.sleep(0.002)
            return holds()

        until(heard, "what was said to come through")

    def fail(self, how):
        if how == "silence":
            until(self.channel.lost, how)
            return
        if how == "a rival" and len(self.outs) == 1:
            self.outs.append(self.node.create_publisher(Joy, "/spacenav/joy", 10))
        self.say((1.0,) * (2 if how == "too few axes" else 6), self.channel.lost)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("too few axes", "a Joy of 2 axes, wanted at least 6"),
        ("a rival", "has more than one publisher"),
        ("silence", "fell silent: age_s="),
    ],
)
def test_a_topic_that_fails_in_mid_episode_hands_back_and_every_step_is_in_the_outbox(
    joy, publisher, tmp_path, caplog, how, why
):
    out, topic = joy
    env = point_env(12)
    hand = Hand(topic, Mapping(HAND["joy"], env.wire_spec, env.tool_rotation), HAND["joy"])
    # Longer than a busy machine may keep a message waiting.
    channel = LiveChannel(hand, silent_s=0.4)
    joys = Joys(publisher, out, channel)
    joys.say((0.0,) * 6, lambda: channel.poll() is None and not channel.silent)

    def note(done):
        if 3 <= done <= 6:
            joys.say((1.0, 0.0, 0.0, 0.0, 0.0, 0.0), channel.touched)
        elif done >= 7:
            joys.fail(how)

    steps = recorded(tmp_path, env, channel, note)
    require_whole(steps, 12)
    assert [step.source for step in steps] == [Source.POLICY] * 3 + [Source.HUMAN] * 4 + [Source.POLICY] * 5
    for step in steps[7:]:
        np.testing.assert_array_equal(step.action, step.policy_action)
    assert "the joy topic /spacenav/joy " in caplog.text
    assert why in caplog.text
    assert "the policy has control" in caplog.text
