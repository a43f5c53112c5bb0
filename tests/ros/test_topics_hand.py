"""A hand on a ROS topic: real Joy and Twist messages, from the wire to the action."""

import math
import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Twist
from rclpy.context import Context
from rclpy.node import Node
from ros_nodes import until
from sensor_msgs.msg import Joy

from actor.config import HAND
from actor.human.hand import Hand
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping
from actor.human.topics import Topic
from envs.config import EnvConfig
from envs.make import make_env


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
