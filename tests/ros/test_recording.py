"""The recorder with a real rclpy: what was published is what is read back, by readers that are not ours."""

import importlib.util
import json
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest

if missing := [name for name in ("rclpy", "mcap", "mcap_ros2", "rosbags") if importlib.util.find_spec(name) is None]:
    pytest.skip(f"{', '.join(missing)} is not installed", allow_module_level=True)

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.qos import QoSProfile
from ros_nodes import ROOT, scripts
from sensor_msgs.msg import Image, JointState
from taped import (
    FRONT,
    POSE,
    STATE,
    WAIT_S,
    Cell,
    bags,
    by_mcap,
    by_rosbags,
    differences,
    metadata,
    until,
    without_ours,
)

from envs.ros import recording
from envs.ros.bags import PART, Bag, Offer, Recorded, RecordingError, StandardTypes, recover
from envs.ros.config import known_robots, load_robot
from envs.ros.inputs import SENSOR
from envs.ros.listening import topics
from envs.ros.recording import Recorder

NODE = ROOT / "ros2_ws/src/handrail_nodes/handrail_nodes/recorder_node.py"
ROBOT = load_robot("sim")

FINGER = "/gripper/joint_states"

# The parser of messages that the wheels bring imports a module that Python means to drop.
pytestmark = [pytest.mark.process, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]


@pytest.fixture(scope="module")
def ros():
    with rclpy.init():
        yield


@pytest.fixture
def cell(ros):
    made = Cell()
    yield made
    made.node.destroy_node()


@pytest.fixture
def node(ros):
    made = rclpy.create_node("recorder")
    yield made
    made.destroy_node()


@pytest.fixture
def start(ros, tmp_path):
    with scripts(NODE, folder=tmp_path / "bags") as start:
        yield start


def ended(process, by):
    process.send_signal(by)
    output, _ = process.communicate(timeout=WAIT_S)
    return process.returncode, output


def test_two_episodes_are_read_back_as_they_were_published(cell, start, tmp_path, noise):
    cell.publisher(POSE, PoseStamped)
    cell.publisher(FRONT, Image, SENSOR)
    process = start()
    cell.say(0, "holding")
    cell.reach(process, **{POSE: PoseStamped(), FRONT: Image()})
    before = len(cell.sent)
    cell.say(1)
    cell.move(40)
    for _ in range(5):
        cell.show(noise)
        cell.move(10)
    cell.publisher(FINGER, JointState)
    late = JointState(name=["fr3_finger_joint1"], position=[0.02])
    cell.reach(process, **{FINGER: late})
    second = len(cell.sent)
    cell.say(2)
    cell.move(7)
    folder = tmp_path / "bags"
    until(lambda: len(bags(folder)) == 1)
    code, output = ended(process, signal.SIGTERM)
    assert (code, "Traceback" in output) == (0, False), output
    episodes = bags(folder)
    assert len(list(folder.iterdir())) == len(episodes) == 2, "nothing is left unfinished"

    for episode, sent in zip(episodes, (cell.sent[before:second], cell.sent[second:]), strict=True):
        read, (mcap, decoded) = by_rosbags(episode), by_mcap(episode)
        # Whoever comes late is heard from when they have found each other.
        fingers = [each for each in without_ours(read) if each[0] == FINGER]
        assert (
            differences(fingers, [each for each in sent if each[0] == FINGER][-len(fingers) :] if fingers else []) == []
        )
        assert bool(fingers) == (episode == episodes[0])
        # Pictures come best effort: a busy machine may lose one, but none is changed, invented or out of order.
        fronts, shown = ([each for each in found if each[0] == FRONT] for found in (without_ours(read), sent))
        remaining = iter(enumerate(shown))
        places = [next((n for n, one in remaining if differences([got], [one]) == []), None) for got in fronts]
        assert None not in places
        assert bool(fronts) == bool(shown)
        others = [each for each in without_ours(read) if each[0] not in (FINGER, FRONT)]
        assert differences(others, [each for each in sent if each[0] not in (FINGER, FRONT)]) == []
        assert read == mcap
        poses = [message.header.stamp.nanosec for _, channel, _, message in decoded if channel.topic == POSE]
        assert poses == sorted(set(poses))
        assert {len(bytes(message.data)) for _, channel, _, message in decoded if channel.topic == FRONT} <= {
            noise.size
        }
        for _, channel, message, _ in decoded:
            assert 0 < message.log_time - message.publish_time < WAIT_S * 1e9, channel.topic
        numbers = [message.sequence for _, channel, message, _ in decoded if channel.topic == POSE]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "as the publisher counted them"
        about = metadata(episode)
        assert about["message_count"] == len(read)
        lost = dict(each.rsplit(":", 1) for each in about["custom_data"]["lost"].split() if each != "nothing")
        assert set(lost) <= {FRONT}, "only a picture may be lost"
        gaps = places[-1] - places[0] + 1 - len(places) if places else 0
        assert int(lost.get(FRONT, 0)) >= gaps, "what is missing between two that came is counted"
    first = metadata(episodes[0])
    assert first["custom_data"]["ended"] == "the next episode began"
    assert metadata(episodes[1])["custom_data"]["ended"] == "the recorder was told to stop"
    told = {each["topic_metadata"]["name"]: each for each in first["topics_with_message_count"]}
    assert told[POSE]["message_count"] == 90
    qos = {name: each["topic_metadata"]["offered_qos_profiles"][0] for name, each in told.items()}
    assert (qos[STATE]["reliability"], qos[STATE]["durability"]) == ("reliable", "transient_local")
    assert qos[FRONT]["reliability"] == "best_effort"
    assert "wrench" in output, "what was silent is named"


