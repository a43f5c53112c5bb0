"""A cell that remembers what it published, and readers of recordings that are not ours."""

import itertools
import time

import msgspec
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image

from envs.ros.bags import PART
from envs.ros.diagnostics import status, values_of
from envs.ros.images import fill
from envs.ros.inputs import LATCHED, RELIABLE, Input

WAIT_S = 30.0
"""Only a broken recorder is waited for this long; two processes may take three seconds to find each other."""
STATE, POSE, FRONT = "/guard/state", "/current_pose", "/camera/front/color/image_raw"


def until(condition, meanwhile=lambda: None):
    deadline_s = time.monotonic() + WAIT_S
    while not (met := condition()) and time.monotonic() < deadline_s:
        meanwhile()
        time.sleep(0.005)
    assert met, "waited in vain"
    return met


class Cell:
    """A guard's word and a few of a robot's topics; remembers what it published, as bytes."""

    def __init__(self):
        self.node = rclpy.create_node("cell")
        self.sent = []
        self._publishers = {}
        self._state = self.publisher(STATE, DiagnosticStatus, LATCHED)
        self._stamps = 0
        self._diagnostics = Input(self.node, DiagnosticArray, "/diagnostics", qos=QoSProfile(depth=10))

    def publisher(self, topic, kind, qos=RELIABLE):
        self._publishers[topic] = self.node.create_publisher(kind, topic, qos)
        return self._publishers[topic]

    def heard(self):
        return all(each.get_subscription_count() > 0 for each in self._publishers.values())

    def reach(self, recorder, **messages):
        """Send until a recorder that has a process of its own says that it hears these topics."""

        def call():
            for topic, message in messages.items():
                self.send(topic, message)

        def answered():
            self._diagnostics.take()
            found = self._diagnostics.message.status if self._diagnostics.message else []
            silent = [values_of(each)["silent"].split() for each in found if each.name == "recorder"]
            assert recorder.poll() is None, "the recorder has ended"
            return silent and not set(messages) & set(silent[0])

        until(answered, call)

    def send(self, topic, message):
        if hasattr(message, "header"):
            self._stamps += 1
            message.header.stamp.nanosec = self._stamps
        # Serialised once, and here: the padding between fields is whatever was in memory.
        data = serialize_message(message)
        self._publishers[topic].publish(data)
        self.sent.append((topic, data))

    def say(self, episode, mode="following"):
        self.send(STATE, status("guard", DiagnosticStatus.OK, mode, mode=mode, reason="", begun=episode, overruns=0))

    def move(self, count):
        for _ in range(count):
            self.send(POSE, PoseStamped())
            time.sleep(0.001)

    def show(self, noise):
        message = Image()
        fill(message, noise, "rgb8")
        self.send(FRONT, message)


def bags(folder):
    return sorted(path for path in folder.glob("*") if path.suffix != PART)


def by_rosbags(folder):
    """Topic and bytes of every message, in order, and when each was heard."""
    with AnyReader([folder]) as reader:
        return [(found.topic, data, heard_ns) for found, heard_ns, data in reader.messages()]


def by_mcap(folder):
    """The same by the reader of MCAP's own makers, and the decoded messages."""
    (file,) = folder.glob("*.mcap")
    with file.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        found = list(reader.iter_decoded_messages())
    return [(channel.topic, message.data, message.log_time) for _, channel, message, _ in found], found


def without_ours(found):
    return [(topic, data) for topic, data, _ in found if topic != "/diagnostics"]


def differences(found, wanted):
    """Where the messages differ, in words short enough to be read; the middleware pads each to a multiple of four."""
    pairs = itertools.zip_longest(found, wanted, fillvalue=("nothing", b""))
    return [
        f"{number}: {topic} {len(got)} bytes, wanted {name} {len(sent)}"
        for number, ((topic, got), (name, sent)) in enumerate(pairs)
        if (topic, got[: len(sent)], len(got)) != (name, sent, -(len(sent) // -4) * 4)
    ]


def metadata(folder):
    return msgspec.yaml.decode((folder / "metadata.yaml").read_bytes())["rosbag2_bagfile_information"]