def test_types_are_hashed_as_ros_hashes_them(cell, node):
    types = StandardTypes()
    for topic, (kind, _) in topics(ROBOT, guard="guard", images=True).items():
        publisher = node.create_publisher(kind, topic, QoSProfile(depth=1))
        name = publisher.topic_name
        info = until(lambda name=name: cell.node.get_publishers_info_by_topic(name))[0]
        text, digest = types.definition(info.topic_type)
        assert digest == str(info.topic_type_hash), topic
        assert text


@pytest.mark.parametrize("robot", known_robots())
def test_every_topic_of_a_robot_is_recorded(robot):
    wanted = load_robot(robot)
    found = topics(wanted, guard="guard", images=True)
    named = {wanted.joint_states, wanted.current_pose, wanted.target_pose, wanted.gripper.joint_states}
    named |= {camera.image for camera in wanted.cameras.values()} | set(wanted.objects.values())
    assert named <= set(found)
    assert "" not in found
    silent = {camera.image for camera in wanted.cameras.values()}
    assert not silent & set(topics(wanted, guard="guard", images=False))


def test_what_a_killed_recorder_wrote_is_read_and_recovered(cell, start, tmp_path):
    cell.publisher(POSE, PoseStamped)
    process = start(images="false")
    cell.say(0)
    cell.reach(process, **{POSE: PoseStamped()})
    before = len(cell.sent)
    cell.say(1)
    cell.move(20)
    sent = cell.sent[before:]
    folder = tmp_path / "bags"
    (part,) = until(lambda: list(folder.glob(f"*{PART}")))
    (file,) = part.glob("*.mcap")
    # A chunk is written every second: the first is on disk whole once another follows it.
    size = until(lambda: file.stat().st_size > 1_000 and file.stat().st_size, lambda: cell.say(1))
    until(lambda: file.stat().st_size > size, lambda: cell.say(1))
    process.kill()
    process.communicate(timeout=WAIT_S)
    assert bags(folder) == [], "it is not taken for a complete one"

    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 10)
    whole = recover(part, StandardTypes())
    read = without_ours(by_rosbags(whole))
    assert differences(read[: len(sent)], sent) == []
    assert without_ours(by_mcap(whole)[0]) == read
    assert metadata(whole)["custom_data"]["ended"] == "the recorder was killed; recovered"
    with pytest.raises(RecordingError, match="_recovered is there already; delete it"):
        recover(part, StandardTypes())

    again = start(images="false")
    said = until(lambda: again.stdout.readline())
    assert f"python -m envs.ros.recover {part}" in said


@contextmanager
def recorder_of(node, folder, **settings):
    made = Recorder(node, ROBOT, folder, **{"images": True, "max_gb": 1.0, **settings})
    try:
        yield made
    finally:
        made.close()


def test_the_share_of_the_disk_is_kept_to_and_said(cell, node, tmp_path, noise, caplog):
    cell.publisher(FRONT, Image, SENSOR)
    with recorder_of(node, tmp_path, max_gb=0.02) as recorder:
        until(cell.heard, recorder.tick)
        cell.say(0)
        cell.say(1)

        def show():
            cell.show(noise)
            recorder.tick()

        until(lambda: "recording stops" in caplog.text, show)
        assert f"{tmp_path} holds the 0.02 GB that it may; move recordings away, or raise max_gb" in caplog.text
        (full,) = bags(tmp_path)
        size = sum(path.stat().st_size for path in full.iterdir())
        assert 0.015e9 < size < 0.021e9
        assert len(by_rosbags(full)) == metadata(full)["message_count"]

        cell.say(2)
        until(lambda: "episode 2 is not recorded" in caplog.text, show)
        assert len(list(tmp_path.iterdir())) == 1

        for path in full.iterdir():
            path.unlink()
        full.rmdir()
        cell.say(3)
        until(lambda: any(tmp_path.iterdir()), recorder.tick)
    assert bags(tmp_path)[0].name.endswith("_0003"), "there is room again"


def test_other_people_s_disk_is_left_to_them(cell, node, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(recording, "RESERVE_BYTES", 1 << 62)
    with recorder_of(node, tmp_path) as recorder:
        until(cell.heard, recorder.tick)
        cell.say(0)
        cell.say(1)
        until(lambda: "episode 1 is not recorded" in caplog.text, recorder.tick)
        assert f"the disk of {tmp_path} has only " in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_no_more_ends_the_recording_and_not_the_recorder(cell, node, tmp_path, noise, caplog):
    cell.publisher(FRONT, Image, SENSOR)
    with recorder_of(node, tmp_path) as recorder:
        until(cell.heard, recorder.tick)
        cell.say(0)
        cell.say(1)

        def show():
            cell.show(noise)
            recorder.tick()

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, before[1]))
        try:
            until(lambda: "recording stops" in caplog.text, show)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        (part,) = tmp_path.iterdir()
        assert f"{part} cannot be written: File too large" in caplog.text
        assert part.suffix == PART
        cell.say(2)
        until(lambda: len(list(tmp_path.iterdir())) == 2, recorder.tick)
    (whole,) = bags(tmp_path)
    assert whole.name.endswith("_0002")


def test_a_cell_that_nobody_commands_is_not_recorded_for_ever(cell, node, tmp_path, monkeypatch):
    with recorder_of(node, tmp_path) as recorder:
        until(cell.heard, recorder.tick)
        cell.say(4, "halted")
        cell.say(4)
        until(lambda: list(tmp_path.iterdir()), recorder.tick)
        monkeypatch.setattr(recording, "TAIL_S", 0.0)
        cell.say(4, "halted")
        until(lambda: bags(tmp_path), recorder.tick)
    (episode,) = bags(tmp_path)
    assert metadata(episode)["custom_data"]["ended"] == "the robot could not be commanded for 0 s"
    assert by_rosbags(episode)[0][0] == STATE


def test_a_recorder_that_comes_late_records_the_rest(cell, node, tmp_path):
    cell.say(5)
    with recorder_of(node, tmp_path) as recorder:
        until(lambda: list(tmp_path.iterdir()), recorder.tick)
    (episode,) = bags(tmp_path)
    assert episode.name.endswith("_episode_0005")


def test_what_was_lost_is_counted(cell, node, tmp_path):
    poses = cell.publisher(POSE, PoseStamped, QoSProfile(depth=1000))
    with recorder_of(node, tmp_path) as recorder:
        until(cell.heard, recorder.tick)
        cell.say(0)
        cell.say(1)
        poses.publish(PoseStamped())
        until(lambda: list(tmp_path.iterdir()), recorder.tick)
        for _ in range(800):
            poses.publish(PoseStamped())
        time.sleep(0.5)
        recorder.tick()
    (episode,) = bags(tmp_path)
    found = sum(topic == POSE for topic, _, _ in by_rosbags(episode))
    topic, _, lost = metadata(episode)["custom_data"]["lost"].partition(":")
    assert topic == POSE
    assert found + int(lost) in (800, 801), "the very first may come before they have found each other"
    assert found <= 501, "its queue is 500 deep"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"max_gb": 0.0}, "error: max_gb must be more than 0, got 0"),
        ({"robot": "fr4"}, "error: robot must be one of fr3, panda, sim, ur5e, got fr4; did you mean fr3?"),
        ({"folder": "/proc/bags"}, "error: folder /proc/bags cannot be used: No such file or directory; set folder"),
        ({"images": 3}, "error: recorder: images must be true or false, got 3"),
    ],
    ids=["share", "robot", "folder", "images"],
)
def test_wrong_parameters_end_the_node_with_one_sentence(start, parameters, said):
    output, _ = (process := start(**parameters)).communicate(timeout=WAIT_S)
    assert process.returncode == 2
    assert said in output
    assert "Traceback" not in output


def test_a_folder_that_is_no_recording_is_not_recovered(tmp_path):
    (tmp_path / "holiday").mkdir()
    with pytest.raises(RecordingError, match=r"holiday is no unfinished recording: wanted a folder <name>\.part"):
        recover(tmp_path / "holiday", StandardTypes())
    (part := tmp_path / f"cut{PART}").mkdir()
    (part / "cut_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    with pytest.raises(RecordingError, match="nothing can be read of"):
        recover(part, StandardTypes())


def test_a_bag_is_read_in_the_order_in_which_it_was_heard(tmp_path):
    bag = Bag(tmp_path, "sorted", StandardTypes())
    bag.offer("/a", Offer("std_msgs/msg/String"))
    bag.offer("/b", Offer("std_msgs/msg/String"))
    for heard_ns, topic in ((5, "/a"), (3, "/b"), (9, "/b")):
        bag.write(Recorded(heard_ns, topic, 1, heard_ns - 1, b"\x00\x01\x00\x00\x01\x00\x00\x00\x00"))
    folder = bag.finish({})
    assert [(topic, heard_ns) for topic, _, heard_ns in by_rosbags(folder)] == [("/b", 3), ("/a", 5), ("/b", 9)]
    assert metadata(folder)["starting_time"] == {"nanoseconds_since_epoch": 3}
    assert metadata(folder)["duration"] == {"nanoseconds": 6}


def test_the_benchmark_records_a_whole_cell(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks/recorder.py"), "--json", "out.json", "--seconds", "2"]
    done = subprocess.run([*command, "--noise", "low"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert {POSE, STATE, FRONT, "/camera/wrist/color/image_raw", "/joint_states"} <= row["messages"].keys()
    assert row["cpu_share"] > 0


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
